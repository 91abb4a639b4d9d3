//! Invariants at the end of a run: those that `audit` and the chaos suite check too, and those that only a simulator
//! can check: the answers of all clients, and the failures of actors.

use std::sync::Arc;

use super::log_access::REFUSED_VALUE;
use super::sim::Sim;
use super::world::KILLED;
use super::{graph_verdict, watch};
use orchestrator::checkout::{Order, StockRule};
use orchestrator::invariants::{Facts, Run, Saga, judge};
use saga_engine::{SagaId, Status};

/// An answer that a client got about a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientReport {
    pub(super) id: SagaId,
    pub(super) what: ClientOutcome,
}

/// The content of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientOutcome {
    /// The saga ended.
    Ended(Status),
    /// The saga is FAILED; it may still become COMPENSATED.
    NotUndoneYet,
    /// The saga is in the log.
    Accepted,
    /// Nothing was written.
    NotStarted,
}

/// A violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, as a sentence.
    pub invariant: &'static str,
    /// The transaction, the product or the node.
    pub id: String,
    /// Its name in the trace, `saga 3`, or the same as `id` if it is not a saga that a client requested.
    pub name: String,
    /// The reason, in words.
    pub why: String,
}

/// The invariants that only the simulator checks.
pub(super) const ENDS: &str = "every accepted saga ends";
pub(super) const TOLD: &str = "what a client is told is what the log holds";
pub(super) const CANCEL: &str = "a cancel that was accepted is not followed by COMPLETED";
pub(super) const ACTORS: &str = "no saga's actor dies of its own";
pub(super) const ORPHAN: &str = "no saga is without an actor for longer than a sweep";
pub(super) const COUNTED: &str = "no node counts sagas without an actor once all have ended";
pub(super) const FINAL: &str = "a 404 is final";
pub(super) const LEARNS: &str = "an id that came with a 503 can be asked for until its end is known";
pub(super) const PARKED: &str = "a call is parked only where its own operation has failed";
pub(super) const LEASE: &str = "a node trusts its lease for no longer than the log grants it";
pub(super) const ACTION: &str = "a node without a lease calls no action";
pub(super) const HOLD: &str = "on hold nothing begins and nothing is claimed";
pub(super) const ONE_ROW: &str = "a saga has one row";
pub(super) const KEY: &str = "one key buys once within its retention";

/// Returns the violations of a run.
pub(super) fn violations(sim: &Arc<Sim>) -> Vec<Violation> {
    let mut violations = nameless_violations(sim);
    let inner = sim.lock();
    for violation in &mut violations {
        if let Ok(id) = violation.id.parse() {
            violation.name = inner.trace.name(SagaId(id));
        }
    }
    violations
}

fn nameless_violations(sim: &Arc<Sim>) -> Vec<Violation> {
    let report = judge(&facts(sim), Run::Over);
    let by_facts = report.verdicts.iter().flat_map(|verdict| {
        verdict.findings.iter().map(|finding| violation(verdict.name, finding.id.clone(), finding.why.clone()))
    });
    by_facts
        .chain(untrue_answers(sim))
        .chain(ignored_cancels(sim))
        .chain(dead_actors(sim))
        .chain(watched(sim))
        .chain(keys(sim))
        .chain(graph_verdict::violations(sim))
        .collect()
}

fn watched(sim: &Sim) -> Vec<Violation> {
    let inner = sim.lock();
    let watched = &inner.watched;
    let orphans = watched.orphans.iter().map(|(id, at)| {
        violation(ORPHAN, id.to_string(), format!("it had none for a minute at {:.1} s", at.as_secs_f64()))
    });
    let came_back = watched.not_found.iter().filter(|id| inner.log.row(**id).is_some());
    let came_back = came_back.map(|id| violation(FINAL, id.to_string(), "it is in the log".to_owned()));
    let not_learnt = watched.not_learnt.iter();
    let not_learnt = not_learnt.map(|id| violation(LEARNS, id.to_string(), "its client still cannot tell".to_owned()));
    let parked = watched.parked_for_others.iter();
    let parked = parked.map(|(id, what)| violation(PARKED, id.to_string(), format!("no call of {what} had failed")));
    let counted = watch::counted(&inner).into_iter();
    let counted = counted.map(|(node, number)| violation(COUNTED, node, format!("it counts {number}")));
    let leases = watched.trusted_leases.iter();
    let leases = leases.map(|(node, at)| violation(LEASE, node.clone(), format!("not at {:.1} s", at.as_secs_f64())));
    let unleased = watched.unleased_calls.iter();
    let unleased =
        unleased.map(|(node, at)| violation(ACTION, node.clone(), format!("not at {:.1} s", at.as_secs_f64())));
    let held = watched.ignored_holds.iter();
    let held = held.map(|(node, at)| violation(HOLD, node.clone(), format!("it claims at {:.1} s", at.as_secs_f64())));
    let begun = watched.begun_on_hold.iter();
    let begun =
        begun.map(|(id, at)| violation(HOLD, id.to_string(), format!("it begins at {:.1} s", at.as_secs_f64())));
    let doubled = inner.log.with_two_rows.iter();
    let doubled = doubled.map(|id| violation(ONE_ROW, id.to_string(), "it began again after its end".to_owned()));
    orphans
        .chain(doubled)
        .chain(leases)
        .chain(unleased)
        .chain(held)
        .chain(begun)
        .chain(counted)
        .chain(parked)
        .chain(came_back)
        .chain(not_learnt)
        .collect()
}

