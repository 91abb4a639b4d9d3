//! Invariants on effects: each has a saga, one decision, and its place in the order.

use super::sagas::all;
use super::{
    Decision, Entry, Facts, MovementKind, OperationKind, Participant, PaymentStatus, PurchaseStatus, Saga, Transaction,
    Verdict,
};

/// No payment, purchase or decrement without its saga.
pub(super) fn no_effect_without_a_saga(facts: &Facts) -> Verdict {
    let with_effect = facts.untouched().filter(|(_, transaction)| {
        !transaction.payments.is_empty()
            || !transaction.purchases.is_empty()
            || transaction.movements_of(MovementKind::Decrement) > 0
    });
    let with_saga = with_effect.map(|(id, transaction)| (id, (facts.saga_of(id), transaction)));
    Verdict::over(
        "no payment, purchase or decrement without its saga",
        "transactions",
        with_saga,
        |(saga, transaction)| match saga {
            Some(_) => None,
            None => {
                let Transaction { payments, purchases, movements, .. } = transaction;
                let (payments, purchases, movements) = (payments.len(), purchases.len(), movements.len());
                Some(format!("{payments} payments, {purchases} purchases, {movements} movements of stock, and no saga"))
            }
        },
    )
}

/// Nothing ran twice: each operation was decided once, and the effects match the decisions.
pub(super) fn nothing_ran_twice(facts: &Facts) -> Verdict {
    Verdict::over("nothing ran twice", "transactions", facts.untouched(), |transaction| {
        all(Participant::ALL.into_iter().flat_map(|participant| twice(transaction, participant)))
    })
}

fn twice(transaction: &Transaction, participant: Participant) -> Vec<String> {
    let (effects, undone) = effects(transaction, participant);
    let decided = transaction.entries(participant, OperationKind::Action).count();
    let done = transaction
        .entries(participant, OperationKind::Action)
        .filter(|entry| entry.decision == Decision::Done)
        .count();
    let compensations = transaction.entries(participant, OperationKind::Compensation).count();
    // A compensation that found nothing to undo is a decision without an effect.
    let effective = if transaction.did(participant) { compensations } else { 0 };
    let name = participant.as_str();
    let checks = [
        (decided > 1, format!("{name} decided the action {decided} times")),
        (compensations > 1, format!("{name} decided the compensation {compensations} times")),
        (effects > 1, format!("{effects} effects at {name}")),
        (effects != done, format!("{effects} effects at {name} by {done} decisions")),
        (undone != effective, format!("{undone} effects undone at {name} by {effective} decisions")),
    ];
    checks.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, why)| why).collect()
}

/// Returns the number of a participant's effects, undone ones included, and the number of undone ones.
fn effects(transaction: &Transaction, participant: Participant) -> (usize, usize) {
    match participant {
        Participant::Payments => {
            let refunded = transaction.payments_that_are(PaymentStatus::Refunded);
            (transaction.payments_that_are(PaymentStatus::Captured) + refunded, refunded)
        }
        Participant::Inventory => {
            (transaction.movements_of(MovementKind::Decrement), transaction.movements_of(MovementKind::Restore))
        }
        Participant::Purchases => {
            let cancelled = transaction.purchases_that_are(PurchaseStatus::Cancelled);
            (transaction.purchases_that_are(PurchaseStatus::Live) + cancelled, cancelled)
        }
    }
}

/// Within one epoch, the last effect is undone first. There is no order for a compensation that found nothing (a
/// tombstone), nor between two owners, since calls of the earlier one may still arrive. Times of two servers may differ
/// by [`Facts::clock_allowance`]. Sagas of other definitions are not judged, since their steps have
/// another order.
pub(super) fn compensations_in_reverse(facts: &Facts) -> Verdict {
    let with_several = facts
        .untouched()
        .filter(|(_, transaction)| transaction.saga.as_ref().is_none_or(Saga::is_purchase))
        .map(|(id, transaction)| (id, compensations(transaction)))
        .filter(|(_, compensations)| compensations.len() > 1);
    Verdict::over("compensations run in reverse order", "transactions", with_several, |compensations| {
        let pairs = compensations.iter().flat_map(|first| compensations.iter().map(move |second| (first, second)));
        let too_early = pairs.filter(|(earlier, later)| {
            let is_before = earlier.at + facts.clock_allowance < later.at;
            earlier.epoch == later.epoch && earlier.participant < later.participant && is_before
        });
        all(too_early.map(|(earlier, later)| {
            let (first, second) = (earlier.participant.as_str(), later.participant.as_str());
            format!("{first} was undone before {second}")
        }))
    })
}

/// Returns the compensations that undid something or could have.
fn compensations(transaction: &Transaction) -> Vec<&Entry> {
    let undone =
        transaction.journal.iter().filter(|entry| entry.kind == OperationKind::Compensation && entry.epoch.is_some());
    let is_tombstone =
        |entry: &Entry| transaction.entries(entry.participant, OperationKind::Action).any(|action| action.tombstone);
    undone.filter(|entry| !is_tombstone(entry)).collect()
}
