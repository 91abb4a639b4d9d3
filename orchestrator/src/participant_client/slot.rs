//! The slot of a call in flight, and what the client learns from the call when it is given back.

use std::time::Duration;

use ractor::ActorRef;
use saga_engine::outcome::Outcome;
use saga_engine::world::{Call, Purpose};
use tokio::time::Instant;

use super::breaker::Health;
use super::{COMPENSATION, ClientMsg, DONE, Finished};
use crate::meters::Attempted;

/// Label value in metrics.
const UNKNOWN: &str = "unknown";

/// The slot of a call in flight. It is given back even if the task panics; the call then counts as failed.
pub(super) struct Slot {
    client: ActorRef<ClientMsg>,
    since: Instant,
    finished: Option<Finished>,
}

impl Slot {
    pub(super) fn of(client: ActorRef<ClientMsg>, call: &Call, since: Instant) -> Slot {
        let kind = match call.purpose {
            Purpose::Action { .. } => "action",
            Purpose::Compensation => COMPENSATION,
        };
        let attempted = Attempted { step: call.step.clone(), kind, outcome: UNKNOWN, took: Duration::ZERO };
        let (operation, urgency, health) = (call.operation.clone(), call.urgency, Health::Failed);
        Slot { client, since, finished: Some(Finished { operation, urgency, health, attempted }) }
    }

    pub(super) fn ends_with(&mut self, outcome: &Outcome, health: Health) {
        let Some(finished) = &mut self.finished else { return };
        finished.health = health;
        finished.attempted.took = self.since.elapsed();
        finished.attempted.outcome = match outcome {
            Outcome::Done(_) | Outcome::Undone(..) => DONE,
            Outcome::Refused(_) => "refused",
            Outcome::Unknown(_) => UNKNOWN,
        };
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(finished) = self.finished.take() {
            let _ = self.client.cast(ClientMsg::Finished(finished));
        }
    }
}
