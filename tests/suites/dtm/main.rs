//! The protocol of DTM's clients, sentence by sentence, against branches that the test answers for.

mod branches;
mod dtmcli;
mod protocol;
mod turning_back;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Stack, StackOptions,
    http::{Answer, send},
    stack::{ORCHESTRATOR, with_json},
};

use branches::Branches;

/// A stack that speaks the protocol and may call these branches.
fn speaking(branches: &Branches) -> StackOptions {
    StackOptions::default().set("dtm.enabled", true).set("dtm.allowed_urls", branches.url("/"))
}

/// A saga of two branches, `a` and `b`, with all members that clients send.
fn two(branches: &Branches, gid: &str) -> Value {
    of(branches, gid, &["a", "b"])
}

fn of(branches: &Branches, gid: &str, names: &[&str]) -> Value {
    let step = |name: &&str| json!({ "action": branches.url(&format!("/{name}")), "compensate": branches.url(&format!("/{name}/undo")) });
    let payload = |name: &&str| json!({ "of": name }).to_string();
    json!({
        "gid": gid, "trans_type": "saga", "steps": names.iter().map(step).collect::<Vec<_>>(),
        "payloads": names.iter().map(payload).collect::<Vec<_>>(), "custom_data": null, "query_prepared": null,
        "protocol": null, "wait_result": true, "timeout_to_fail": 0, "request_timeout": 8, "retry_interval": 1,
        "passthrough_headers": [], "branch_headers": {}, "concurrent": false
    })
}

fn with(mut body: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().expect("changes are an object") {
        body[name] = value.clone();
    }
    body
}

async fn submit(stack: &Stack, body: Value) -> Answer {
    send(with_json(stack.request(Method::POST, ORCHESTRATOR, "/api/dtmsvr/submit"), body)).await
}

async fn query(stack: &Stack, gid: &str) -> Value {
    stack.get(ORCHESTRATOR, &format!("/api/dtmsvr/query?gid={gid}")).await.expect(200).json()
}

/// Returns the status of a saga in DTM's words.
async fn status(stack: &Stack, gid: &str) -> String {
    query(stack, gid).await["transaction"]["status"].as_str().unwrap_or("none").to_owned()
}
