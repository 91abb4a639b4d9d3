//! A participant without a journal, as a service is that was not written for sagas (`judgement = "status"`): it knows
//! the present state, and nothing else. A repeated action finds its own effect and is refused with 409, a compensation
//! that finds nothing is a 404, and an action that arrives after its compensation takes effect.

use std::collections::BTreeSet;

use super::generic::readable;
use super::journal::{Ask, FailureDraw, Reply};
use saga_engine::SagaId;
use saga_engine::definition::{Context, Operation};

/// A participant without a journal.
#[derive(Clone, Debug, Default)]
pub(super) struct Unjournaled {
    live: BTreeSet<SagaId>,
}

impl Unjournaled {
    /// Replies to the action of a step.
    pub(super) fn act(&mut self, ask: &Ask<'_>, operation: &Operation, context: &Context) -> Reply {
        if ask.draw == FailureDraw::Refuse {
            return Reply::plain(409, r#"{"message":"refused"}"#);
        }
        if self.live.insert(context.saga_id) {
            Reply::plain(200, readable(operation, context))
        } else {
            Reply::plain(409, r#"{"message":"it exists"}"#)
        }
    }

    /// Replies to the compensation of a step.
    pub(super) fn compensate(&mut self, operation: &Operation, context: &Context) -> Reply {
        if self.live.remove(&context.saga_id) {
            Reply::plain(200, readable(operation, context))
        } else {
            Reply::plain(404, r#"{"message":"not found"}"#)
        }
    }
}
