//! The clients of a run: they order, wait or detach, cancel, lose their connection, and repeat their key. The answers
//! that each got are compared with the log at the end.

use std::sync::Arc;
use std::time::Duration;

use common::ids::{ProductId, UserId};
use common::money::Money;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{oneshot, watch};

use super::process::{BEGIN_LIMIT, ProcessId, ProcessState, pick};
use super::run::HOUSEKEEPING_EVERY;
use super::sim::{Sim, saga_id};
use super::standbys::Database;
use super::status::{self, Shown};
use super::verdict::{ClientOutcome, ClientReport};
use orchestrator::checkout::Order;
use saga_engine::actor::{StartAnswer, Waiter};
use saga_engine::coordinator::{CoordinatorMsg, StartSaga};
use saga_engine::record::{Fingerprint, IdempotencyKey, KeyScope};
use saga_engine::{SagaId, Status};

/// How long a client waits for the end of its saga.
const PATIENCE: Duration = Duration::from_secs(20);
/// Maximum number of requests of a client with a key.
const ATTEMPTS: usize = 6;

/// Number of status requests of a client that sends any.
const STATUS_ASKED: usize = 4;
/// Interval at which the front reads the row of a saga that its process does not run.
const ASK_THE_ROW_EVERY: Duration = Duration::from_millis(100);
/// Interval of status requests for an id that came with a 503.
const LEARN_EVERY: Duration = Duration::from_millis(500);
/// Time after the faults end within which such a client must know the result.
const LEARNS_WITHIN: Duration = Duration::from_secs(60);

struct Client {
    sim: Arc<Sim>,
    rng: ChaCha8Rng,
    order: Order,
    key: Option<IdempotencyKey>,
    /// How long it waits for the end.
    patience: Duration,
    /// Whether it sends status requests meanwhile.
    asks: bool,
    /// Time from its order to its cancel, if it cancels.
    cancels: Option<Duration>,
}

/// Runs a client from its order to its last answer.
pub(super) async fn run(sim: Arc<Sim>, seed: u64, index: usize) {
    let faults = sim.faults.clone();
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let latest = (faults.calm_after_ms * 4 / 5).max(1);
    let starts = Duration::from_millis(rng.random_range(0..latest));
    let chance = |rng: &mut ChaCha8Rng, rate: f64| rate > 0.0 && rng.random::<f64>() < rate;
    let has_key = chance(&mut rng, faults.key_rate);
    let leaves = chance(&mut rng, faults.async_rate);
    let cancels = chance(&mut rng, faults.cancel_rate);
    let asks = chance(&mut rng, faults.status_rate);
    let order = order(&mut rng, index);
    let mut client = Client {
        key: has_key.then(|| IdempotencyKey {
            scope: KeyScope::User(order.user_id.to_string()),
            key: format!("key-{index}"),
            fingerprint: Fingerprint { version: 1, hash: Vec::new() },
        }),
        order,
        patience: if leaves { Duration::from_millis(rng.random_range(0..50)) } else { PATIENCE },
        asks,
        cancels: cancels.then(|| Duration::from_millis(rng.random_range(1..2_000))),
        sim: sim.clone(),
        rng,
    };
    tokio::time::sleep(starts).await;
    client.buy().await;
    client.repeat_key().await;
    sim.lock().clients -= 1;
}

fn order(rng: &mut ChaCha8Rng, index: usize) -> Order {
    // One in ten wants a product that does not exist.
    let product: u32 = rng.random_range(0..10);
    let product_id = match product {
        0 => ProductId::parse("99").ok(),
        1..=5 => ProductId::parse(&product.to_string()).ok(),
        _ => None,
    };
    let user_id = UserId::parse(&format!("user-{index}")).expect("a user's name");
    let amount = Money::from_cents(rng.random_range(1..100_000)).expect("an amount");
    Order { user_id, product_id, amount }
}

