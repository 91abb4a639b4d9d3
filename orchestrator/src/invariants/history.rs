//! The steps of a saga, compared with the participants' journals: as they are displayed, and by their effects.

use super::sagas::all;
use super::{Decision, Facts, NamedJournal, OperationKind, Participant, Saga, Transaction, Verdict};
use saga_engine::Status;
use saga_engine::log::StepView;

/// The displayed history agrees with the journals.
pub(super) fn shown_history_agrees(facts: &Facts) -> Verdict {
    let shown = facts.untouched().filter_map(|(id, transaction)| {
        let saga = transaction.saga.as_ref().filter(|saga| saga.ended_at.is_some() && is_judged(saga))?;
        let steps = recorded(facts, id, saga, transaction);
        (!steps.is_empty()).then_some((id, (saga.status, steps)))
    });
    Verdict::over("the shown history agrees with the journals", "ended sagas", shown, |(status, steps)| {
        all(steps
            .iter()
            .filter_map(|(step, recorded)| Some(format!("{} {}", step.step, disagreement(*status, step, *recorded)?))))
    })
}

/// No saga of any definition is COMPENSATED while a journal has the action of a step done and not its compensation.
pub(super) fn compensated_has_no_action_left(facts: &Facts) -> Verdict {
    let compensated = facts.untouched().filter_map(|(id, transaction)| {
        let saga =
            transaction.saga.as_ref().filter(|saga| saga.ended_at.is_some() && saga.status == Status::Compensated)?;
        let compensable = saga.compensable.as_deref()?;
        let steps = recorded(facts, id, saga, transaction);
        (!steps.is_empty()).then_some((id, (compensable, steps)))
    });
    Verdict::over("COMPENSATED has no action without its compensation", "sagas", compensated, |(compensable, steps)| {
        let left = steps.iter().filter_map(|(step, recorded)| {
            let is_left = compensable.contains(&step.step) && recorded.is_done && !recorded.is_undone;
            is_left.then(|| format!("{} was done at {} and not undone", step.step, step.participant))
        });
        all(left)
    })
}

/// Returns the steps of a saga whose journal was read, each with its record.
fn recorded<'b>(
    facts: &'b Facts,
    id: &str,
    saga: &'b Saga,
    transaction: &Transaction,
) -> Vec<(&'b StepView, Recorded)> {
    let of_step = |step: &'b StepView| {
        // One of ours that was called with the key of the step has a transaction of that id.
        let is_there =
            |own: &&Transaction| own.journal.iter().any(|entry| entry.participant.as_str() == step.participant);
        let transaction = match facts.of_step(id, &step.step).filter(is_there) {
            Some(own) if own.is_touched() => return None,
            Some(own) => own,
            None => transaction,
        };
        Some((step, Recorded::of(step, transaction)?))
    };
    saga.steps.iter().filter_map(of_step).collect()
}

/// The record of a step in a participant's journal.
#[derive(Clone, Copy, Debug, Default)]
struct Recorded {
    is_done: bool,
    is_refused: bool,
    /// Whether the action was decided on a call, not by a tombstone.
    has_run: bool,
    is_undone: bool,
}

impl Recorded {
    /// Returns `None` if the journal was not read.
    fn of(step: &StepView, transaction: &Transaction) -> Option<Recorded> {
        let mut recorded = Recorded::default();
        if let Some(ours) = Participant::ALL.into_iter().find(|known| known.as_str() == step.participant) {
            let entries = transaction.journal.iter().filter(|entry| entry.participant == ours);
            entries.for_each(|entry| recorded.add(entry.kind, entry.decision, entry.tombstone));
            return Some(recorded);
        }
        let NamedJournal::Read(entries) = transaction.named.get(&step.participant)? else { return None };
        let of_this_step = entries.iter().filter(|entry| entry.step.as_ref().is_none_or(|name| *name == step.step));
        of_this_step.for_each(|entry| recorded.add(entry.kind, entry.decision, entry.tombstone));
        Some(recorded)
    }

    fn add(&mut self, kind: OperationKind, decision: Decision, tombstone: bool) {
        match kind {
            OperationKind::Action => {
                self.is_done |= decision == Decision::Done;
                self.is_refused |= decision == Decision::Refused;
                self.has_run |= !tombstone;
            }
            OperationKind::Compensation => self.is_undone |= decision == Decision::Done,
        }
    }
}

/// An earlier version displayed a step as undone regardless of its action.
fn is_judged(saga: &Saga) -> bool {
    !saga.steps.iter().any(|step| step.state == "compensated" && step.action == "unknown")
}

/// Returns how the displayed step of an ended saga differs from its participant's journal; `None` if it does not.
fn disagreement(status: Status, step: &StepView, recorded: Recorded) -> Option<String> {
    let Recorded { is_done, is_refused, has_run, is_undone } = recorded;
    let is_confirmed = step.compensation.as_ref().is_some_and(|undo| undo.finished_at.is_some());
    let why = match (&*step.state, &*step.action) {
        ("done" | "compensated", _) | (_, "done") if !is_done => "was not done",
        // A person may settle a saga while its next attempt is in flight.
        ("done", _) if is_undone && status != Status::Failed => "was undone",
        ("compensated", _) if !is_undone => "was not undone",
        (_, "refused") if !is_refused => "was not refused",
        (_, "pending") if has_run => "was decided",
        (_, "running" | "backing_off") => "is no longer running",
        _ if is_confirmed && !is_undone => "was not undone",
        _ => return None,
    };
    Some(format!("is shown as {}, but {why}", step.state))
}
