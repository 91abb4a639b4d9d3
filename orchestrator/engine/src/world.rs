//! The seam between the engine and the outside. [`World`] writes to the saga log, calls participants, claims sagas,
//! renews and gives up the lease, and supplies the time of day, random numbers and ids: PostgreSQL and HTTP in
//! production, memory and a seed in the simulator. Timers and durations use tokio's clock, which the simulator pauses.
//!
//! The engine awaits no request: the reply comes later through an [`Answer`] and becomes the next message of the actor
//! that asked. An `Answer` that is dropped replies `None`, so no actor waits for a task that died.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::SagaId;
use crate::definition::{Context, ReadReply, Request, full_name};
use crate::lease::{RenewRequest, Renewal};
use crate::outcome::Outcome;
use crate::owner::Owner;
use crate::record::{LogWrite, WriteReport};
use crate::recovery::{ClaimRequest, Claimed};

/// The engine's access to the saga log, participants, time of day, random numbers and ids.
pub trait World: Send + Sync + 'static {
    /// Writes to the saga log. The reply says whether the write is durable, did not take place, or is in doubt.
    fn write(&self, write: Arc<LogWrite>, answer: Answer<WriteReport>);

    /// Calls a participant once.
    fn call(&self, call: Call, answer: Answer<Outcome>);

    /// Tells whether this process may begin an attempt at an action: it is certainly the owner of its sagas. An action that is
    /// called after a successor has turned the saga back would stay done at a participant without tombstones.
    fn may_call_actions(&self) -> bool {
        true
    }

    /// Returns the timeout of an attempt at a participant, if it differs from that of the [policy](crate::actor::Policy).
    fn call_timeout(&self, _participant: &str) -> Option<Duration> {
        None
    }

    /// Searches the saga log for sagas that need an owner or an actor, and claims them for this process.
    fn claim(&self, request: ClaimRequest, answer: Answer<Result<Claimed, String>>);

    /// Registers this process or renews its lease, on a database session that serves only the lease.
    fn renew(&self, request: RenewRequest, answer: Answer<Result<Renewal, String>>);

    /// Gives up the lease of this process; it never takes one again.
    fn give_up_lease(&self, owner: Arc<Owner>, answer: Answer<Result<(), String>>);

    /// Returns the time of day, for display only: no decision uses it.
    fn now(&self) -> DateTime<Utc>;

    /// Returns a random number in `0.0..1.0`, for jitter.
    fn random(&self) -> f64;

    /// Makes the id of a new saga.
    fn new_saga_id(&self) -> SagaId;

    /// Makes a nonce, which distinguishes one attempt to begin from another.
    fn new_nonce(&self) -> Uuid;
}

/// One attempt at a step's action or compensation.
#[derive(Clone)]
pub struct Call {
    /// The saga.
    pub saga_id: SagaId,
    /// The epoch under which the owner calls.
    pub epoch: i32,
    /// The step.
    pub step: SmolStr,
    /// The participant's name.
    pub participant: SmolStr,
    /// Action or compensation.
    pub purpose: Purpose,
    /// Priority among the calls to this participant.
    pub urgency: Urgency,
    /// Number of the attempt, 1 for the first.
    pub attempt: u32,
    /// Name of the participant's operation, as in `[faults]`.
    pub operation: SmolStr,
    /// The request to send.
    pub request: Request,
    /// The saga's id, input and outputs: `read` checks the reply against them.
    pub context: Context,
    /// Parses the body of a reply that says "done".
    pub read: ReadReply,
    /// Timeout of the attempt, time in the participant's queue included.
    pub timeout: Duration,
}

impl Call {
    /// Returns participant and operation: `payments.refund`.
    pub fn full_name(&self) -> String {
        full_name(&self.participant, &self.operation)
    }
}

/// Purpose of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The step's action.
    Action {
        /// For a read: the problem type that means "refused". `None` for a step with an effect, which only a recorded
        /// decision refuses.
        refusal: Option<SmolStr>,
    },
    /// The step's compensation.
    Compensation,
}

/// Priority of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A client may be waiting.
    Normal,
    /// A compensation of a saga that is FAILED already: no client waits, and there may be thousands. It yields to
    /// others.
    Low,
}

/// The reply channel of a request. It replies exactly once; if it is dropped unused, it replies `None`.
pub struct Answer<T>(Option<Box<dyn FnOnce(Option<T>) + Send>>);

impl<T> Answer<T> {
    /// Makes an `Answer` that passes the reply to `give`.
    pub fn new(give: impl FnOnce(Option<T>) + Send + 'static) -> Answer<T> {
        Answer(Some(Box::new(give)))
    }

    /// Sends the reply.
    pub fn give(mut self, value: T) {
        if let Some(give) = self.0.take() {
            give(Some(value));
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(give) = self.0.take() {
            give(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn an_answer_is_given_once_even_when_its_holder_dies() {
        let got = Arc::new(Mutex::new(Vec::new()));
        let answer = |got: &Arc<Mutex<Vec<Option<u8>>>>| {
            let got = got.clone();
            Answer::new(move |value| got.lock().push(value))
        };
        answer(&got).give(1);
        drop(answer(&got));
        assert_eq!(*got.lock(), [Some(1), None]);
    }
}
