//! Invariants on the effects of an ended saga.

use super::{Facts, MovementKind, PaymentStatus, PurchaseStatus, Run, Saga, Transaction, Verdict};
use crate::checkout::StockRule;
use saga_engine::Status;
use saga_engine::log::StepView;

/// Every accepted saga ends. While sagas may run, only ended sagas are checked, for a valid end.
pub(super) fn every_accepted_saga_ends(facts: &Facts, run: Run) -> Verdict {
    let sagas = facts.sagas();
    let judged = sagas.filter(|(_, saga)| run == Run::Over || saga.ended_at.is_some());
    Verdict::over("every accepted saga ends", "sagas", judged, |saga| {
        let why = match (saga.status, saga.ended_at) {
            (Status::Completed | Status::Compensated | Status::Failed, Some(_)) => return None,
            (status, Some(_)) => format!("it has ended as {status}"),
            (status, None) => format!("it is {status}"),
        };
        Some(match &saga.attention {
            Some(attention) => format!("{why}, in attention: {attention}"),
            None => why,
        })
    })
}

/// The end of any saga agrees with its steps: all of a COMPLETED one are done, every compensation that was requested for a
/// COMPENSATED one is confirmed, and a person has settled a FAILED one.
pub(super) fn the_end_agrees_with_the_steps(facts: &Facts) -> Verdict {
    let ended = facts.all().filter_map(|(id, transaction)| {
        let saga = transaction.saga.as_ref().filter(|saga| saga.ended_at.is_some())?;
        // The steps of old sagas were cleared.
        (saga.status == Status::Failed || !saga.steps.is_empty()).then_some((id, saga))
    });
    Verdict::over("the end of each saga agrees with its steps", "ended sagas", ended, |saga| {
        let is_wrong = |step: &&StepView| match saga.status {
            Status::Completed => step.state != "done",
            Status::Compensated => {
                step.compensation.as_ref().is_some_and(|undo| undo.finished_at.is_none())
                    || matches!(&*step.state, "running" | "backing_off" | "compensating")
            }
            // A person knows its steps, or it has not ended.
            Status::Failed | Status::Pending | Status::Compensating => false,
        };
        let shown = |step: &StepView| format!("{} is shown as {}", step.step, step.state);
        let is_abandoned = saga.status == Status::Failed && !saga.is_settled;
        let abandoned = is_abandoned.then(|| "it ended as FAILED, and no person has settled it".to_owned());
        all(saga.steps.iter().filter(is_wrong).map(shown).chain(abandoned))
    })
}

/// COMPLETED means one live payment, one live purchase, and stock taken once and not given back.
pub(super) fn completed_has_one_of_each(facts: &Facts) -> Verdict {
    let completed = facts.ended_as(Status::Completed);
    Verdict::over(
        "COMPLETED has one live payment, one decrement, one live purchase",
        "purchases",
        completed,
        |(_, transaction)| {
            let counts = [
                ("live payments", transaction.payments_that_are(PaymentStatus::Captured)),
                ("decrements", transaction.movements_of(MovementKind::Decrement)),
                ("live purchases", transaction.purchases_that_are(PurchaseStatus::Live)),
            ];
            let wrong =
                counts.into_iter().filter(|(_, count)| *count != 1).map(|(what, count)| format!("{count} {what}"));
            let given_back =
                (transaction.movements_of(MovementKind::Restore) > 0).then(|| "its stock was given back".to_owned());
            all(wrong.chain(given_back))
        },
    )
}

/// COMPENSATED means no live payment and no live purchase; and no stock taken, if the definition gives stock back.
pub(super) fn compensated_has_nothing_live(facts: &Facts) -> Verdict {
    let compensated = facts.ended_as(Status::Compensated);
    Verdict::over(
        "COMPENSATED has no live payment and no live purchase",
        "purchases",
        compensated,
        |(saga, transaction)| {
            let counts = [
                ("live payments", transaction.payments_that_are(PaymentStatus::Captured)),
                ("live purchases", transaction.purchases_that_are(PurchaseStatus::Live)),
                ("decrements that were not given back", owed_stock(saga, transaction)),
            ];
            all(counts.into_iter().filter(|(_, count)| *count != 0).map(|(what, count)| format!("{count} {what}")))
        },
    )
}

/// Returns the number of decrements that were not given back although the saga's definition says so.
fn owed_stock(saga: &Saga, transaction: &Transaction) -> usize {
    match saga.stock_rule {
        Some(StockRule::Restore) => transaction
            .movements_of(MovementKind::Decrement)
            .saturating_sub(transaction.movements_of(MovementKind::Restore)),
        // By the product owner's rule the stock stays taken; for an unknown definition there is no rule to check.
        Some(StockRule::Keep) | None => 0,
    }
}

/// Joins complaints; `None` if there are none.
pub(super) fn all(complaints: impl Iterator<Item = String>) -> Option<String> {
    let complaints: Vec<String> = complaints.collect();
    (!complaints.is_empty()).then(|| complaints.join(", "))
}
