//! A write in doubt is repeated unchanged: listeners get the changes of the attempt that came through, and would miss a
//! change that was added to a repeat. A saga whose row is gone is undone without one.

use std::sync::Arc;
use std::time::Duration;

use ractor::Actor;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::SagaId;
use crate::actor::{Origin, Policy, SagaActor, SagaArguments};
use crate::change::StateChange;
use crate::definition::tests::four_steps;
use crate::definition::{Input, Outputs};
use crate::failed::Sleep;
use crate::lease::{RenewRequest, Renewal};
use crate::outcome::{Failure, Found, Outcome, Retry, Sent, Unknown};
use crate::owner::Owner;
use crate::plan::Patience;
use crate::recovery::{ClaimRequest, Claimed};
use crate::running::RunningSaga;
use crate::world::{Call, World};

type Asked<Q, A> = mpsc::UnboundedSender<(Q, Answer<A>)>;

/// Passes every write and call to the test, which answers it.
struct TestWorld {
    writes: Asked<Arc<LogWrite>, WriteReport>,
    calls: Asked<Call, Outcome>,
}

impl World for TestWorld {
    fn write(&self, write: Arc<LogWrite>, answer: Answer<WriteReport>) {
        let _ = self.writes.send((write, answer));
    }

    fn call(&self, call: Call, answer: Answer<Outcome>) {
        let _ = self.calls.send((call, answer));
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

fn brief(changes: &[StateChange]) -> Vec<String> {
    let one = |change: &StateChange| match change {
        StateChange::Saga { status, .. } => status.to_string(),
        StateChange::Step { step, state, .. } => format!("{step} {state}"),
    };
    changes.iter().map(one).collect()
}

/// A running saga of four steps, whose writes and calls the test answers.
struct Running {
    actor: ActorRef<SagaMsg>,
    ended: JoinHandle<()>,
    writes: mpsc::UnboundedReceiver<(Arc<LogWrite>, Answer<WriteReport>)>,
    calls: mpsc::UnboundedReceiver<(Call, Answer<Outcome>)>,
    told: oneshot::Receiver<StartAnswer>,
}

impl Running {
    async fn start() -> Self {
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
            failed: Sleep { min: minute, max: minute },
        };
        let (write, writes) = mpsc::unbounded_channel();
        let (call, calls) = mpsc::unbounded_channel();
        let world = Arc::new(TestWorld { writes: write, calls: call });
        let checkout = four_steps();
        let log = SagaLog::new(&checkout);
        let saga = Arc::new(RunningSaga::new(
            SagaId(Uuid::nil()),
            Input::default(),
            checkout,
            DateTime::UNIX_EPOCH,
            1,
            Vec::new(),
            log,
        ));
        let (waiter, told) = oneshot::channel();
        let origin = Origin::New { key: None, waiter };
        let (actor, ended) =
            Actor::spawn(None, SagaActor, SagaArguments { saga, origin, world, policy }).await.unwrap();
        Self { actor, ended, writes, calls, told }
    }

    /// Answers the next write and returns its name.
    async fn write(&mut self, report: WriteReport) -> &'static str {
        let (write, answer) = self.writes.recv().await.unwrap();
        answer.give(report);
        write.change.name()
    }

    /// Answers the next call and returns its operation and step.
    async fn call(&mut self, outcome: Outcome) -> (String, String) {
        let (call, answer) = self.calls.recv().await.unwrap();
        answer.give(outcome);
        (call.operation.to_string(), call.step.to_string())
    }
}

const DURABLE: WriteReport = WriteReport::Durable { cancel_requested: false, at: DateTime::UNIX_EPOCH };

fn undo(step: &str) -> (String, String) {
    ("undo".to_owned(), step.to_owned())
}

fn done() -> Outcome {
    Outcome::Done(Outputs::default())
}

fn undone() -> Outcome {
    Outcome::Undone(Found::Done, Outputs::default())
}

fn unavailable() -> Outcome {
    Outcome::Unknown(Unknown {
        failure: Failure::unavailable("p"),
        detail: "away".to_owned(),
        retry: Retry::After(Duration::ZERO),
        sent: Sent::Maybe,
    })
}

#[tokio::test(start_paused = true)]
async fn the_effects_of_a_saga_whose_row_is_gone_are_undone_without_a_log() {
    let mut saga = Running::start().await;
    assert_eq!(saga.call(done()).await.1, "choose");
    assert_eq!(saga.write(DURABLE).await, "begin");
    for step in ["charge", "decrease", "create"] {
        assert_eq!(saga.call(done()).await.1, step);
    }
    assert_eq!(saga.write(WriteReport::RowGone).await, "end");
    assert!(matches!((&mut saga.told).await, Ok(StartAnswer::RowGone(_))));
    // More often than any attempt would be made before a person is asked, who would find no row.
    for _ in 0..20 {
        assert_eq!(saga.call(unavailable()).await, undo("create"));
    }
    assert_eq!(saga.call(undone()).await, undo("create"));
    assert_eq!(saga.call(undone()).await, undo("charge"));
    saga.ended.await.unwrap();
    assert!(saga.writes.try_recv().is_err(), "there is nothing to write to");
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_was_to_be_marked_failed_is_undone_too_if_its_row_is_gone() {
    let mut saga = Running::start().await;
    saga.call(done()).await;
    saga.write(DURABLE).await;
    assert_eq!(saga.call(done()).await.1, "charge");
    let refused = Outcome::Refused(Failure::refused(409, "p", "no"));
    assert_eq!(saga.call(refused).await.1, "decrease");
    assert_eq!(saga.write(DURABLE).await, "turn back");
    for _ in 0..5 {
        assert_eq!(saga.call(unavailable()).await, undo("charge"));
    }
    assert_eq!(saga.write(WriteReport::RowGone).await, "mark failed");
    assert_eq!(saga.call(undone()).await, undo("charge"));
    saga.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_repeated_carries_the_changes_of_its_first_attempt_and_later_ones_go_with_the_next() {
    let Running { actor, ended, writes: mut asked_to_write, calls: mut asked_to_call, .. } = Running::start().await;

    // The client detaches during the first call, so the call's reply comes while the begin is being written.
    let (_, chosen) = asked_to_call.recv().await.unwrap();
    let (leaver, _accepted) = oneshot::channel();
    actor.cast(SagaMsg::Detach(leaver)).unwrap();
    let (first, in_doubt) = asked_to_write.recv().await.unwrap();
    assert_eq!(brief(&first.changes), ["PENDING", "choose running"]);
    chosen.give(Outcome::Done(Outputs::one("product_id", "1")));
    in_doubt.give(WriteReport::InDoubt("its reply was lost".to_owned()));
    let (repeated, durable) = asked_to_write.recv().await.unwrap();
    assert_eq!(brief(&repeated.changes), brief(&first.changes), "a repeat tells what the first attempt told");
    durable.give(WriteReport::Durable { cancel_requested: false, at: DateTime::UNIX_EPOCH });
    let (next, _) = asked_to_write.recv().await.unwrap();
    assert_eq!((next.change.name(), brief(&next.changes)), ("outputs", vec!["choose done".to_owned()]));

    actor.stop(None);
    ended.await.unwrap();
}
