//! `GET /saga/{id}/inspect`: the log and the journals side by side.

use serde_json::json;
use tests::{
    Stack, StackOptions,
    interposer::{Act, Interposer},
    problem::assert_problem,
    stack::ORCHESTRATOR,
    with_stack,
};

use super::buy;

#[tokio::test(flavor = "multi_thread")]
async fn inspect_shows_what_the_log_and_every_participant_hold() {
    let options = StackOptions::default().set("faults.purchases.create.failure_rate", 1);
    with_stack(options, async |stack: &Stack| {
        let id =
            buy(stack, json!({ "user_id": "ada", "amount": 5 })).await.expect(409).json()["transaction_id"].clone();
        let path = format!("/saga/{}/inspect", id.as_str().unwrap());
        let seen = stack.get(ORCHESTRATOR, &path).await.expect(200).json();
        assert_eq!(seen["log"]["status"], "COMPENSATED");
        assert_eq!(seen["log"]["direction"], "compensating");
        assert_eq!(seen["log"]["error"], "409: purchases conflict: CONFLICT");
        assert_eq!(seen["memory"], json!(null));
        let operations = |participant: &str| -> Vec<String> {
            let journal = seen["participants"][participant]["journal"].as_array().expect("a journal").clone();
            journal
                .iter()
                .map(|entry| format!("{} {}", entry["operation"].as_str().unwrap(), entry["status"]))
                .collect()
        };
        assert_eq!(operations("payments"), ["charge 200", "refund 200"]);
        assert_eq!(operations("inventory"), ["decrease 200"]);
        // The purchase was refused: there is nothing to cancel.
        assert_eq!(operations("purchases"), ["create 409"]);

        stack.stop("inventory").await;
        let seen = stack.get(ORCHESTRATOR, &path).await.expect(200).json();
        assert!(seen["participants"]["inventory"]["error"].is_string(), "{seen}");
        assert!(seen["participants"]["payments"]["journal"].is_array(), "{seen}");
    })
    .await;
}

/// A little more than is read of an answer for people.
const TOO_LONG: usize = 17 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_service_longer_than_16_mib_is_not_read_and_the_others_are_shown() {
    let interposer = Interposer::start().await;
    let options = StackOptions::default().behind("payments", &interposer.url);
    with_stack(options, async |stack: &Stack| {
        interposer.before(stack.address("payments"));
        let bought = buy(stack, json!({ "user_id": "ada", "amount": 5 })).await.expect(200).json();
        let id = bought["transaction_id"].as_str().expect("an id");
        // Each is good JSON of its kind, and would be shown if it were read.
        let padding = "x".repeat(TOO_LONG);
        let journal = json!({ "transaction_id": id, "entries": [], "padding": padding }).to_string();
        let mut tree = stack.get("payments", "/debug/actors/").await.expect(200).json();
        let mut faults = stack.get("payments", "/debug/faults/").await.expect(200).json();
        for view in [&mut tree, &mut faults] {
            view["padding"] = json!(padding);
        }
        let too_long = "the answer is longer than 16 MiB";
        for (what, answer) in [("/journal/", journal), ("/actors/", tree.to_string()), ("/faults/", faults.to_string())]
        {
            interposer.next(1_000, what, Act::AnswerWith(200, &[], answer));
        }
        let seen = stack.get(ORCHESTRATOR, &format!("/saga/{id}/inspect")).await.expect(200).json();
        assert_eq!(seen["participants"]["payments"], json!({ "error": too_long }));
        assert!(seen["participants"]["purchases"]["journal"].is_array(), "{seen}");
        for (path, member) in [("/ui/api/services", "actors"), ("/ui/api/faults", "faults")] {
            let services = stack.get(ORCHESTRATOR, path).await.expect(200).json()["services"].clone();
            for service in services.as_array().expect("services") {
                let replica = &service["replicas"][0];
                if service["service"] == "payments" {
                    assert_eq!(replica["error"], too_long, "{path}");
                }
                assert_eq!(
                    replica[member].is_null(),
                    service["service"] == "payments",
                    "{path} {}",
                    service["service"]
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_cannot_be_inspected() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let unknown = "/saga/01890000-0000-7000-8000-000000000000/inspect";
        assert_problem(&stack.get(ORCHESTRATOR, unknown).await, 404);
        assert_problem(&stack.get(ORCHESTRATOR, "/saga/seven/inspect").await, 422);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_do_needs_the_operator_token_where_one_is_set() {
    let options = StackOptions::default().set("auth.operator_token", "secret");
    with_stack(options, async |stack: &Stack| {
        let id = "01890000-0000-7000-8000-000000000000";
        for path in [format!("/saga/{id}/inspect"), "/saga/attention".to_owned()] {
            assert_problem(&stack.get(ORCHESTRATOR, &path).await, 401);
        }
        for path in [format!("/saga/{id}/retry"), "/saga/attention/retry".to_owned(), format!("/saga/{id}/resolve")] {
            assert_problem(&stack.post(ORCHESTRATOR, &path, "{}").await, 401);
        }
        // A cancel is for clients.
        assert_problem(&stack.post(ORCHESTRATOR, &format!("/saga/{id}/cancel"), "{}").await, 404);
    })
    .await;
}
