//! A primary with two standbys fails in every way that servers fail in, while 16 buyers buy. Each purchase that was
//! confirmed is on the survivor with the same end, the databases agree, and events miss nothing. Purchases go on by
//! themselves.

mod buyers;
mod ends;
mod fence;
mod lost;

use std::time::Instant;

use ecommerce::facts::{Limits, audit};
use futures::future::{Either, join, select};
use orchestrator::invariants::Run;
use tests::{
    PATIENCE, Stack, StackOptions,
    events::Listener,
    replicated_cluster::{ReplicatedCluster, Replication},
    transactions::consistent,
    wait_until, with_stack,
};
use tokio_util::sync::CancellationToken;

use self::{
    buyers::{Answers, buy},
    ends::Ends,
};

/// Purchases between two disturbances.
const CALM: usize = 30;

fn options(cluster: &ReplicatedCluster) -> StackOptions {
    StackOptions::default()
        .on_server(&cluster.url())
        .set("database.connect_timeout_ms", 1_500)
        .set("database.statement_timeout_ms", 2_000)
        .set("participants.timeout_ms", 5_000)
        .set("inventory.initial_stock", 1_000_000)
        .set("faults.purchases.create.failure_rate", 0.2)
}

/// A way to fail.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// All processes of the primary die at once.
    PrimaryKilled,
    /// The processes of the primary stand still; they go on after its successor has taken over.
    PrimaryHangs,
    /// The network drops all packets to the primary and carries them again after its successor has taken over.
    PacketsDropped,
    /// The primary is stopped in an orderly way and comes back as a standby.
    Switchover,
    /// All processes of a standby die at once.
    StandbyKilled,
}

impl Failure {
    const ALL: [Self; 5] =
        [Self::PrimaryKilled, Self::PrimaryHangs, Self::PacketsDropped, Self::Switchover, Self::StandbyKilled];
}

/// The servers under purchases.
struct Scene<'a> {
    cluster: &'a mut ReplicatedCluster,
    told: &'a Answers,
    primary: usize,
}

impl Scene<'_> {
    /// Lets servers fail and repairs them, purchases being completed at each stage.
    async fn play(&mut self, failure: Failure) {
        let since = Instant::now();
        let primary = self.primary;
        match failure {
            Failure::PrimaryKilled => {
                self.cluster.kill(primary);
                self.fail_over().await;
                self.cluster.rebuild(primary, self.primary).await;
            }
            Failure::PrimaryHangs => {
                self.cluster.hang(primary);
                self.fail_over().await;
                self.cluster.wake(primary);
                self.retire(primary).await;
            }
            Failure::PacketsDropped => {
                self.cluster.proxy(primary).hold();
                self.fail_over().await;
                self.cluster.proxy(primary).flow();
                self.retire(primary).await;
            }
            Failure::Switchover => {
                self.cluster.stop(primary).await;
                self.fail_over().await;
                self.cluster.return_as_standby(primary, self.primary).await;
                self.cluster.wait_for_standbys(self.primary, 2).await;
            }
            Failure::StandbyKilled => {
                let standby = self.standbys()[0];
                self.cluster.kill(standby);
                self.purchases_go_on().await;
                self.cluster.rebuild(standby, primary).await;
            }
        }
        self.purchases_go_on().await;
        let (pause, all) = (self.told.longest_pause(since).as_secs_f64(), since.elapsed().as_secs_f64());
        println!("{failure:?}: {pause:.1} s without a completed purchase; {all:.1} s with its repair");
    }

    fn standbys(&self) -> Vec<usize> {
        (0..3).filter(|node| *node != self.primary).collect()
    }

    async fn fail_over(&mut self) {
        self.primary = self.cluster.fail_over(&self.standbys()).await;
        self.purchases_go_on().await;
    }

    /// Lets a former primary run on for a while, writable, and makes it a standby.
    async fn retire(&mut self, former: usize) {
        self.purchases_go_on().await;
        self.cluster.kill(former);
        self.cluster.rebuild(former, self.primary).await;
    }

    /// Waits until purchases are completed.
    async fn purchases_go_on(&self) {
        let before = self.told.completed();
        let go_on = async || (self.told.completed() >= before + CALM).then_some(());
        wait_until("purchases go on", PATIENCE, go_on).await;
    }
}

/// Checks that every answer is true on the present primary.
async fn judge(stack: &Stack, told: &Answers, ends: &Ends) {
    let transactions = consistent(stack).await;
    let mut wrong = Vec::new();
    for (id, end) in told.answers() {
        match (transactions.get(&id), end) {
            (None, _) => wrong.push(format!("{id} is lost")),
            (Some(entry), _) if !entry.ended => wrong.push(format!("{id} has not ended")),
            (Some(entry), Some(end)) if entry.status != end => {
                wrong.push(format!("{id} was told {end} and is {}", entry.status));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let report = audit(&stack.settings, Run::Over, Limits::default()).await.expect("the databases can be read");
    assert!(report.is_clean(), "{report:#?}");
    wait_until("the end of every saga is told", PATIENCE, async || {
        ends.missing(transactions.keys()).is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_survives_every_failure_of_a_server() {
    let mut cluster = ReplicatedCluster::start(Replication::Synchronous).await;
    with_stack(options(&cluster), async |stack: &Stack| {
        let (told, ends, stop) = (Answers::default(), Ends::default(), CancellationToken::new());
        let listener = Listener::open(stack, "").await;
        let mut scene = Scene { cluster: &mut cluster, told: &told, primary: 0 };
        let test = async {
            let disturbed = async {
                scene.purchases_go_on().await;
                for failure in Failure::ALL {
                    scene.play(failure).await;
                }
                stop.cancel();
            };
            join(disturbed, buy(stack, &told, &stop)).await;
            judge(stack, &told, &ends).await;
            lost::assert_no_loss(stack).await;
        };
        match select(Box::pin(test), Box::pin(ends.listen(listener))).await {
            Either::Left(_) => println!("{} purchases were told", told.answers().len()),
            Either::Right(_) => unreachable!("the listener listens for ever"),
        }
    })
    .await;
}
