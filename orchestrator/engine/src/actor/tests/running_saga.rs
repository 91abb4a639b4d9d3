//! A saga's actor in a world whose writes and calls a test answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorRef};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::SagaId;
use crate::actor::{Origin, Policy, SagaActor, SagaArguments, SagaMsg, StartAnswer};
use crate::definition::{Definition, Input, Outputs};
use crate::failed::Sleep;
use crate::lease::{RenewRequest, Renewal};
use crate::log::SagaLog;
use crate::outcome::{Failure, Found, Outcome, Retry, Sent, Unknown};
use crate::owner::Owner;
use crate::plan::Patience;
use crate::record::{LogWrite, WriteReport};
use crate::recovery::{ClaimRequest, Claimed};
use crate::running::RunningSaga;
use crate::world::{Answer, Call, World};

type Asked<Q, A> = mpsc::UnboundedSender<(Q, Answer<A>)>;

/// Passes every write and call to the test, which answers it.
struct TestWorld {
    writes: Asked<Arc<LogWrite>, WriteReport>,
    calls: Asked<Call, Outcome>,
    has_lease: Arc<AtomicBool>,
}

impl World for TestWorld {
    fn write(&self, write: Arc<LogWrite>, answer: Answer<WriteReport>) {
        let _ = self.writes.send((write, answer));
    }

    fn call(&self, call: Call, answer: Answer<Outcome>) {
        let _ = self.calls.send((call, answer));
    }

    fn may_call_actions(&self) -> bool {
        self.has_lease.load(Ordering::Relaxed)
    }

    fn claim(&self, _: ClaimRequest, _: Answer<Result<Claimed, String>>) {}

    fn renew(&self, _: RenewRequest, _: Answer<Result<Renewal, String>>) {}

    fn give_up_lease(&self, _: Arc<Owner>, _: Answer<Result<(), String>>) {}

    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn random(&self) -> f64 {
        0.0
    }

    fn new_saga_id(&self) -> SagaId {
        SagaId(Uuid::nil())
    }

    fn new_nonce(&self) -> Uuid {
        Uuid::nil()
    }
}

/// A running saga whose writes and calls the test answers.
pub(in crate::actor) struct RunningActor {
    pub(in crate::actor) saga: Arc<RunningSaga>,
    pub(in crate::actor) actor: ActorRef<SagaMsg>,
    pub(in crate::actor) ended: JoinHandle<()>,
    pub(in crate::actor) writes: mpsc::UnboundedReceiver<(Arc<LogWrite>, Answer<WriteReport>)>,
    pub(in crate::actor) calls: mpsc::UnboundedReceiver<(Call, Answer<Outcome>)>,
    pub(in crate::actor) has_lease: Arc<AtomicBool>,
    pub(in crate::actor) told: oneshot::Receiver<StartAnswer>,
}

impl RunningActor {
    /// Starts a new saga.
    pub(in crate::actor) async fn start(definition: Arc<Definition>) -> RunningActor {
        let patience =
            Patience { attempts: 5, backoff_min: Duration::from_millis(5), backoff_max: Duration::from_millis(5) };
        let minute = Duration::from_secs(60);
        let policy = Policy {
            action: patience,
            compensation: patience,
            call_timeout: minute,
            deadline: minute,
            attention_after_attempts: 5,
            attention_after: minute,
            begin_limit: minute,
            failed: Sleep { min: minute, max: 5 * minute },
        };
        let (write, writes) = mpsc::unbounded_channel();
        let (call, calls) = mpsc::unbounded_channel();
        let has_lease = Arc::new(AtomicBool::new(true));
        let world = Arc::new(TestWorld { writes: write, calls: call, has_lease: has_lease.clone() });
        let log = SagaLog::new(&definition);
        let saga = Arc::new(RunningSaga::new(
            SagaId(Uuid::nil()),
            Input::default(),
            definition,
            DateTime::UNIX_EPOCH,
            1,
            Vec::new(),
            log,
        ));
        let (waiter, told) = oneshot::channel();
        let origin = Origin::New { key: None, waiter };
        let (actor, ended) =
            Actor::spawn(None, SagaActor, SagaArguments { saga: saga.clone(), origin, world, policy }).await.unwrap();
        RunningActor { saga, actor, ended, writes, calls, has_lease, told }
    }

    /// Answers the next write and returns its name.
    pub(in crate::actor) async fn write(&mut self, report: WriteReport) -> &'static str {
        let (write, answer) = self.writes.recv().await.unwrap();
        answer.give(report);
        write.change.name()
    }

    /// Answers the next call and returns its operation and step.
    pub(in crate::actor) async fn call(&mut self, outcome: Outcome) -> (String, String) {
        let (call, answer) = self.calls.recv().await.unwrap();
        answer.give(outcome);
        (call.operation.to_string(), call.step.to_string())
    }
}

pub(in crate::actor) const DURABLE: WriteReport =
    WriteReport::Durable { cancel_requested: false, at: DateTime::UNIX_EPOCH };

pub(in crate::actor) fn undo(step: &str) -> (String, String) {
    ("undo".to_owned(), step.to_owned())
}

pub(in crate::actor) fn done() -> Outcome {
    Outcome::Done(Outputs::default())
}

pub(in crate::actor) fn undone() -> Outcome {
    Outcome::Undone(Found::Done, Outputs::default())
}

pub(in crate::actor) fn unavailable() -> Outcome {
    Outcome::Unknown(Unknown {
        failure: Failure::unavailable("p"),
        detail: "away".to_owned(),
        retry: Retry::After(Duration::ZERO),
        sent: Sent::Maybe,
    })
}
