//! Cases that are listed, not judged. Each verdict's findings are the list; its number of checked items has no meaning.

use super::{Facts, MovementKind, OperationKind, Run, Verdict};
use crate::checkout::StockRule;
use saga_engine::Status;

/// Unfinished sagas, while sagas may run.
pub(super) fn unfinished(facts: &Facts, run: Run) -> Verdict {
    let sagas = facts.sagas();
    let open = sagas.filter(|(_, saga)| run == Run::Live && saga.ended_at.is_none());
    Verdict::over("sagas that run", "sagas", open, |saga| {
        Some(match &saga.attention {
            Some(attention) => format!("{}, in attention: {attention}", saga.status),
            None => saga.status.to_string(),
        })
    })
}

/// Sagas that a person has settled: the state of their effects is known to that person only.
pub(super) fn settled_by_a_person(facts: &Facts) -> Verdict {
    let sagas = facts.sagas();
    let settled = sagas.filter(|(_, saga)| saga.is_settled && saga.ended_at.is_some());
    Verdict::over("sagas that a person settled", "sagas", settled, |saga| {
        Some(saga.attention.clone().unwrap_or_else(|| "FAILED".to_owned()))
    })
}

/// Calls that no orchestrator made.
pub(super) fn calls_from_outside(facts: &Facts) -> Verdict {
    let touched = facts.all().filter(|(_, transaction)| transaction.is_touched());
    Verdict::over("calls that did not come from the orchestrator", "transactions", touched, |transaction| {
        let ours = transaction.journal.iter().filter(|entry| !entry.from_saga && !entry.tombstone);
        let ours = ours.map(|entry| (entry.participant.as_str(), entry.kind));
        let named = transaction.named_entries().filter(|(_, entry)| !entry.from_saga && !entry.tombstone);
        let named = named.map(|(participant, entry)| (participant.as_str(), entry.kind));
        let calls = ours.chain(named).map(|(participant, kind)| {
            let kind = match kind {
                OperationKind::Action => "action",
                OperationKind::Compensation => "compensation",
            };
            format!("{participant} {kind}")
        });
        let calls = calls.collect::<Vec<_>>().join(", ");
        Some(match transaction.saga {
            Some(_) => format!("{calls}, under the id of a saga"),
            None => calls,
        })
    })
}

/// Stock taken by a call that arrived after its saga had ended: by the product owner's rule it is not given back. The
/// end is by the clock of one database and the movement by that of another, so a movement within
/// [`Facts::clock_allowance`] after the end is not listed.
pub(super) fn late_decrements(facts: &Facts) -> Verdict {
    let kept = facts.ended_as(Status::Compensated).filter(|(_, (saga, _))| saga.stock_rule == Some(StockRule::Keep));
    let late = kept.filter_map(|(id, (saga, transaction))| {
        let ended_at = saga.ended_at?;
        let movement = transaction.movements.iter().find(|moved| moved.kind == MovementKind::Decrement)?;
        (movement.at > ended_at + facts.clock_allowance).then_some((id, (movement.at, ended_at)))
    });
    Verdict::over("decrements after the end of their saga", "purchases", late, |(at, ended_at)| {
        Some(format!("{} ms after the end", (*at - *ended_at).num_milliseconds()))
    })
}
