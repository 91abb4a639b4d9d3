//! The next decisions of a saga, from its log. Pure: the same log gives the same decisions, on any node, at any time.

use std::time::Duration;

use smol_str::SmolStr;

use crate::Status;
use crate::log::{Action, Direction, OutputsInLog, SagaLog, StepRecord, Undo};
use crate::outcome::Retry;
use crate::record::NAMES_ALL;

/// A decision that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write `begin`.
    Begin,
    /// Write the outputs of the reads, and the starts that must be durable before their calls.
    WriteOutputs,
    /// Call the action of the step at this index.
    Run(usize),
    /// Write that the saga turns back.
    TurnBack,
    /// Call the compensation of the step at this index.
    Compensate(usize),
    /// Write the end.
    End(Status),
}

/// Returns all decisions that are due; none if the saga waits or has ended. At most one is a write, and it is the last.
pub fn next(log: &SagaLog) -> Vec<Decision> {
    if log.ended().is_some() {
        return Vec::new();
    }
    match log.cause() {
        None => forward(log),
        Some(_) => back(log),
    }
}

fn forward(log: &SagaLog) -> Vec<Decision> {
    if log.begin_is_wanted() && !log.is_begun() {
        return vec![Decision::Begin];
    }
    if log.all_actions_done() {
        return vec![Decision::End(Status::Completed)];
    }
    let ready = ready(log);
    if ready.is_empty() || !log.reads_are_done() {
        return ready.into_iter().map(Decision::Run).collect();
    }
    if !log.is_begun() {
        return vec![Decision::Begin];
    }
    if log.outputs_in_log() == OutputsInLog::Missing {
        return vec![Decision::WriteOutputs];
    }
    let (unwritten, startable): (Vec<usize>, Vec<usize>) = ready.iter().partition(|&&step| log.start_is_missing(step));
    let calls = startable.into_iter().map(Decision::Run);
    calls.chain((!unwritten.is_empty()).then_some(Decision::WriteOutputs)).collect()
}

/// Returns the steps that may run now, as far as calls may be in flight. No effect starts before all reads are done.
fn ready(log: &SagaLog) -> Vec<usize> {
    let reads_are_done = log.reads_are_done();
    let is_ready = |&step: &usize| {
        log.step(step).action == Action::Pending
            && log.predecessors_are_done(step)
            && (reads_are_done || log.is_read_only(step))
    };
    (0..log.steps().len()).filter(is_ready).take(free_calls(log)).collect()
}

/// Returns how many more calls may be in flight. A call between two attempts is not in flight.
pub fn free_calls(log: &SagaLog) -> usize {
    let is_in_flight = |step: &&StepRecord| step.action == Action::Running || step.undo == Undo::Running;
    log.definition().max_parallel.saturating_sub(log.steps().iter().filter(is_in_flight).count())
}

/// Returns the steps whose start a write to the log must carry now: those that run next.
fn starts(log: &SagaLog) -> Vec<usize> {
    if log.cause().is_some() {
        return Vec::new();
    }
    ready(log).into_iter().filter(|&step| log.start_is_missing(step)).collect()
}

/// Returns the value of [`LogWrite::started`](crate::record::LogWrite::started) of the next write to the log.
pub fn started(log: &SagaLog) -> Vec<SmolStr> {
    if !log.names_starts() {
        return Vec::new();
    }
    let steps = log.started().chain(starts(log));
    let names = steps.map(|step| log.definition().steps()[step].name.clone());
    names.chain([SmolStr::new_static(NAMES_ALL)]).collect()
}

fn back(log: &SagaLog) -> Vec<Decision> {
    if log.all_effects_are_undone() {
        // A saga that never began is written with its end.
        return vec![Decision::End(Status::Compensated)];
    }
    if log.direction() == Direction::Forward {
        return vec![Decision::TurnBack];
    }
    let is_due = |&step: &usize| {
        let record = log.step(step);
        record.needs_undo()
            && record.undo == Undo::None
            && record.action != Action::Running
            && log.steps_behind_are_undone(step)
    };
    let due = (0..log.steps().len()).rev().filter(is_due);
    due.take(free_calls(log)).map(Decision::Compensate).collect()
}

/// Number of attempts and back-off between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Maximum number of attempts; 0 means no limit.
    pub attempts: u32,
    /// Upper bound of the wait after the first attempt; it doubles with each attempt.
    pub backoff_min: Duration,
    /// Upper bound of the wait after any attempt.
    pub backoff_max: Duration,
}

/// Decision after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Try again after this time.
    Again(Duration),
    /// Do not try again.
    GiveUp,
}

/// Returns the decision after failed attempt number `attempts` (1 is the first): exponential back-off with full jitter
/// (Brooker, "Exponential Backoff And Jitter", 2015), never shorter than the participant asked for.
/// `random` is in `0.0..=1.0`.
pub fn after_failure(patience: Patience, attempts: u32, retry: Retry, random: f64) -> AfterFailure {
    let at_least = match retry {
        Retry::After(at_least) => at_least,
        Retry::Parked(wait) | Retry::Ongoing(wait) => return AfterFailure::Again(wait),
        Retry::Never | Retry::NeverAndRaise => return AfterFailure::GiveUp,
    };
    if patience.attempts != 0 && attempts >= patience.attempts {
        return AfterFailure::GiveUp;
    }
    AfterFailure::Again(backoff(patience, attempts, random).max(at_least))
}

/// Returns the wait after attempt number `attempts`, as in [`after_failure`] but without a limit of attempts.
pub fn backoff(patience: Patience, attempts: u32, random: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    let cap = patience.backoff_min.saturating_mul(1 << doublings).min(patience.backoff_max);
    cap.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
