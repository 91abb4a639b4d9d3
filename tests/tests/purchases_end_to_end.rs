//! Whole purchases through all five services: outcomes, books, and what happens when something breaks underneath.

use std::collections::HashSet;

use futures::future::join_all;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tests::chance::plausible_counts;
use tests::http::Answer;
use tests::private_cluster;
use tests::problem::assert_problem;
use tests::stack::{ORCHESTRATOR, SERVICES, Stack};
use tests::{PATIENCE, StackOptions, wait_until, with_stack};

async fn buy(stack: &Stack, user: &str) -> Answer {
    stack.post(ORCHESTRATOR, "/saga/transaction", json!({"user_id":user,"amount":"99.99"})).await
}

async fn column(stack: &Stack, service: &str, sql: &str) -> HashSet<String> {
    let rows = stack.database(service).await.rows(sql, &[]).await.iter().map(|row| row.get(0)).collect::<Vec<String>>();
    let count = rows.len();
    let set: HashSet<String> = rows.into_iter().collect();
    assert_eq!(set.len(), count, "{service}: twice the same");
    set
}

/// Every COMPLETED saga has one live payment and one live purchase, and nothing else is live.
async fn assert_books_agree(stack: &Stack) {
    let completed = column(stack, ORCHESTRATOR, "select id::text from saga where status = 'COMPLETED'").await;
    let paid = column(stack, "payments", "select transaction_id from app_payment where status = 'success'").await;
    let bought = column(stack, "purchases", "select transaction_id from app_purchase where status = 'success'").await;
    assert_eq!(paid, completed, "payments");
    assert_eq!(bought, completed, "purchases");
}

