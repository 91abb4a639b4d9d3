//! Two orchestrators, one of which dies or is only paused, and two that claim the same node id.

use futures::future::join_all;
use tests::{PATIENCE, wait_until};
use uuid::Uuid;

use crate::{
    clients::{Answers, under_load},
    system::{Options, System},
};

/// Slow enough that a node always has running sagas.
fn slow(nodes: &[&'static str]) -> Options {
    Options::new(nodes).latency("inventory", "decrease", 300, 800)
}

/// Waits until a node's lease has expired and it owns no running saga.
pub(crate) async fn wait_until_taken_over(system: &System, node: &str) {
    const TAKEN_OVER: &str = "
        select (select count(*) from node_lease where node_id = $1 and expires_at < clock_timestamp())
               - (select count(*) from saga where owner_node = $1 and ended_at is null)";
    let log = system.log().await;
    wait_until(&format!("the sagas of node {node} were taken over"), PATIENCE, async || {
        (log.number(TAKEN_OVER, &[&node]).await == 1).then_some(())
    })
    .await;
}

/// The sagas' rows in the log: id, status, end, epoch, owner.
async fn rows(system: &System, ids: &[Uuid]) -> Vec<(Uuid, String, Option<String>, i32, String)> {
    let sql = "select id, status, ended_at::text, epoch, owner_node from saga where id = any($1) order by id";
    let rows = system.log().await.rows(sql, &[&ids]).await;
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_two_orchestrators_is_killed_the_other_finishes_everything() {
    let system = System::start(slow(&["a", "b"])).await;
    let told = Answers::default();
    let mut orphans = Vec::new();
    under_load(&system, &told, async {
        told.wait_for_sagas(20).await;
        system.unfinished_of("a", 3).await;
        system.orchestrators[0].kill();
        orphans = system.unfinished_of("a", 0).await;
        wait_until_taken_over(&system, "a").await;
        told.wait_for_sagas(10).await;
    })
    .await;
    system.settle().await;
    told.confirm(&system).await;
    for row in rows(&system, &orphans).await {
        assert!(row.3 > 1 && row.4 == "b", "{row:?}");
    }
    system.audit().await;
    println!("{} sagas taken over; {}", orphans.len(), told.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_that_wakes_up_after_its_lease_changes_no_end_and_tells_no_other() {
    let system = System::start(slow(&["a", "b"])).await;
    let told = Answers::default();
    let sleeper = &system.orchestrators[0];
    let (mut taken, mut before) = (Vec::new(), Vec::new());
    under_load(&system, &told, async {
        told.wait_for_sagas(20).await;
        system.unfinished_of("a", 3).await;
        sleeper.pause();
        taken = system.unfinished_of("a", 0).await;
        wait_until_taken_over(&system, "a").await;
        wait_until("the other orchestrator has ended them", PATIENCE, async || {
            before = rows(&system, &taken).await;
            before.iter().all(|row| row.2.is_some()).then_some(())
        })
        .await;
        sleeper.resume();
        // Its waiting clients receive the end in the row; `Answers` checks that.
        wait_until("the orchestrator has a lease again", PATIENCE, async || {
            let lives = "select count(*) from node_lease where node_id = 'a' and expires_at > clock_timestamp()";
            (system.log().await.number(lives, &[]).await == 1).then_some(())
        })
        .await;
        told.wait_for_sagas(20).await;
    })
    .await;
    system.settle().await;
    told.confirm(&system).await;
    assert!(!taken.is_empty());
    assert_eq!(rows(&system, &taken).await, before, "ended sagas stay unchanged");
    assert!(sleeper.is_running(), "a node that only lost its lease keeps running");
    system.audit().await;
    println!("{} sagas taken over; {}", taken.len(), told.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_with_the_same_node_id_waits_and_says_so_until_the_first_is_gone() {
    const SAGAS: usize = 20;
    const NOTICE: &str = "another process with this node id is alive";
    let options = Options::new(&["twin", "twin"]).set("faults.payments.charge.failure_rate", 0).latency(
        "inventory",
        "decrease",
        1_000,
        1_500,
    );
    // The waiting orchestrator holds no lease, so it is not healthy.
    let system = System::launch(options).await;
    let [one, two] = &system.orchestrators[..] else { panic!("two orchestrators were requested") };
    let (first, second) = wait_until("one orchestrator waits for the other", PATIENCE, async || {
        match (one.said().contains(NOTICE), two.said().contains(NOTICE)) {
            (false, false) => None,
            (false, true) => Some((one, two)),
            (true, false) => Some((two, one)),
            (true, true) => panic!("each waits for the other"),
        }
    })
    .await;
    system.wait_for_health_of(system.all().filter(|process| process.name != second.name)).await;
    let told = Answers::default();
    told.hear(&system.order_at(first, "user").await.unwrap());
    let refused = system.order_at(second, "user").await.unwrap();
    assert_eq!(refused.status, 503, "a waiting orchestrator accepts nothing: {}", refused.text);

    // The orders lose their connections.
    let orders = join_all((0..SAGAS).map(|_| system.order_at(first, "user")));
    let kill = async {
        let running = system.unfinished_of("twin", SAGAS).await;
        first.kill();
        running
    };
    let (_, running) = futures::join!(orders, kill);
    system.settle().await;
    for row in rows(&system, &running).await {
        assert!(row.3 > 1, "taken over: {row:?}");
    }
    let answer = system.order_at(second, "user").await.unwrap();
    assert!(matches!(answer.status, 200 | 409), "the second is the node now: {}", answer.text);
    told.hear(&answer);
    told.confirm(&system).await;
    system.audit().await;
}
