//! The one seam between the saga engine and the world: everything that a saga does to the outside, and every clock and
//! die that it looks at, goes through [`World`]. Live it is PostgreSQL and HTTP; in the simulator it is memory, a paused
//! clock and a seed.
//!
//! Nothing here is awaited by the engine: each request is answered later through an [`Answer`], which becomes the next
//! message of the saga that asked. An `Answer` that is dropped answers for itself, so that nobody waits for ever on
//! something that died.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::SagaId;
use crate::definition::{Context, ReadReply, Request, full_name};
use crate::lease::{RenewRequest, Renewal};
use crate::outcome::Outcome;
use crate::owner::Owner;
use crate::record::{LogWrite, WriteReport};
use crate::recovery::{ClaimRequest, Claimed};

/// What a saga may ask of the world.
pub trait World: Send + Sync + 'static {
    /// Writes to the saga log; answered once it is durable, or known not to be, or in doubt.
    fn write(&self, write: Arc<LogWrite>, answer: Answer<WriteReport>);

    /// Calls a participant once.
    fn call(&self, call: Call, answer: Answer<Outcome>);

    /// Searches the saga log for sagas that need this node, and claims them.
    fn claim(&self, request: ClaimRequest, answer: Answer<Result<Claimed, String>>);

    /// Registers this process or renews its lease, in a session of the lease's own.
    fn renew(&self, request: RenewRequest, answer: Answer<Result<Renewal, String>>);

    /// Gives the lease of this process up for good.
    fn give_up_lease(&self, owner: Arc<Owner>, answer: Answer<Result<(), String>>);

    /// Returns the time of day, for people to read; nothing is decided by it.
    fn now(&self) -> DateTime<Utc>;

    /// Returns a number in `0.0..1.0`, for jitter.
    fn dice(&self) -> f64;

    /// Makes the id of a new saga.
    fn new_saga_id(&self) -> SagaId;

    /// Makes a number that is used once, which tells one attempt to begin from another.
    fn new_nonce(&self) -> Uuid;
}

/// One attempt at a step's action or at its undoing.
#[derive(Clone, Debug)]
pub struct Call {
    /// The saga.
    pub saga_id: SagaId,
    /// Its epoch: which owner asks.
    pub epoch: i32,
    /// The step.
    pub step: &'static str,
    /// Who does it.
    pub participant: &'static str,
    /// Whether it does or undoes.
    pub purpose: Purpose,
    /// Whether it stands back for others.
    pub urgency: Urgency,
    /// 1 for the first.
    pub attempt: u32,
    /// The participant's operation, as in `[faults]`.
    pub operation: &'static str,
    /// What is asked.
    pub request: Request,
    /// What the saga knows: an answer must be of it.
    pub context: Context,
    /// Reads the body of a 200.
    pub read: ReadReply,
    /// How long it may take, waiting in line included.
    pub timeout: Duration,
}

impl Call {
    /// Returns the name of the operation with that of its participant: `payments.refund`.
    pub fn full_name(&self) -> String {
        full_name(self.participant, self.operation)
    }
}

/// Whether a call does or undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The step's action; of a read, with the problem type that refuses.
    Action {
        /// The problem type that alone refuses a read; `None` where only a recorded decision refuses.
        refusal: Option<&'static str>,
    },
    /// The step's compensation.
    Compensation,
}

/// Whether a call stands back for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It does not.
    Normal,
    /// An undo for a saga that is FAILED already: no client waits for it, and there may be thousands.
    Low,
}

/// Where an answer goes. It is given once; if whoever holds it dies instead, `None` is given.
pub struct Answer<T>(Option<Box<dyn FnOnce(Option<T>) + Send>>);

impl<T> Answer<T> {
    /// Makes an answer that `give` receives.
    pub fn new(give: impl FnOnce(Option<T>) + Send + 'static) -> Answer<T> {
        Answer(Some(Box::new(give)))
    }

    /// Answers.
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
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn an_answer_is_given_once_even_when_its_holder_dies() {
        let got = Arc::new(Mutex::new(Vec::new()));
        let answer = |got: &Arc<Mutex<Vec<Option<u8>>>>| {
            let got = got.clone();
            Answer::new(move |value| got.lock().unwrap().push(value))
        };
        answer(&got).give(1);
        drop(answer(&got));
        assert_eq!(*got.lock().unwrap(), [Some(1), None]);
    }
}
