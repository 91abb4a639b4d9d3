//! How sagas turn back: order, limits, deadlines, the stop by force, and another owner.

use std::time::Duration;

use serde_json::json;
use tests::{
    PATIENCE, Stack,
    http::send,
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};

use super::branches::{BROKEN, Branches, DONE, ONGOING, REFUSED, Reply, shown};
use super::{of, query, speaking, status, submit, two, with};

#[tokio::test(flavor = "multi_thread")]
async fn the_refused_branch_is_undone_first_and_those_that_never_started_are_left_alone() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        for (number, refused) in ["a", "b", "c"].into_iter().enumerate() {
            branches.answer(&format!("/{refused}"), &[REFUSED]);
            let gid = format!("g{number}");
            let answer = submit(stack, of(&branches, &gid, &["a", "b", "c"])).await.expect(409).json();
            assert_eq!(answer["dtm_result"], "FAILURE");
            assert!(answer["message"].as_str().unwrap().contains("409"), "{answer}");
            branches.answer(&format!("/{refused}"), &[DONE]);
            let calls: Vec<String> = branches
                .seen()
                .iter()
                .filter(|seen| seen.path.contains(&format!("gid={gid}&")))
                .map(|seen| seen.path.split('?').next().unwrap().to_owned())
                .collect();
            let names = &["a", "b", "c"][..=number];
            let expected: Vec<String> = names
                .iter()
                .map(|name| format!("/{name}"))
                .chain(names.iter().rev().map(|name| format!("/{name}/undo")))
                .collect();
            assert_eq!(calls, expected);
            let transaction = &query(stack, &gid).await["transaction"];
            assert_eq!(transaction["status"], "failed");
            assert!(
                transaction["rollback_time"].is_string() && transaction["rollback_reason"].is_string(),
                "{transaction}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compensations_are_retried_until_they_succeed() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/b", &[REFUSED]);
        branches.answer("/a/undo", &[BROKEN, REFUSED, ONGOING, DONE]);
        submit(stack, two(&branches, "g")).await.expect(409);
        assert_eq!(branches.count("/a/undo"), 4);
        assert_eq!(shown(&query(stack, "g").await)[0], "compensate 01 succeed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_retries_counts_the_whole_saga_and_turns_it_back() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/a", &[BROKEN, DONE]);
        branches.answer("/b", &[ONGOING]);
        let answer = submit(stack, with(two(&branches, "g"), json!({ "retry_limit": 2 }))).await.expect(409);
        assert_eq!(answer.json()["dtm_result"], "FAILURE");
        // One retry of a and one of b; the next unknown outcome turns it back, b included.
        assert_eq!((branches.count("/a"), branches.count("/b")), (2, 2));
        assert_eq!((branches.count("/a/undo"), branches.count("/b/undo")), (1, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_counts_since_the_submission_and_without_one_a_saga_never_gives_up() {
    let branches = Branches::start().await;
    let options = speaking(&branches).set("orchestrator.deadline_ms", 1_000).set("retry.action.attempts", 1);
    with_stack(options, async |stack: &Stack| {
        branches.answer("/a", &[ONGOING]);
        let answer = submit(stack, with(two(&branches, "late"), json!({ "timeout_to_fail": 2 }))).await.expect(409);
        assert!(answer.json()["message"].as_str().unwrap().contains("Deadline passed"), "{}", answer.text);
        assert_eq!(branches.count("/a/undo"), 1);
        // Neither orchestrator.deadline_ms nor retry.action.attempts holds here.
        branches.answer("/a", &[BROKEN, BROKEN, DONE]);
        submit(stack, two(&branches, "never")).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_are_waited_for_before_their_compensation() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/a", &[Reply { after: Duration::from_millis(1_200), ..DONE }]);
        branches.answer("/b", &[REFUSED]);
        let custom = json!({ "concurrent": true }).to_string();
        submit(stack, with(two(&branches, "g"), json!({ "custom_data": custom }))).await.expect(409);
        let paths = branches.paths();
        assert_eq!(paths[2], "/b/undo", "{paths:?}");
        assert_eq!(paths[3], "/a/undo", "{paths:?}");
        assert_eq!(shown(&query(stack, "g").await)[1], "action 01 succeed", "its outcome was heard");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_at_the_timeout_is_waited_for_too() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/a", &[Reply { after: Duration::from_millis(2_500), ..DONE }]);
        let limits = json!({ "timeout_to_fail": 1, "request_timeout": 20 });
        let answer = submit(stack, with(two(&branches, "g"), limits)).await.expect(409);
        assert!(answer.json()["message"].as_str().unwrap().contains("Deadline passed"), "{}", answer.text);
        assert_eq!(branches.paths(), ["/a", "/a/undo"]);
        assert!(shown(&query(stack, "g").await).contains(&"action 01 succeed".to_owned()), "its outcome was heard");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_force_ends_a_running_saga_and_undoes_nothing() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/b", &[BROKEN]);
        submit(stack, with(two(&branches, "g"), json!({ "wait_result": false }))).await.expect(200);
        branches.called("/b", 1).await;
        let stop = async |gid: &str| {
            let request = stack.request(reqwest::Method::POST, ORCHESTRATOR, "/api/dtmsvr/forceStop");
            send(with_json(request, json!({ "gid": gid }))).await
        };
        assert_eq!(stop("g").await.expect(200).text, r#"{"dtm_result":"SUCCESS"}"#);
        assert_eq!(status(stack, "g").await, "failed");
        stop("g").await.expect(409);
        stop("nobody").await.expect(404);
        let calls = branches.paths().len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(branches.paths().len() <= calls + 1, "at most the call in flight");
        assert_eq!(branches.count("/a/undo"), 0);
        let sagas = stack.get(ORCHESTRATOR, "/sagas?definition=dtm").await.expect(200).json();
        assert_eq!(sagas["sagas"][0]["status"], "FAILED", "{sagas}");
        submit(stack, two(&branches, "g")).await.expect(409);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_survives_its_orchestrator_and_undoes_only_what_started() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/b", &[Reply { after: Duration::from_secs(2), ..DONE }, REFUSED]);
        submit(stack, with(of(&branches, "g", &["a", "b", "c"]), json!({ "wait_result": false }))).await.expect(200);
        branches.called("/b", 1).await;
        stack.crash(ORCHESTRATOR).await;
        stack.start_again(ORCHESTRATOR).await;
        wait_until("it is undone", PATIENCE, async || (status(stack, "g").await == "failed").then_some(())).await;
        assert_eq!((branches.count("/b/undo"), branches.count("/a/undo")), (1, 1));
        assert_eq!((branches.count("/c"), branches.count("/c/undo")), (0, 0), "{:?}", branches.paths());
    })
    .await;
}
