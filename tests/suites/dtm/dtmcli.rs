//! A client that was not written for this system: dtmcli for Python, unchanged.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{PATIENCE, Stack, files, stack::ORCHESTRATOR, wait_until, with_stack};
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::branches::{BROKEN, Branches, DONE, ONGOING, REFUSED, Reply, shown};
use super::{query, speaking, status};

/// The time within which the client answers: it waits for eight seconds at most.
const ANSWERS: Duration = Duration::from_secs(60);

/// Returns the Python that has dtmcli, installed once.
async fn python() -> PathBuf {
    static PREPARED: OnceCell<PathBuf> = OnceCell::const_new();
    let prepare = async || {
        let folder = files::target().join("dtmcli");
        let script = files::workspace().join("tests/dtmcli.sh");
        let prepared = Command::new(script).arg(&folder).status().await.expect("the script starts");
        assert!(prepared.success(), "dtmcli cannot be installed");
        folder.join("bin/python3")
    };
    PREPARED.get_or_init(prepare).await.clone()
}

/// Submits a saga; returns its gid and how the client understood the answer.
async fn submit(stack: &Stack, branches: &Branches, case: Value) -> (String, String) {
    let server = format!("http://{}/api/dtmsvr", stack.address(ORCHESTRATOR));
    let mut client = Command::new(python().await);
    client.arg(files::workspace().join("tests/suites/dtm/client.py"));
    client.args([server, branches.url(""), case.to_string()]).kill_on_drop(true);
    let ran = tokio::time::timeout(ANSWERS, client.output()).await.expect("the client ends").expect("it starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said: Value = serde_json::from_slice(&ran.stdout).expect("it prints JSON");
    let text = |name: &str| said[name].as_str().expect("a text").to_owned();
    (text("gid"), text("result"))
}

async fn ends(stack: &Stack, gid: &str, expected: &str) {
    wait_until(&format!("{gid} is {expected}"), PATIENCE, async || {
        (status(stack, gid).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_client_gets_what_dtm_would_tell_it() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        let steps = ["a", "b", "c"];
        // Success, waited for and not.
        for waits in [true, false] {
            let (gid, result) =
                submit(stack, &branches, json!({ "steps": steps, "set": { "wait_result": waits } })).await;
            assert_eq!(result, "done", "wait_result {waits}");
            ends(stack, &gid, "succeed").await;
        }
        // A refusal at each step.
        for (number, refused) in steps.into_iter().enumerate() {
            branches.answer(&format!("/{refused}"), &[REFUSED]);
            let (gid, result) =
                submit(stack, &branches, json!({ "steps": steps, "set": { "wait_result": true } })).await;
            assert_eq!(result, "failure", "{refused}");
            branches.answer(&format!("/{refused}"), &[DONE]);
            let shown = shown(&query(stack, &gid).await);
            for (index, _) in steps.iter().enumerate() {
                let (action, undo) = match index.cmp(&number) {
                    std::cmp::Ordering::Less => ("succeed", "succeed"),
                    std::cmp::Ordering::Equal => ("failed", "succeed"),
                    std::cmp::Ordering::Greater => ("prepared", "prepared"),
                };
                let branch = format!("{:02}", index + 1);
                assert_eq!(shown[2 * index], format!("compensate {branch} {undo}"), "{refused}");
                assert_eq!(shown[2 * index + 1], format!("action {branch} {action}"), "{refused}");
            }
        }
        // A timeout.
        branches.answer("/b", &[ONGOING]);
        let set = json!({ "wait_result": true, "timeout_to_fail": 2, "retry_interval": 1 });
        assert_eq!(submit(stack, &branches, json!({ "steps": steps, "set": set })).await.1, "failure");
        branches.answer("/b", &[DONE]);
        // The same gid twice.
        let (calls, twice) =
            (branches.paths().len(), json!({ "gid": "twice", "steps": steps, "set": { "wait_result": true } }));
        for _ in 0..2 {
            assert_eq!(submit(stack, &branches, twice.clone()).await.1, "done");
        }
        assert_eq!(branches.paths().len(), calls + steps.len());
        // At once, with orders: the client's own methods for them raise an error, so its member is set by hand.
        let custom = json!({ "concurrent": true, "orders": { "2": [0, 1] } }).to_string();
        let set = json!({ "wait_result": true, "custom_data": custom });
        assert_eq!(submit(stack, &branches, json!({ "steps": steps, "set": set })).await.1, "done");
        // A submission that cannot be run.
        let set = json!({ "trans_type": "tcc" });
        assert_eq!(submit(stack, &branches, json!({ "steps": steps, "set": set })).await.1, "bad result");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_of_the_client_survives_its_orchestrator() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/b", &[Reply { after: Duration::from_secs(1), ..BROKEN }, DONE]);
        let set = json!({ "retry_interval": 1 });
        let (gid, result) = submit(stack, &branches, json!({ "steps": ["a", "b"], "set": set })).await;
        assert_eq!(result, "done");
        branches.called("/b", 1).await;
        stack.crash(ORCHESTRATOR).await;
        stack.start_again(ORCHESTRATOR).await;
        ends(stack, &gid, "succeed").await;
    })
    .await;
}
