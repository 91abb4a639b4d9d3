//! PostgreSQL comes back as it was some time ago, under a running orchestrator: a backup was restored, or a standby was
//! promoted that had not received everything. Listeners learn that something is missing, and receive everything that
//! follows.

use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    events::{Event, Listener},
    private_cluster::PrivateCluster,
    stack::{ORCHESTRATOR, SERVICES},
    wait_until, with_stack,
};

/// Uses up transaction ids, as a day of purchases would.
const BURN: &str = "
    do $$ begin for number in 1..20000 loop perform pg_current_xact_id(); commit; end loop; end $$";

async fn buy(stack: &Stack) -> Value {
    // After an outage a service may need a moment more than its health shows.
    wait_until("a purchase is completed", PATIENCE, async || {
        let order = json!({ "user_id": "u", "product_id": 1, "amount": 5 });
        let answer = stack.post(ORCHESTRATOR, "/saga/transaction", order).await;
        (answer.status == 200).then(|| answer.json()["transaction_id"].clone())
    })
    .await
}

async fn burn(stack: &Stack) {
    stack.database(ORCHESTRATOR).await.run(BURN).await;
}

async fn start(cluster: &PrivateCluster, stack: &Stack) {
    cluster.start_again().await;
    for service in SERVICES {
        wait_until("the service is healthy", PATIENCE, async || {
            (stack.get(service, "/health/").await.status == 200).then_some(())
        })
        .await;
    }
}

fn is_end_of(event: &Event, id: &Value) -> bool {
    event.name == "saga" && event.data["ended"] == true && event.data["transaction_id"] == *id
}

/// Makes a cluster whose copy lies some purchases and many transactions back, and listeners that have heard of all of them:
/// one of all sagas, one of the saga that is in the copy too.
async fn with_a_copy(test: impl AsyncFnOnce(&PrivateCluster, &Stack, Listener, Listener)) {
    let cluster = PrivateCluster::start().await;
    let options = StackOptions::default().on_server(&cluster.url).set("database.connect_timeout_ms", 500);
    with_stack(options, async |stack: &Stack| {
        let old = buy(stack).await;
        cluster.stop().await;
        cluster.keep_copy().await;
        start(&cluster, stack).await;
        let mut all = Listener::open(stack, "").await;
        let mut one = Listener::open(stack, &format!("?saga={}", old.as_str().expect("an id"))).await;
        assert!(is_end_of(&one.next().await.expect("how it stands"), &old));
        burn(stack).await;
        let lost = buy(stack).await;
        all.until(|event| is_end_of(event, &lost)).await;
        test(&cluster, stack, all, one).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_told_of_the_gap_when_the_server_falls_behind_them() {
    with_a_copy(async |cluster, stack, mut all, mut one| {
        cluster.stop().await;
        cluster.restore_copy().await;
        start(cluster, stack).await;
        assert_eq!(all.next().await.expect("it goes on").name, "gap");
        let new = buy(stack).await;
        let told = all.until(|event| is_end_of(event, &new)).await;
        assert_eq!(told[0].brief(), "PENDING", "{told:#?}");
        assert_eq!(one.next().await.expect("it goes on").name, "gap");
        assert_eq!(one.next().await.expect("how it stands now").brief(), "COMPLETED!");
        // The id of a change that has never happened.
        let mut back = Listener::come_back(stack, "", &told[told.len() - 1].id).await;
        let newer = buy(stack).await;
        assert!(back.until(|event| is_end_of(event, &newer)).await.iter().all(|event| event.name != "gap"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_told_of_the_gap_also_where_the_server_has_overtaken_them_since() {
    with_a_copy(async |cluster, stack, mut all, _| {
        let last = all.last_id.clone();
        let paused = stack.pause(ORCHESTRATOR).await;
        cluster.stop().await;
        cluster.restore_copy().await;
        cluster.start_again().await;
        // Changes that another node would write meanwhile.
        burn(stack).await;
        burn(stack).await;
        drop(paused);
        assert_eq!(all.next().await.expect("it goes on").name, "gap");
        let new = buy(stack).await;
        all.until(|event| is_end_of(event, &new)).await;
        let mut back = Listener::come_back(stack, "", &last).await;
        assert_eq!(back.next().await.expect("it goes on").name, "gap");
    })
    .await;
}