impl Client {
    async fn buy(&mut self) {
        for _ in 0..ATTEMPTS {
            let Some((process, death)) = self.find_process() else {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            };
            // As in production: by the database's clock, as the node last read it.
            let now = self.sim.database_now();
            let id = saga_id(&mut self.rng, now);
            self.sim.lock().trace.named(id);
            if self.asks {
                for _ in 0..STATUS_ASKED {
                    let after = Duration::from_millis(self.rng.random_range(0..20_000));
                    status::ask_later(&self.sim, id, after);
                }
            }
            let asked_at = self.sim.elapsed();
            match self.ask(process, death, id).await {
                Some(StartAnswer::Settled(standing)) if standing.status == Status::Failed => {
                    return self.told(id, ClientOutcome::NotUndoneYet);
                }
                Some(StartAnswer::Settled(standing)) => return self.told(id, ClientOutcome::Ended(standing.status)),
                Some(StartAnswer::Accepted(_)) => return self.told(id, ClientOutcome::Accepted),
                Some(StartAnswer::KeyHeld(holder)) => {
                    self.sim.lock().tally.keys_joined += 1;
                    return self.told(holder, ClientOutcome::Accepted);
                }
                Some(StartAnswer::AskTheRow(id)) => return self.ask_the_row(process, id, asked_at).await,
                Some(StartAnswer::InDoubt(id)) => return self.learn(id).await,
                Some(StartAnswer::RowGone(_)) => return,
                Some(StartAnswer::NotStarted(_)) => self.told(id, ClientOutcome::NotStarted),
                Some(StartAnswer::Overloaded) => {
                    self.sim.lock().tally.overloaded += 1;
                    self.told(id, ClientOutcome::NotStarted);
                }
                // The connection is lost. A client without a key must not repeat the order.
                None if self.key.is_none() => return,
                None => {}
            }
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(100..3_000))).await;
        }
    }

    /// Repeats the order with its key shortly before the end of the retention, when the key must still hold its saga,
    /// and after its release.
    async fn repeat_key(&mut self) {
        if self.key.is_none() || !self.sim.knobs.has_short_retention() {
            return;
        }
        let kept = self.sim.knobs.keys_kept;
        let shortly_before = kept.mul_f64(self.rng.random_range(0.8..1.0));
        let after = kept - shortly_before + HOUSEKEEPING_EVERY + kept.mul_f64(self.rng.random_range(0.0..0.5));
        for wait in [shortly_before, after] {
            tokio::time::sleep(wait).await;
            self.sim.lock().tally.keys_repeated += 1;
            self.buy().await;
        }
    }

    /// Polls the row, as the front does for a saga that its process does not run.
    async fn ask_the_row(&self, process: ProcessId, id: SagaId, asked_at: Duration) {
        let deadline = asked_at + self.patience;
        self.sim.lock().tally.asked_the_row += 1;
        loop {
            if self.sim.is_dead(process) {
                return;
            }
            let is_late = self.sim.elapsed() >= deadline;
            match status::ask(&self.sim, process, id) {
                Shown::Saga { status, has_ended: true } => return self.told(id, ClientOutcome::Ended(status)),
                Shown::Saga { status: Status::Failed, .. } => return self.told(id, ClientOutcome::NotUndoneYet),
                Shown::Saga { .. } if is_late => return self.told(id, ClientOutcome::Accepted),
                Shown::NotFound | Shown::Unknown if is_late => return self.learn(id).await,
                Shown::Saga { .. } | Shown::NotFound | Shown::Unknown => tokio::time::sleep(ASK_THE_ROW_EVERY).await,
            }
        }
    }

    /// Asks any replica for the status of an id that came with a 503, until the result is known.
    async fn learn(&self, id: SagaId) {
        self.sim.lock().tally.in_doubt_told += 1;
        self.sim.note(|_| "client".to_owned(), |trace| format!("is told of {}: 503, in doubt", trace.name(id)));
        let give_up = self.sim.calm_after + LEARNS_WITHIN;
        while self.sim.elapsed() < give_up {
            match status::ask_any(&self.sim, id) {
                Shown::Saga { .. } => return self.told(id, ClientOutcome::Accepted),
                Shown::NotFound => return self.told(id, ClientOutcome::NotStarted),
                Shown::Unknown => tokio::time::sleep(LEARN_EVERY).await,
            }
        }
        self.sim.lock().watched.not_learnt.insert(id);
    }

    fn told(&self, id: SagaId, what: ClientOutcome) {
        self.sim.note(|_| "client".to_owned(), |trace| format!("is told of {}: {what:?}", trace.name(id)));
        self.sim.lock().told.push(ClientReport { id, what });
    }

    /// Draws a process that is not dead; it may be paused.
    fn find_process(&mut self) -> Option<(ProcessId, watch::Receiver<bool>)> {
        let inner = self.sim.lock();
        let there: Vec<usize> =
            (0..inner.processes.len()).filter(|index| inner.processes[*index].state != ProcessState::Dead).collect();
        let chosen = *there.get(self.rng.random_range(0..there.len().max(1)))?;
        Some((ProcessId(chosen), inner.processes[chosen].death.subscribe()))
    }

    /// Orders, and returns the answer; `None` if the connection is lost.
    async fn ask(&self, process: ProcessId, death: watch::Receiver<bool>, id: SagaId) -> Option<StartAnswer> {
        let (waiter, mut answer) = oneshot::channel();
        let definition = self.sim.definition_at(process);
        let start =
            StartSaga { id, definition, input: self.order.to_input(), key: self.key.clone(), secret: None, waiter };
        self.sim.note(|_| "client".to_owned(), |trace| format!("orders {}", trace.name(id)));
        send(&self.sim, process, CoordinatorMsg::StartSaga(Box::new(start)));
        // As the front does for a purchase whose product is not chosen yet.
        self.sim.after(BEGIN_LIMIT / 2, move |sim| send(sim, process, CoordinatorMsg::BeginSoon(id)));
        if let Some(after) = self.cancels {
            self.cancel_later(id, after);
        }
        let told = tokio::select! {
            biased;
            told = &mut answer => Some(told.ok()),
            () = dead(death.clone()) => Some(None),
            () = tokio::time::sleep(self.patience) => None,
        };
        let told = match told {
            Some(told) => told,
            None => self.leave(process, death, id, answer).await,
        };
        // An answer of a process that is dead by now does not reach the client.
        told.filter(|_| !self.sim.is_dead(process))
    }

    /// Detaches: returns the answer when the saga is in the log, or its end if that comes first.
    async fn leave(
        &self,
        process: ProcessId,
        death: watch::Receiver<bool>,
        id: SagaId,
        answer: oneshot::Receiver<StartAnswer>,
    ) -> Option<StartAnswer> {
        let (waiter, accepted) = oneshot::channel::<StartAnswer>();
        let detach: fn(SagaId, Waiter) -> CoordinatorMsg = CoordinatorMsg::Detach;
        send(&self.sim, process, detach(id, waiter));
        tokio::select! {
            biased;
            told = answer => told.ok(),
            told = accepted => told.ok(),
            () = dead(death) => None,
        }
    }

    /// Cancels through any replica; only the owner's replica passes the cancel on at once.
    fn cancel_later(&self, id: SagaId, after: Duration) {
        self.sim.after(after, move |sim| {
            if !sim.database_answers() {
                return;
            }
            let now = sim.database_now();
            let turns = sim.lock().log.cancel(id, now) && sim.confirms(&Database::SagaLog);
            if turns {
                let mut inner = sim.lock();
                inner.tally.cancels += 1;
                inner.cancelled.push(id);
            }
            sim.note(|_| "client".to_owned(), |trace| format!("cancels {}: accepted: {turns}", trace.name(id)));
            let replica = pick(&mut sim.lock(), |state| state != ProcessState::Dead);
            if let Some(replica) = replica {
                send(sim, replica, CoordinatorMsg::Cancel(id));
            }
        });
    }
}

fn send(sim: &Arc<Sim>, process: ProcessId, message: CoordinatorMsg) {
    sim.at(process, move |sim| {
        let coordinator = sim.lock().processes[process.0].coordinator.clone();
        // A coordinator that is being restarted drops the message; the client then sees a lost connection.
        let _ = coordinator.cast(message);
    });
}

async fn dead(mut death: watch::Receiver<bool>) {
    let _ = death.wait_for(|is_dead| *is_dead).await;
}
