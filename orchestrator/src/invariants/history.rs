//! The displayed steps of a saga, compared with the participants' journals.

use super::sagas::all;
use super::{Books, Decision, OperationKind, Participant, Saga, Transaction, Verdict};
use saga_engine::Status;
use saga_engine::log::StepView;

/// The displayed history agrees with the journals.
pub(super) fn shown_history_agrees(books: &Books) -> Verdict {
    let shown = books.untouched().filter_map(|(id, page)| {
        let saga = page.saga.as_ref().filter(|saga| saga.ended_at.is_some() && is_judged(saga))?;
        Some((id, (saga, page)))
    });
    Verdict::over("the shown history agrees with the journals", shown, |(saga, page)| {
        all(saga
            .steps
            .iter()
            .filter_map(|step| Some(format!("{} {}", step.step, disagreement(saga.status, step, page)?))))
    })
}

/// An earlier version displayed a step as undone regardless of its action.
fn is_judged(saga: &Saga) -> bool {
    !saga.steps.iter().any(|step| step.state == "compensated" && step.action == "unknown")
}

/// Returns how the displayed step of an ended saga differs from its participant's journal; `None` if it does not.
pub fn disagreement(status: Status, step: &StepView, page: &Transaction) -> Option<String> {
    let participant = Participant::ALL.into_iter().find(|known| known.as_str() == step.participant)?;
    let decided = |decision| page.entries(participant, OperationKind::Action).any(|entry| entry.decision == decision);
    let is_done = decided(Decision::Done);
    let has_run = page.entries(participant, OperationKind::Action).any(|entry| !entry.tombstone);
    let is_undone = page.entries(participant, OperationKind::Compensation).next().is_some();
    let is_confirmed = step.compensation.as_ref().is_some_and(|undo| undo.finished_at.is_some());
    let why = match (&*step.state, &*step.action) {
        ("done" | "compensated", _) | (_, "done") if !is_done => "was not done",
        // A person may settle a saga while its next attempt is in flight.
        ("done", _) if is_undone && status != Status::Failed => "was undone",
        ("compensated", _) if !is_undone => "was not undone",
        (_, "refused") if !decided(Decision::Refused) => "was not refused",
        (_, "pending") if has_run => "was decided",
        (_, "running" | "backing_off") => "is no longer running",
        _ if is_confirmed && !is_undone => "was not undone",
        _ => return None,
    };
    Some(format!("is shown as {}, but {why}", step.state))
}