fn keys(sim: &Sim) -> Vec<Violation> {
    let inner = sim.lock();
    let twice = inner.log.bought_twice(sim.knobs.keys_kept).into_iter();
    twice.map(|(user, ids)| violation(KEY, ids[0].to_string(), format!("{} sagas of {user}", ids.len()))).collect()
}

fn facts(sim: &Sim) -> Facts {
    let mut facts = Facts::default();
    let inner = sim.lock();
    inner.participants.add_to(&mut facts);
    for (id, row) in inner.log.rows() {
        // A row that cannot be read is on the attention list: it counts as FAILED and settled.
        let is_left = row.is_bad && row.ended_at.is_none() && row.attention.is_some();
        facts.transaction(&id.to_string()).saga = Some(Saga {
            status: if is_left { Status::Failed } else { row.status },
            ended_at: if is_left { Some(row.created_at) } else { row.ended_at },
            stock_rule: StockRule::of_definition(&row.definition),
            // The simulator sees the effects themselves.
            compensable: None,
            cents: Order::of_saga(&row.definition, &row.input).map(|order| order.amount.cents()),
            // No person does in a run.
            is_settled: is_left,
            attention: row.attention.clone(),
            steps: if is_left { Vec::new() } else { row.timeline.clone() },
        });
    }
    facts
}

fn untrue_answers(sim: &Sim) -> Vec<Violation> {
    let inner = sim.lock();
    let check = |told: &ClientReport| {
        let row = inner.log.row(told.id);
        let holds = row.map(|row| row.status);
        let is_true = match (told.what, holds) {
            (ClientOutcome::Ended(status), Some(now)) => status == now,
            (ClientOutcome::NotUndoneYet, Some(now)) => now == Status::Compensated || now == Status::Failed,
            (ClientOutcome::Accepted, holds) => holds.is_some(),
            (ClientOutcome::NotStarted, holds) => holds.is_none(),
            (ClientOutcome::Ended(_) | ClientOutcome::NotUndoneYet, None) => false,
        };
        (!is_true)
            .then(|| violation(TOLD, told.id.to_string(), format!("told {:?}, the log holds {holds:?}", told.what)))
    };
    inner.told.iter().filter_map(check).collect()
}

fn ignored_cancels(sim: &Sim) -> Vec<Violation> {
    let inner = sim.lock();
    let completed = inner
        .cancelled
        .iter()
        .filter(|id| inner.log.row(**id).is_some_and(|row| row.ended_at.is_some() && row.status == Status::Completed));
    completed.map(|id| violation(CANCEL, id.to_string(), "it is COMPLETED".to_owned())).collect()
}

fn dead_actors(sim: &Sim) -> Vec<Violation> {
    let deaths = sim.all_running().iter().flat_map(|running| running.deaths()).collect::<Vec<_>>();
    // Killed by the simulator, or by its log, which refused a write twice.
    let is_wanted = |reason: &str| reason.contains(KILLED) || reason.contains(REFUSED_VALUE);
    let deaths = deaths.into_iter().filter(|(_, reason)| !is_wanted(reason));
    deaths.map(|(id, reason)| violation(ACTORS, id.to_string(), reason)).collect()
}

pub(super) fn violation(invariant: &'static str, id: String, why: String) -> Violation {
    Violation { invariant, name: id.clone(), id, why }
}
