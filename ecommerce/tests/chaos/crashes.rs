//! Kills the only orchestrator while many sagas are in flight.

use std::time::Instant;

use futures::future::join_all;

use crate::system::{Options, System};

const SAGAS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sagas_in_flight_end_after_their_orchestrator_was_killed() {
    // All of them reach the slow step; then inventory and purchases each accept half, so one in four completes.
    let options = Options::new(&["only"])
        .set("participants.timeout_ms", 10_000)
        .set("faults.payments.charge.failure_rate", 0)
        .set("faults.inventory.decrease.failure_rate", 0.5)
        .set("faults.purchases.create.failure_rate", 0.5)
        .latency("inventory", "decrease", 2_000, 2_500);
    let system = System::start(options).await;
    let orchestrator = &system.orchestrators[0];
    let order = async |number: usize| system.order_at(orchestrator, &format!("user-{number}")).await;
    let orders = join_all((0..SAGAS).map(order));
    let kill = async {
        let running = system.unfinished_of("only", SAGAS).await;
        orchestrator.kill();
        running
    };
    let (answers, running) = futures::join!(orders, kill);
    assert!(answers.iter().all(Result::is_err), "no orchestrator was running");
    assert_eq!(running.len(), SAGAS);

    let start = Instant::now();
    orchestrator.start();
    system.settle().await;
    println!("{SAGAS} sagas ended {:.2} s after the start of their orchestrator", start.elapsed().as_secs_f64());
    let log = system.log().await;
    let taken_back = "select count(*) from saga where id = any($1) and epoch = 2 and ended_at is not null";
    assert_eq!(log.number(taken_back, &[&running]).await, SAGAS as i64);
    let report = system.audit().await;
    assert_eq!(report.verdicts[0].looked_at, SAGAS as u64);
    assert!(report.verdicts[1].looked_at > 0 && report.verdicts[2].looked_at > 0, "both ends occur: {report:?}");
}