async fn wait_until_all_ended(stack: &Stack) {
    let log = stack.database(ORCHESTRATOR).await;
    wait_until("every saga has ended", PATIENCE, async || {
        let open = log.number("select count(*) from saga where ended_at is null", &[]).await;
        (open == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_purchase_in_eight_completes_and_the_books_agree() {
    let options = StackOptions::default()
        .set("faults.payments.charge.failure_rate", 0.5)
        .set("faults.inventory.decrease.failure_rate", 0.5)
        .set("faults.purchases.create.failure_rate", 0.5);
    with_stack(options, async |stack| {
        let buying = stream::iter(0..200).map(|number| async move { buy(stack, &format!("user-{number}")).await });
        let answers: Vec<Answer> = buying.buffered(16).collect().await;
        let completed = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)));
        let plausible = plausible_counts(200, 0.125, 1e-9);
        assert!(plausible.contains(&(completed as u32)), "{completed} of 200, expected {plausible:?}");
        assert_books_agree(stack).await;
        let list = stack.get(ORCHESTRATOR, "/saga/transactions?status=COMPLETED&limit=1").await.expect(200).json();
        assert_eq!(list["total"], completed);
    })
    .await;
}

#[tokio::test]
async fn every_client_gets_its_own_answer() {
    with_stack(StackOptions::default(), async |stack| {
        let answers = join_all((0..100_u32).map(|number| async move {
            let (user, amount) = (format!("user-{number}"), format!("{}.5", number + 1));
            let body = json!({"user_id":user,"amount":amount});
            (number, user, stack.post(ORCHESTRATOR, "/saga/transaction", body).await.expect(200).json())
        }))
        .await;
        let ids: HashSet<String> = answers.iter().map(|(_, _, body)| body["transaction_id"].to_string()).collect();
        assert_eq!(ids.len(), 100);
        for (number, user, body) in answers {
            assert_eq!(body["details"]["user_id"], *user);
            assert_eq!(body["details"]["amount"], json!(f64::from(number + 1) + 0.5));
            let id = body["transaction_id"].as_str().unwrap();
            let status = stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json();
            assert_eq!(status["user_id"], *user);
            assert_eq!(status["status"], "COMPLETED");
            assert_eq!(status["steps"].as_array().map(Vec::len), Some(4));
        }
    })
    .await;
}

#[tokio::test]
async fn a_given_product_is_bought_and_an_unknown_one_refuses() {
    with_stack(StackOptions::default(), async |stack| {
        let order = |product: Value| json!({"user_id":"u","amount":1,"product_id":product});
        let bought = stack.post(ORCHESTRATOR, "/saga/transaction", order(json!(7))).await.expect(200).json();
        assert_eq!(bought["details"]["product_id"], "7");
        let refused = stack.post(ORCHESTRATOR, "/saga/transaction", order(json!("77777"))).await.expect(409).json();
        assert_eq!(refused["status"], "COMPENSATED");
        assert_eq!(refused["details"]["error"], "404: catalog conflict: Product 77777 not found");
        assert_eq!(refused["details"]["payment_id"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn a_refused_purchase_gives_the_money_back() {
    with_stack(StackOptions::default().set("faults.purchases.create.failure_rate", 1), async |stack| {
        let reverted = buy(stack, "u").await.expect(409).json();
        assert_eq!(reverted["details"]["error"], "409: purchases conflict: CONFLICT");
        let payment = reverted["details"]["payment_id"].as_str().unwrap().to_owned();
        let payment = stack.get("payments", &format!("/payments/{payment}/")).await.expect(200).json();
        assert_eq!(payment["status"], "compensated");
    })
    .await;
}

#[tokio::test]
async fn every_kind_of_fault_at_once_leaves_nothing_half_done() {
    let mut options = StackOptions::default().set("retry.action.attempts", 6).set("faults.seed", 7);
    for operation in
        ["payments.charge", "payments.refund", "inventory.decrease", "purchases.create", "purchases.cancel"]
    {
        for kind in ["failure_rate", "unavailable_rate", "lost_reply_rate", "cut_connection_rate", "duplicate_rate"] {
            options = options.set(&format!("faults.{operation}.{kind}"), 0.15);
        }
    }
    with_stack(options, async |stack| {
        let answers = join_all((0..60).map(|number| async move { buy(stack, &format!("user-{number}")).await })).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409 | 202 | 502)), "{answers:?}");
        wait_until_all_ended(stack).await;
        assert_books_agree(stack).await;
    })
    .await;
}

#[tokio::test]
async fn the_tree_shows_sagas_that_wait_for_slow_calls() {
    let slow = json!({"charge":{"latency_ms":{"min":3000,"max":3000}}});
    with_stack(StackOptions::default(), async |stack| {
        stack.set_faults("payments", slow).await;
        let buying = join_all((0..200).map(|_| buy(stack, "u")));
        let watching = wait_until("200 sagas wait for payments", PATIENCE, async || {
            let tree = stack.get(ORCHESTRATOR, "/debug/actors").await.expect(200).json();
            let children = tree["children"].as_array().unwrap().clone();
            let coordinator = children.iter().find(|child| child["kind"] == "coordinator").unwrap().clone();
            let sagas = coordinator["children"].as_array().unwrap().clone();
            let waits = |saga: &&Value| saga["state"]["waiting_for"]["participant"] == "payments";
            let waiting: Vec<&Value> = sagas.iter().filter(waits).collect();
            (waiting.len() == 200).then(|| waiting[0]["name"].as_str().unwrap().to_owned())
        });
        let look_at_one = async {
            let name = watching.await;
            let saga = stack.get(ORCHESTRATOR, &format!("/debug/actors/{name}")).await.expect(200).json();
            assert_eq!(saga["state"]["in_the_log"], true);
            let id = name.trim_start_matches("saga/");
            let status = stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json();
            assert_eq!(status["status"], "PENDING");
            assert_eq!(status["steps"][1]["state"], "running");
        };
        let (answers, ()) = futures::join!(buying, look_at_one);
        // The stock of a product is 100, and 20 products share 200 purchases: none runs out.
        assert!(answers.iter().all(|answer| answer.status == 200));
    })
    .await;
}

#[tokio::test]
async fn a_restarted_orchestrator_goes_on_with_what_was_running() {
    let options = StackOptions::default()
        .set("orchestrator.node_id", "the-node")
        .set("orchestrator.grace_ms", 0)
        .set("http.drain_grace_ms", 100);
    with_stack(options, async |stack| {
        stack.set_faults("payments", json!({"charge":{"latency_ms":{"min":1000,"max":1000}}})).await;
        let log = stack.database(ORCHESTRATOR).await;
        let url = format!("http://{}/saga/transaction", stack.address(ORCHESTRATOR));
        let client = reqwest::Client::new();
        let buying = join_all((0..20).map(|_| {
            let body = r#"{"user_id":"u","amount":"1"}"#;
            client.post(&url).header("content-type", "application/json").body(body).send()
        }));
        let restarting = async {
            wait_until("20 sagas are in the log", PATIENCE, async || {
                (log.number("select count(*) from saga where ended_at is null", &[]).await == 20).then_some(())
            })
            .await;
            stack.restart(ORCHESTRATOR).await;
        };
        let (told, ()) = futures::join!(buying, restarting);
        // What is handed over is accepted, and its client told where to look.
        for answer in told {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), 202);
            assert!(answer.headers()["location"].to_str().unwrap().starts_with("/saga/status/"));
        }
        wait_until_all_ended(stack).await;
        assert_books_agree(stack).await;
        assert_eq!(log.number("select count(*) from saga where status = 'COMPLETED'", &[]).await, 20);
        assert!(log.number("select count(*) from saga where epoch = 2", &[]).await > 0);
    })
    .await;
}

#[tokio::test]
async fn errors_are_problems_everywhere() {
    with_stack(StackOptions::default(), async |stack| {
        for service in SERVICES {
            assert_problem(&stack.get(service, "/nowhere").await, 404);
            let wrong = stack.delete(service, "/health/").await;
            assert_problem(&wrong, 405);
            assert_eq!(wrong.header("allow"), Some("GET, HEAD"));
            let health = stack.get(service, "/health").await.expect(200).json();
            assert_eq!(health["status"], "healthy");
            assert_eq!(health["service"], service);
        }
        assert_problem(&stack.get(ORCHESTRATOR, "/saga/status/nonsense").await, 422);
        assert_problem(&stack.get(ORCHESTRATOR, "/saga/status/01a20c4a-7736-75d0-a770-8fa71cbeb95d").await, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_by_itself_after_postgresql_was_away() {
    let cluster = private_cluster::private().await;
    let options = StackOptions::default().on_server(cluster.url()).set("orchestrator.lease_ms", 2000);
    with_stack(options, async |stack| {
        let buying = stream::iter(0..300).map(|number| async move { buy(stack, &format!("user-{number}")).await });
        let outage = async {
            let log = stack.database(ORCHESTRATOR).await;
            wait_until("some sagas have ended", PATIENCE, async || {
                (log.number("select count(*) from saga where ended_at is not null", &[]).await > 20).then_some(())
            })
            .await;
            tokio::task::block_in_place(|| {
                cluster.stop_immediately();
                cluster.start();
            });
        };
        let (told, ()) = futures::join!(buying.buffered(8).collect::<Vec<Answer>>(), outage);
        let again = async || (buy(stack, "later").await.status == 200).then_some(());
        wait_until("a purchase completes again", PATIENCE, again).await;
        wait_until_all_ended(stack).await;
        assert_books_agree(stack).await;
        // Nobody was told of a success that is not in the log.
        let completed = column(stack, ORCHESTRATOR, "select id::text from saga where status = 'COMPLETED'").await;
        for answer in told.iter().filter(|answer| answer.status == 200) {
            assert!(completed.contains(answer.json()["transaction_id"].as_str().unwrap()));
        }
    })
    .await;
}
