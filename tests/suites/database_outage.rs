//! PostgreSQL stops under load and restarts: no service ends, no answer is false, and work resumes automatically.

use std::time::{Duration, Instant};

use futures::future::join_all;
use parking_lot::Mutex;
use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions, actors,
    http::Answer,
    operations::OPERATIONS,
    private_cluster::PrivateCluster,
    stack::{ORCHESTRATOR, SERVICES, new_transaction},
    transactions, wait_until, with_stack,
};
use tokio_util::sync::CancellationToken;

/// Duration of the outage: longer than a lease and every timeout of the pools.
const OUTAGE: Duration = Duration::from_secs(6);
const CLIENTS: usize = 8;

/// The answers to clients, in order.
#[derive(Default)]
struct Answers(Mutex<Vec<Answer>>);

impl Answers {
    fn hear(&self, answer: Answer) {
        self.0.lock().push(answer);
    }

    fn count(&self, status: u16) -> usize {
        self.answers().iter().filter(|answer| answer.status == status).count()
    }

    fn answers(&self) -> Vec<Answer> {
        self.0.lock().clone()
    }
}

/// Stops the database while `told` fills, and restarts it once clients have noticed.
async fn outage(cluster: &PrivateCluster, stack: &Stack, told: &Answers) {
    wait_until("the clients have got going", PATIENCE, async || (told.count(200) >= 50).then_some(())).await;
    cluster.stop().await;
    let (start, before) = (Instant::now(), told.count(503));
    wait_until("the outage has lasted and was noticed", PATIENCE, async || {
        (start.elapsed() >= OUTAGE && told.count(503) >= before + 20).then_some(())
    })
    .await;
    for service in SERVICES {
        assert_eq!(stack.get(service, "/health/").await.status, 503, "{service}");
        stack.get(service, "/health/live/").await.expect(200);
        actors::tree(stack, service).await;
    }
    cluster.start_again().await;
    let before = told.count(200);
    wait_until("the work goes on", PATIENCE, async || (told.count(200) >= before + 50).then_some(())).await;
    for service in SERVICES {
        wait_until("the service is healthy", PATIENCE, async || {
            (stack.get(service, "/health/").await.status == 200).then_some(())
        })
        .await;
    }
}

fn options(cluster: &PrivateCluster) -> StackOptions {
    StackOptions::default()
        .on_server(&cluster.url)
        .set("inventory.initial_stock", 1_000_000)
        .set("database.connect_timeout_ms", 500)
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_survive_an_outage_of_the_database() {
    let cluster = PrivateCluster::start().await;
    with_stack(options(&cluster), async |stack: &Stack| {
        let (told, end) = (Answers::default(), CancellationToken::new());
        let client = async |number: usize| {
            while !end.is_cancelled() {
                let body = json!({ "user_id": format!("client-{number}"), "amount": 10 });
                let answer = stack.post(ORCHESTRATOR, "/saga/transaction", body).await;
                let wait = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
                told.hear(answer);
                tokio::time::sleep(Duration::from_secs(wait.unwrap_or(0))).await;
            }
        };
        let clients = join_all((0..CLIENTS).map(client));
        let disturb = async {
            outage(&cluster, stack, &told).await;
            end.cancel();
        };
        futures::join!(clients, disturb);

        let transactions = transactions::consistent(stack).await;
        let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
        for answer in told.answers() {
            *statuses.entry(answer.status).or_default() += 1;
            let body = answer.json();
            let entry = body["transaction_id"].as_str().map(|id| (id, transactions.get(id)));
            match (answer.status, entry) {
                (200 | 409, Some((_, Some(entry)))) => assert_eq!(body["status"], entry.status, "{body}"),
                // An accepted saga is in the log; one in doubt may be.
                (202 | 502, Some((_, Some(_)))) | (503, _) => {}
                _ => panic!("{} is not what the databases hold: {body}", answer.status),
            }
        }
        println!("answers by status: {statuses:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_participant_confirmed_before_and_during_an_outage_is_there_after_it() {
    let cluster = PrivateCluster::start().await;
    with_stack(options(&cluster), async |stack: &Stack| {
        for operation in &OPERATIONS {
            let (told, end) = (Answers::default(), CancellationToken::new());
            let confirmed = Mutex::new(Vec::new());
            let client = async || {
                while !end.is_cancelled() {
                    let id = new_transaction();
                    // In doubt: retry with the same id.
                    let answer = wait_until("there is an answer", PATIENCE, async || {
                        let answer = operation.act(stack, &id).await;
                        told.hear(answer.clone());
                        (answer.status != 503).then_some(answer)
                    })
                    .await;
                    answer.expect(200);
                    confirmed.lock().push(id);
                }
            };
            let clients = join_all((0..CLIENTS).map(|_| client()));
            let disturb = async {
                outage(&cluster, stack, &told).await;
                end.cancel();
            };
            futures::join!(clients, disturb);
            let confirmed = confirmed.into_inner();
            for id in &confirmed {
                assert_eq!(operation.live(stack, id).await, 1, "{} confirmed {id}", operation.service);
            }
            println!("{}: {} confirmed, {} times in doubt", operation.service, confirmed.len(), told.count(503));
        }
    })
    .await;
}
