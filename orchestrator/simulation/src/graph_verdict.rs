//! Invariants of any saga whose steps have participants of their own, whatever its graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::durable_log::Row;
use super::participants::{KnownOutputs, StepDecision, StepEffect};
use super::sim::Sim;
use super::verdict::{ENDS, Violation, violation};
use saga_engine::definition::{Definition, Start};
use saga_engine::{SagaId, Status};

pub(super) const EACH_ONCE: &str = "COMPLETED has each effect once, and live";
pub(super) const NOTHING_LIVE: &str = "COMPENSATED has no live effect of a step with a compensation";
pub(super) const ONCE: &str = "no effect happens twice";
pub(super) const FORWARD: &str = "a step takes effect once all steps before it have, and with their outputs";
pub(super) const BACK: &str = "a step is undone once all steps behind it are";
pub(super) const STARTS: &str = "a step whose start must be in the log is called, and undone, only if it is";
pub(super) const ROOM: &str = "at most max_parallel calls of a saga are in flight";
pub(super) const SHOWN: &str = "the shown steps agree with the decisions";
pub(super) const WITHOUT: &str = "no effect without its saga";

/// Returns the violations of a run whose definitions are graphs.
pub(super) fn violations(sim: &Sim) -> Vec<Violation> {
    let inner = sim.lock();
    let Some(definition) = sim.graph.clone() else { return Vec::new() };
    let mut by_saga: BTreeMap<SagaId, Vec<&StepDecision>> = BTreeMap::new();
    for decision in inner.participants.decisions() {
        by_saga.entry(decision.saga).or_default().push(decision);
    }
    let mut found = Vec::new();
    for (id, decisions) in &by_saga {
        let mut add = |invariant, why: String| found.push(violation(invariant, id.to_string(), why));
        let saga = Saga { definition: &definition, decisions };
        match inner.log.row(*id) {
            None => add(WITHOUT, format!("{} decisions", decisions.len())),
            Some(row) => saga.not_in_row(row).into_iter().for_each(|why| add(STARTS, why)),
        }
        saga.twice().into_iter().for_each(|why| add(ONCE, why));
        saga.too_early().into_iter().for_each(|why| add(FORWARD, why));
        saga.undone_too_early().into_iter().for_each(|why| add(BACK, why));
    }
    for (id, row) in inner.log.rows() {
        let decisions = by_saga.get(&id).map(Vec::as_slice).unwrap_or_default();
        let saga = Saga { definition: &definition, decisions };
        let mut add = |invariant, why: String| found.push(violation(invariant, id.to_string(), why));
        let is_left = row.is_bad && row.attention.is_some();
        if row.ended_at.is_some() {
            saga.shown_wrongly(row).into_iter().for_each(|why| add(SHOWN, why));
        }
        match (row.ended_at, row.status) {
            (None, status) if !is_left => add(ENDS, format!("it is {status}")),
            (Some(_), Status::Completed) => saga.not_complete().into_iter().for_each(|why| add(EACH_ONCE, why)),
            (Some(_), Status::Compensated) => saga.live().into_iter().for_each(|why| add(NOTHING_LIVE, why)),
            (Some(_) | None, _) => {}
        }
    }
    let watched = &inner.watched;
    let unrecorded = watched.unrecorded_starts.iter();
    found.extend(unrecorded.map(|(id, step)| violation(STARTS, id.to_string(), format!("{step} was called"))));
    let crowded = watched.too_many_calls.iter();
    found.extend(crowded.map(|(id, calls)| violation(ROOM, id.to_string(), format!("{calls} were"))));
    found
}

/// The decisions about one saga, in order.
struct Saga<'a> {
    definition: &'a Arc<Definition>,
    decisions: &'a [&'a StepDecision],
}

