//! Rolling restarts: each orchestrator is stopped and started again while clients buy through a load balancer, and each
//! participant, which has no other replica.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::join_all;
use tests::{PATIENCE, http::Answer, wait_until};

use crate::{
    clients::{Answers, under_load},
    system::{Options, System},
};

const CLIENTS: usize = 12;

/// Messages of an orchestrator about calls to one participant, two a call: more than the purchases of all clients send
/// until their attempts are used up.
const MANY_CALLS: u64 = 100;

/// The load balancer's state of a replica.
#[derive(Default)]
struct Backend {
    /// The replica refused orders or was unreachable; it receives none until it is healthy again.
    out: AtomicBool,
    /// Number of orders that found it out and went to another replica.
    passed_over: AtomicUsize,
}

/// Sends an order until a replica accepts it. A request that was sent must be answered.
async fn order(system: &System, backends: &[Backend], user: &str, first: usize) -> Answer {
    let mut turn = first;
    wait_until("an order is accepted", PATIENCE, async || {
        turn += 1;
        let index = turn % backends.len();
        let backend = &backends[index];
        if backend.out.load(Ordering::Relaxed) {
            return None;
        }
        match system.order_at(&system.orchestrators[index], user).await {
            // The replica is stopping and did nothing.
            Ok(answer) if answer.status == 503 && answer.json()["transaction_id"].is_null() => {}
            Err(error) if error.is_connect() => {}
            Ok(answer) => return Some(answer),
            Err(error) => panic!("an order was sent and not answered: {error:?}"),
        }
        backend.out.store(true, Ordering::Relaxed);
        backend.passed_over.fetch_add(1, Ordering::Relaxed);
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_answers_everybody() {
    // Some sagas outlast the grace period and are handed over.
    let options =
        Options::new(&["a", "b"]).latency("inventory", "decrease", 10, 1_200).set("orchestrator.grace_ms", 400);
    let system = System::start(options).await;
    let told = Answers::default();
    let backends = [Backend::default(), Backend::default()];
    let (end, handed_over) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = async |number: usize| {
        for round in 0.. {
            let answer = order(&system, &backends, &format!("client-{number}"), number + round).await;
            told.hear(&answer);
            if answer.status == 202 {
                handed_over.fetch_add(1, Ordering::Relaxed);
                let id = answer.json()["transaction_id"].as_str().unwrap().to_owned();
                assert_eq!(answer.header("location"), Some(format!("/saga/status/{id}").as_str()));
            }
            if end.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    let restarts = async {
        for (replica, backend) in system.orchestrators.iter().zip(&backends) {
            told.wait_for_sagas(30).await;
            assert_eq!(replica.terminate().await, Some(0), "{} ends well", replica.name);
            told.wait_for_sagas(30).await;
            replica.start();
            system.wait_for_health().await;
            backend.out.store(false, Ordering::Relaxed);
        }
        told.wait_for_sagas(30).await;
        end.store(true, Ordering::Relaxed);
    };
    futures::join!(join_all((0..CLIENTS).map(client)), restarts);
    system.settle().await;
    told.confirm(&system).await;
    system.audit().await;
    let passed_over: usize = backends.iter().map(|backend| backend.passed_over.load(Ordering::Relaxed)).sum();
    let handed_over = handed_over.into_inner();
    println!("{}; {handed_over} clients sent to the status, {passed_over} to the other replica", told.summary());
    assert!(handed_over > 0, "the grace was too short for some");
}

#[tokio::test(flavor = "multi_thread")]
async fn participants_that_are_restarted_one_after_the_other_revert_no_purchase() {
    // Without breakers, which would park purchases too, but only after the first ones have used up their attempts.
    let options = Options::new(&["a"])
        .without_failures()
        .without_proxies()
        .set("participants.breaker_failures", 0)
        .set("orchestrator.wait_limit_ms", 10_000);
    let system = System::start(options).await;
    let told = Answers::default();
    let orchestrator = &system.orchestrators[0];
    under_load(&system, &told, async {
        for (service, participant) in &system.participants {
            told.wait_for_sagas(30).await;
            assert_eq!(participant.terminate().await, Some(0), "{service} ends well");
            system.wait_for_calls(orchestrator, service, MANY_CALLS).await;
            participant.start();
            system.wait_for_health().await;

            told.wait_for_sagas(30).await;
            // A call in flight is lost with its answer, which takes one attempt.
            participant.kill();
            system.wait_for_calls(orchestrator, service, MANY_CALLS).await;
            participant.start();
            system.wait_for_health().await;
        }
        told.wait_for_sagas(30).await;
    })
    .await;
    system.settle().await;
    told.confirm(&system).await;
    system.audit().await;
    println!("{}", told.summary());
    let reverted = system.log().await.number("select count(*) from saga where status <> 'COMPLETED'", &[]).await;
    assert_eq!(reverted, 0, "reverted purchases");
}
