//! Submissions, calls of branches, queries and lists.

use std::time::Duration;

use serde_json::json;
use tests::{PATIENCE, Stack, StackOptions, http::send, stack::ORCHESTRATOR, wait_until, with_stack};
use warp::http::Method;

use super::branches::{BROKEN, Branches, DONE, ONGOING, REFUSED, Reply, shown};
use super::{query, speaking, status, submit, two, with};

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_succeeds_and_its_branches_are_called_in_turn() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        let gid = stack.get(ORCHESTRATOR, "/api/dtmsvr/newGid").await.expect(200).json();
        assert_eq!(gid["dtm_result"], "SUCCESS");
        let gid = gid["gid"].as_str().unwrap().to_owned();
        assert!(stack.get(ORCHESTRATOR, "/api/dtmsvr/version").await.expect(200).json()["version"].is_string());
        let body = with(two(&branches, &gid), json!({ "branch_headers": { "X-Test": "1", "Accept": "text/plain" } }));
        let answer = submit(stack, body).await.expect(200);
        assert_eq!(answer.text, r#"{"dtm_result":"SUCCESS"}"#);
        let seen = branches.seen();
        let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
        let call = |name: &str, branch: &str| format!("/{name}?branch_id={branch}&gid={gid}&op=action&trans_type=saga");
        assert_eq!(paths, [call("a", "01"), call("b", "02")]);
        assert_eq!((&seen[0].method, seen[0].body.as_str()), (&Method::POST, r#"{"of":"a"}"#));
        let header = |name: &str| seen[0].headers[name].to_str().unwrap().to_owned();
        assert_eq!(
            [header("content-type"), header("x-test"), header("accept")],
            ["application/json", "1", "text/plain"]
        );
        let found = query(stack, &gid).await;
        let expected = ["compensate 01 prepared", "action 01 succeed", "compensate 02 prepared", "action 02 succeed"];
        assert_eq!(shown(&found), expected);
        let transaction = &found["transaction"];
        assert_eq!(
            (&transaction["status"], &transaction["gid"], &transaction["trans_type"]),
            (&json!("succeed"), &json!(gid), &json!("saga"))
        );
        assert_eq!(found["branches"][1]["bin_data"], "eyJvZiI6ImEifQ==");
        assert!(transaction["finish_time"].is_string(), "{transaction}");
        let unknown = query(stack, "nobody").await;
        assert_eq!(unknown, json!({ "transaction": null, "branches": [] }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_payload_is_a_get_and_an_empty_url_is_done_at_once() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        let steps = json!([
            { "action": branches.url("/a?x=1"), "compensate": "" },
            { "action": "", "compensate": branches.url("/b/undo") },
            { "action": branches.url("/c"), "compensate": branches.url("/c/undo") }
        ]);
        branches.answer("/c", &[REFUSED]);
        let body = with(two(&branches, "g"), json!({ "steps": steps, "payloads": ["", "", ""] }));
        submit(stack, body).await.expect(409);
        let seen = branches.seen();
        assert_eq!(branches.paths(), ["/a", "/c", "/c/undo", "/b/undo"]);
        assert!(seen.iter().all(|seen| seen.method == Method::GET && seen.body.is_empty()), "{seen:?}");
        assert!(seen[0].path.starts_with("/a?x=1&branch_id=01&"), "{}", seen[0].path);
        let expected = [
            "compensate 01 prepared",
            "action 01 succeed",
            "compensate 02 succeed",
            "action 02 succeed",
            "compensate 03 succeed",
            "action 03 failed",
        ];
        assert_eq!(shown(&query(stack, "g").await), expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gid_submitted_again_changes_nothing_and_is_told_what_became_of_it() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/b", &[Reply { after: Duration::from_millis(700), ..DONE }]);
        let no_wait = with(two(&branches, "g"), json!({ "wait_result": false }));
        // Never 202; and contents of a repeat do not count.
        assert_eq!(submit(stack, no_wait.clone()).await.expect(200).text, r#"{"dtm_result":"SUCCESS"}"#);
        let other = with(super::of(&branches, "g", &["x", "y"]), json!({ "wait_result": false }));
        assert_eq!(submit(stack, other).await.expect(200).text, r#"{"dtm_result":"SUCCESS"}"#);
        submit(stack, two(&branches, "g")).await.expect(200);
        assert_eq!(branches.paths(), ["/a", "/b"]);
        assert_eq!(status(stack, "g").await, "succeed");
        // One that turned back says so, with wait_result or not.
        branches.answer("/b", &[REFUSED]);
        for waits in [true, false, true] {
            let answer = submit(stack, with(two(&branches, "back"), json!({ "wait_result": waits }))).await;
            if !waits || answer.status == 409 {
                assert_eq!(answer.expect(409).json()["dtm_result"], "FAILURE");
            }
        }
        assert_eq!(branches.count("/b"), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_ended_within_the_wait_is_ongoing() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches).set("orchestrator.wait_limit_ms", 500), async |stack: &Stack| {
        branches.answer("/b", &[ONGOING]);
        let answer = submit(stack, two(&branches, "g")).await.expect(425);
        assert_eq!(answer.text, r#"{"dtm_result":"ONGOING"}"#);
        assert_eq!(status(stack, "g").await, "submitted");
        branches.answer("/b", &[DONE]);
        wait_until("it succeeds", PATIENCE, async || (status(stack, "g").await == "succeed").then_some(())).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_saga_runs_at_once_as_far_as_its_orders_allow() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        let slow = Reply { after: Duration::from_millis(500), ..DONE };
        branches.answer("/a", std::slice::from_ref(&slow));
        branches.answer("/b", &[slow]);
        let custom = json!({ "concurrent": true, "orders": { "2": [0, 1] } }).to_string();
        let body =
            with(super::of(&branches, "g", &["a", "b", "c"]), json!({ "custom_data": custom, "wait_result": false }));
        submit(stack, body).await.expect(200);
        branches.called("/a", 1).await;
        branches.called("/b", 1).await;
        assert_eq!(branches.count("/c"), 0, "c is called after both");
        branches.called("/c", 1).await;
        wait_until("it succeeds", PATIENCE, async || (status(stack, "g").await == "succeed").then_some(())).await;
        let found = query(stack, "g").await;
        assert_eq!(
            (&found["transaction"]["concurrent"], &found["transaction"]["custom_data"]),
            (&json!(true), &json!(custom))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_refused_with_a_reason() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        let outside = json!([{ "action": "http://127.0.0.1:9/x" }, { "action": branches.url("/b") }]);
        for (changes, reason) in [
            (json!({ "trans_type": "tcc" }), "trans_type tcc is not supported"),
            (json!({ "payloads": ["1"] }), "fewer than the 2 steps"),
            (json!({ "gid": "" }), "gid is empty"),
            (json!({ "gid": "a;b" }), "semicolon"),
            (json!({ "steps": outside }), "dtm.allowed_urls"),
        ] {
            let answer = submit(stack, with(two(&branches, "g"), changes)).await.expect(400);
            assert!(answer.text.contains(reason), "{reason}: {}", answer.text);
        }
        let rows = stack.database(ORCHESTRATOR).await.number("select count(*) from saga", &[]).await;
        assert_eq!(rows, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_newest_first_and_filtered() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        branches.answer("/b", &[DONE, DONE, REFUSED]);
        for gid in ["g1", "g2", "g3"] {
            submit(stack, two(&branches, gid)).await;
        }
        let list = async |query: &str| {
            let page = stack.get(ORCHESTRATOR, &format!("/api/dtmsvr/all{query}")).await.expect(200).json();
            let gids: Vec<String> = page["transactions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["gid"].as_str().unwrap().to_owned())
                .collect();
            (gids, page["next_position"].as_str().unwrap().to_owned())
        };
        assert_eq!(list("").await.0, ["g3", "g2", "g1"]);
        let (first, position) = list("?limit=2").await;
        assert_eq!(first, ["g3", "g2"]);
        let (rest, end) = list(&format!("?limit=2&position={position}")).await;
        assert_eq!((rest, end.as_str()), (vec!["g1".to_owned()], ""));
        assert_eq!(list("?gid=g2").await.0, ["g2"]);
        assert_eq!(list("?status=failed").await.0, ["g3"]);
        assert_eq!(list("?status=succeed&transType=saga").await.0, ["g2", "g1"]);
        assert_eq!(list("?transType=msg").await.0, Vec::<String>::new());
        assert_eq!(list("?createTimeStart=4000000000000").await.0, Vec::<String>::new());
        assert_eq!(list("?createTimeEnd=4000000000000").await.0.len(), 3);
        for bad in ["limit=x", "gid=a%00", "status=a%00", "createTimeStart=-8000000000000000", "createTimeEnd=x"] {
            let answer = stack.get(ORCHESTRATOR, &format!("/api/dtmsvr/all?{bad}")).await.expect(400);
            assert!(answer.text.contains(bad.split_once('=').unwrap().0), "{bad}: {}", answer.text);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_the_token_may_come_as_a_password() {
    let branches = Branches::start().await;
    let options = speaking(&branches)
        .profile("production")
        .set("auth.service_token", "service-token-of-the-test")
        .set("auth.api_token", "api-token-of-the-test")
        .set("auth.operator_token", "operator-token-of-the-test");
    with_stack(options, async |stack: &Stack| {
        let ask = async |path: &str, password: Option<&str>| {
            let request = stack.request(reqwest::Method::GET, ORCHESTRATOR, path);
            let request = match password {
                Some(password) => request.basic_auth("", Some(password)),
                None => request,
            };
            send(request).await.status
        };
        assert_eq!(ask("/api/dtmsvr/newGid", None).await, 401);
        assert_eq!(ask("/api/dtmsvr/newGid", Some("another")).await, 403);
        assert_eq!(ask("/api/dtmsvr/newGid", Some("api-token-of-the-test")).await, 200);
        assert_eq!(ask("/api/dtmsvr/all", Some("api-token-of-the-test")).await, 403);
        assert_eq!(ask("/api/dtmsvr/all", Some("operator-token-of-the-test")).await, 200);
        assert_eq!(
            ask("/saga/transactions", Some("api-token-of-the-test")).await,
            401,
            "elsewhere only a bearer token"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_there_is_no_such_route() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.get(ORCHESTRATOR, "/api/dtmsvr/newGid").await.expect(404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_answer_is_asked_for_again() {
    let branches = Branches::start().await;
    with_stack(speaking(&branches), async |stack: &Stack| {
        for (number, status) in [201_u16, 202, 204, 302, 400, 404, 500].into_iter().enumerate() {
            branches.answer("/a", &[Reply { status, ..BROKEN }, DONE]);
            let gid = format!("g{number}");
            submit(stack, two(&branches, &gid)).await.expect(200);
            let calls = branches
                .seen()
                .iter()
                .filter(|seen| seen.path.contains(&format!("gid={gid}&")) && seen.path.starts_with("/a?"))
                .count();
            assert_eq!(calls, 2, "{status}");
        }
    })
    .await;
}
