//! A participant of a single step, and its decisions.

use common::wire;
use serde_json::Value;
use smol_str::SmolStr;

use super::OperationKind;
use super::generic::GenericParticipant;
use super::journal::{Ask, Reply};
use super::unjournaled::Unjournaled;
use crate::definitions::KNOWN;
use saga_engine::SagaId;
use saga_engine::definition::{Context, Start, Step};

/// A participant of a single step.
#[derive(Clone, Debug, Default)]
pub(super) struct Other {
    pub(super) with_journal: GenericParticipant,
    without: Unjournaled,
    pub(super) decisions: Vec<StepDecision>,
}

/// A new decision of a participant, not a repeated one.
#[derive(Clone, Debug)]
pub(crate) struct StepDecision {
    /// Its place among the decisions of all participants.
    pub(crate) place: u64,
    pub(crate) saga: SagaId,
    pub(crate) step: SmolStr,
    pub(crate) effect: StepEffect,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepEffect {
    /// The action took effect.
    Done(KnownOutputs),
    /// The action was undone.
    Undone,
    /// A compensation found nothing to undo.
    NothingToUndo,
}

/// Whether a request had the outputs of all steps before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownOutputs {
    All,
    NotAll,
}

impl Other {
    /// Replies to a request for the step, and remembers a new decision under its place.
    pub(super) fn answer(
        &mut self,
        step: &Step,
        kind: OperationKind,
        context: &Context,
        ask: &Ask<'_>,
        place: u64,
    ) -> Reply {
        let compensation = step.compensation().filter(|_| kind == OperationKind::Compensation);
        let reply = match (step.start, compensation) {
            (Start::Assumed, Some(compensation)) => self.with_journal.compensate(ask, compensation, context),
            (Start::Assumed, None) => self.with_journal.act(ask, &step.action, context),
            (Start::Recorded, Some(compensation)) => self.without.compensate(compensation, context),
            (Start::Recorded, None) => self.without.act(ask, &step.action, context),
        };
        let found_it = step.start == Start::Recorded || reply.action == Some(wire::ACTION_DONE);
        let effect = match (compensation, reply.status, reply.replayed) {
            (None, 200, false) => StepEffect::Done(known_outputs(ask)),
            (Some(_), 200, false) if found_it => StepEffect::Undone,
            (Some(_), 200 | 404, false) => StepEffect::NothingToUndo,
            _ => return reply,
        };
        if !step.is_read_only() {
            self.decisions.push(StepDecision { place, saga: context.saga_id, step: step.name.clone(), effect });
        }
        reply
    }
}

fn known_outputs(ask: &Ask<'_>) -> KnownOutputs {
    let body = ask.request.body.as_deref().and_then(|body| serde_json::from_str::<Value>(body).ok());
    let known = body.as_ref().and_then(|body| body.get(KNOWN)).and_then(Value::as_object);
    if known.is_none_or(|known| known.values().all(|output| !output.is_null())) {
        KnownOutputs::All
    } else {
        KnownOutputs::NotAll
    }
}
