//! The changes of one saga that no listener can see yet.
//!
//! They wait here until they are in the table, and leave in order: with the saga's next awaited write, or with a flush of
//! the outbox. While a write carries them the outbox leaves them alone; what a flush has taken is in the saga log's queue
//! before any later write of the saga can be.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::Status;
use crate::change::{Ending, StateChange};
use crate::log::{SagaLog, StepRecord, Undo};
use crate::record::Change;

/// What tells one state of a step from another: its name, the attempts in its direction, and whether one of them is under
/// way. What nobody sees of a step, an undoing as a precaution, changes nothing.
type Fingerprint = (&'static str, u32, Option<Undo>);

/// The changes that wait.
#[derive(Debug, Default)]
pub struct Unsent {
    waiting: Vec<StateChange>,
    /// Those of `waiting` that a write carries now.
    riding: Option<Range<usize>>,
}

/// Returns the state of every step, to be compared with what it is later.
pub fn fingerprints(log: &SagaLog) -> Vec<Fingerprint> {
    log.steps().iter().map(fingerprint).collect()
}

fn fingerprint(step: &StepRecord) -> Fingerprint {
    let state = step.state();
    (state, step.shown_attempts().count, (state == "compensating").then_some(step.undo))
}

impl Unsent {
    /// Takes in how the steps differ from what they were before.
    pub fn note(&mut self, before: &[Fingerprint], log: &SagaLog, at: DateTime<Utc>) {
        for (step, before) in log.steps().iter().zip(before) {
            if *before == fingerprint(step) {
                continue;
            }
            let attempts = step.shown_attempts();
            self.waiting.push(StateChange::Step {
                step: step.name().into(),
                participant: step.participant().into(),
                state: step.state().into(),
                attempts: attempts.count,
                error: attempts.error.clone(),
                at,
            });
        }
    }

    /// Returns what the write of `change` carries: all that waits and, where it changes the status, that. The first time
    /// a saga is heard of it is PENDING; its end comes last.
    pub fn ride(&mut self, change: &Change, log: &SagaLog, at: DateTime<Utc>) -> Vec<StateChange> {
        self.riding = Some(0..self.waiting.len());
        let mut changes = self.waiting.clone();
        let saga = |status, ending, error: Option<&String>| StateChange::of_saga(status, ending, error.cloned(), at);
        match change {
            Change::Begin { ended: None, .. } => changes.insert(0, saga(Status::Pending, Ending::GoesOn, None)),
            Change::Begin { ended: Some(error), .. } => {
                changes.push(saga(Status::Compensated, Ending::Ended, Some(error)));
            }
            Change::Outputs => {}
            Change::TurnBack { cause } => changes.push(saga(Status::Compensating, Ending::GoesOn, Some(cause))),
            // Every time that it cannot be undone again changes nothing.
            Change::MarkFailed { .. } if log.is_marked_failed() => {}
            Change::MarkFailed { .. } => {
                let cause = log.cause().map(ToString::to_string);
                changes.push(saga(Status::Failed, Ending::GoesOn, cause.as_ref()));
            }
            Change::End { status, error } => changes.push(saga(*status, Ending::Ended, error.as_ref())),
        }
        changes
    }

    /// The write that carried them is durable.
    pub fn landed(&mut self) {
        if let Some(riding) = self.riding.take() {
            self.waiting.drain(riding);
        }
    }

    /// The write that carried them did not take place: they wait for another.
    pub fn stayed(&mut self) {
        self.riding = None;
    }

    /// Takes what the outbox may send.
    pub fn take(&mut self) -> Vec<StateChange> {
        match self.riding {
            Some(_) => Vec::new(),
            None => std::mem::take(&mut self.waiting),
        }
    }

    /// Puts back what could not be sent, before all that came later.
    pub fn put_back(&mut self, changes: Vec<StateChange>) {
        if let Some(riding) = &mut self.riding {
            *riding = riding.start + changes.len()..riding.end + changes.len();
        }
        self.waiting.splice(0..0, changes);
    }
}

#[cfg(test)]
mod tests;
