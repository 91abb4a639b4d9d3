//! The views of sagas: status, list, supervision tree.

use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions, actors, assert_shape,
    problem::{assert_bad_fields, assert_problem},
    stack::{ORCHESTRATOR, unknown_saga},
    transactions, wait_until, with_stack,
};

use super::{buy, status};

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_what_is_no_saga_is_404_or_422() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let unknown = format!("/saga/status/{}", unknown_saga());
        for path in [unknown.clone(), format!("{unknown}/")] {
            assert_problem(&stack.get(ORCHESTRATOR, &path).await, 404);
        }
        for path in ["/saga/status/7", "/saga/status/not-a-uuid", "/saga/status/%00"] {
            assert_bad_fields(&stack.get(ORCHESTRATOR, path).await, 422, &["transaction_id"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_newest_first_with_filters_and_parts() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut ids = Vec::new();
        for number in 0..6 {
            let (user, rate) = (format!("user-{}", number % 2), f64::from(number / 3));
            stack.set_faults("payments", json!({ "charge": { "failure_rate": rate } })).await;
            let answer = buy(stack, json!({ "user_id": user, "product_id": 1, "amount": 5 })).await.json();
            ids.push(answer["transaction_id"].as_str().unwrap().to_owned());
        }
        ids.reverse();
        let listed = async |query: &str| {
            let mut listed = Vec::new();
            let mut cursor = String::new();
            loop {
                let path = format!("/saga/transactions?{query}{cursor}");
                let part = stack.get(ORCHESTRATOR, &path).await.expect(200).json();
                for saga in part["transactions"].as_array().unwrap() {
                    assert_eq!(saga, &status(stack, &saga["transaction_id"]).await);
                    listed.push(saga["transaction_id"].as_str().unwrap().to_owned());
                }
                let Some(next) = part["next_cursor"].as_str() else {
                    return (part["total"].as_u64().unwrap(), listed);
                };
                cursor = format!("&cursor={next}");
            }
        };
        let chosen = |numbers: &[usize]| {
            let chosen: Vec<String> = numbers.iter().map(|number| ids[*number].clone()).collect();
            (chosen.len() as u64, chosen)
        };
        assert_eq!(listed("").await, chosen(&[0, 1, 2, 3, 4, 5]));
        assert_eq!(listed("limit=4").await, chosen(&[0, 1, 2, 3, 4, 5]));
        assert_eq!(listed("limit=1000&user_id=user-1").await, chosen(&[0, 2, 4]));
        assert_eq!(listed("status=COMPENSATED&limit=1").await, chosen(&[0, 1, 2]));
        assert_eq!(listed("status=COMPLETED&user_id=user-0").await, chosen(&[3, 5]));
        assert_eq!(listed("status=FAILED").await, chosen(&[]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_filters_are_all_named() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let rows: [(&str, &[&str]); 7] = [
            ("limit=0", &["limit"]),
            ("limit=1001", &["limit"]),
            ("limit=x&status=DONE", &["limit", "status"]),
            ("cursor=x", &["cursor"]),
            ("user_id=", &["user_id"]),
            ("user_id=%00", &["user_id"]),
            ("status=", &["status"]),
        ];
        for (query, fields) in rows {
            let answer = stack.get(ORCHESTRATOR, &format!("/saga/transactions?{query}")).await;
            assert_bad_fields(&answer, 422, fields);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_says_what_this_is() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let expected = json!({ "service": "Saga Orchestrator", "status": "running", "version": "<text>" });
        assert_shape(&stack.get(ORCHESTRATOR, "/").await.expect(200).json(), &expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_saga_is_in_the_supervision_tree_with_its_log_and_what_it_waits_for() {
    let options = StackOptions::default().set("http.drain_grace_ms", 100);
    with_stack(options, async |stack: &Stack| {
        let slow = json!({ "decrease": { "latency_ms": { "min": 60_000, "max": 60_000 } } });
        stack.set_faults("inventory", slow).await;
        let purchase = buy(stack, json!({ "user_id": "u", "product_id": 1, "amount": 5 }));
        let look = async {
            let name = wait_until("the saga waits for inventory", PATIENCE, async || {
                let tree = actors::tree(stack, ORCHESTRATOR).await;
                let coordinator = actors::named(&tree, "coordinator");
                let saga = coordinator.children.iter().find(|actor| actor.kind == "saga")?;
                saga.state.to_string().contains("decrease").then(|| saga.name.clone())
            })
            .await;
            let path = format!("/debug/actors/{name}");
            let full = stack.get(ORCHESTRATOR, &path).await.expect(200).json();
            assert_eq!(full["name"], name);
            let state = full["state"].to_string();
            for word in ["choose", "charge", "decrease", "create"] {
                assert!(state.contains(word), "{word} is not in {full:#}");
            }
            // The proof is that it answers while the saga waits: end it.
            stack.restart("inventory").await;
        };
        let (answer, ()) = futures::join!(purchase, look);
        assert!([200, 409].contains(&answer.status), "{}", answer.text);
        wait_until("the saga has left the tree", PATIENCE, async || {
            let tree = actors::tree(stack, ORCHESTRATOR).await;
            actors::named(&tree, "coordinator").children.is_empty().then_some(())
        })
        .await;
        transactions::consistent(stack).await;
    })
    .await;
}