impl Saga<'_> {
    fn name(&self, step: usize) -> &str {
        &self.definition.steps()[step].name
    }

    fn index(&self, decision: &StepDecision) -> usize {
        let steps = self.definition.steps();
        steps.iter().position(|step| step.name == decision.step).expect("a decision is about a step")
    }

    /// Returns the number of live effects of a step after the first `count` decisions.
    fn live_after(&self, step: usize, count: usize) -> isize {
        let of_step = self.decisions[..count].iter().filter(|decision| self.index(decision) == step);
        of_step
            .map(|decision| match decision.effect {
                StepEffect::Done(_) => 1,
                StepEffect::Undone => -1,
                StepEffect::NothingToUndo => 0,
            })
            .sum()
    }

    /// Returns how often a step took effect in the first `count` decisions.
    fn times_done(&self, step: usize, count: usize) -> usize {
        let is_done =
            |decision: &&&StepDecision| self.index(decision) == step && matches!(decision.effect, StepEffect::Done(_));
        self.decisions[..count].iter().filter(is_done).count()
    }

    fn with_effect(&self) -> impl Iterator<Item = usize> {
        let steps = self.definition.steps().iter().enumerate();
        steps.filter(|(_, step)| !step.is_read_only()).map(|(index, _)| index)
    }

    fn is_compensable(&self, step: usize) -> bool {
        self.definition.steps()[step].compensation().is_some()
    }

    fn not_complete(&self) -> Vec<String> {
        let live = |step| self.live_after(step, self.decisions.len());
        let wrong = self.with_effect().filter(|step| live(*step) != 1);
        wrong.map(|step| format!("{} has {} live effects", self.name(step), live(step))).collect()
    }

    fn live(&self) -> Vec<String> {
        let live = |step: &usize| self.live_after(*step, self.decisions.len()) != 0;
        let wrong = self.with_effect().filter(|step| self.is_compensable(*step) && live(step));
        wrong.map(|step| format!("{} is live", self.name(step))).collect()
    }

    fn twice(&self) -> Vec<String> {
        let times = |step: usize| self.times_done(step, self.decisions.len());
        let wrong = self.with_effect().filter(|step| times(*step) > 1);
        wrong.map(|step| format!("{} was done {} times", self.name(step), times(step))).collect()
    }

    /// Returns the steps that took effect before a step before them, or without its output.
    fn too_early(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (place, decision) in self.decisions.iter().enumerate() {
            let StepEffect::Done(knew) = decision.effect else { continue };
            if knew == KnownOutputs::NotAll {
                found.push(format!("{} lacked an output", decision.step));
            }
            let index = self.index(decision);
            let before = self.definition.before(index).filter(|step| !self.definition.steps()[*step].is_read_only());
            // A late action of a step without a compensation may find that the steps before it are undone.
            let missing = before.filter(|step| {
                if self.is_compensable(index) {
                    self.live_after(*step, place) == 0
                } else {
                    self.times_done(*step, place) == 0
                }
            });
            found.extend(missing.map(|step| format!("{} came before {}", decision.step, self.name(step))));
        }
        found
    }

    /// Returns the steps that were undone while a step behind them was live.
    fn undone_too_early(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (place, decision) in self.decisions.iter().enumerate() {
            if decision.effect != StepEffect::Undone {
                continue;
            }
            let behind = self.definition.behind(self.index(decision)).filter(|step| self.is_compensable(*step));
            let live = behind.filter(|step| self.live_after(*step, place) > 0);
            found.extend(live.map(|step| format!("{} was undone before {}", decision.step, self.name(step))));
        }
        found
    }

    /// Returns the steps that took effect or were asked to be undone, without their start in the row.
    fn not_in_row(&self, row: &Row) -> Vec<String> {
        let is_missing = |decision: &&&StepDecision| {
            let step = &self.definition.steps()[self.index(decision)];
            step.start == Start::Recorded && !row.started.contains(&step.name)
        };
        let wrong = self.decisions.iter().filter(is_missing);
        wrong.map(|decision| format!("{}: {:?}", decision.step, decision.effect)).collect()
    }

    /// Returns the steps of an ended saga that are shown in a wrong state.
    fn shown_wrongly(&self, row: &Row) -> Vec<String> {
        let mut found = Vec::new();
        for view in &row.timeline {
            let index = self.definition.steps().iter().position(|step| step.name == view.step).expect("a known step");
            let step = &self.definition.steps()[index];
            let (done, live) =
                (self.times_done(index, self.decisions.len()), self.live_after(index, self.decisions.len()));
            // Without a journal a refusal may mean that the step was done before.
            let is_wrong = match (&*view.state, &*view.action) {
                (_, "running" | "backing_off") => true,
                _ if step.is_read_only() || step.start == Start::Recorded => false,
                ("done", _) => live == 0,
                ("compensated", _) => done == 0 || live != 0,
                (_, "done") => done == 0,
                (_, "refused" | "pending") => done != 0,
                _ => false,
            };
            if is_wrong {
                found.push(format!(
                    "{} is shown as {} ({}): done {done} times, {live} live",
                    view.step, view.state, view.action
                ));
            }
        }
        found
    }
}
