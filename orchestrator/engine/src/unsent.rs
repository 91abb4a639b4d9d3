//! Changes of one saga that are not yet in the table for listeners.
//!
//! They leave in order: with the saga's next awaited write, or with a flush of the outbox. The outbox does not take
//! changes that a write carries. Changes that a flush has taken enter the saga log's queue before any later write of
//! the saga.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::Status;
use crate::change::{BeginTold, Ending, StateChange};
use crate::log::{SagaLog, StepRecord, Undo};
use crate::record::Change;

/// Visible state of a step: its name, the number of attempts at the action or compensation that it names, and the state
/// of the compensation. A compensation as a precaution is not visible, so it makes no change.
type Fingerprint = (&'static str, u32, Option<Undo>);

/// The changes of one saga that wait to be sent.
#[derive(Debug)]
pub struct Unsent {
    /// The visible state of every step, as reported by the changes so far.
    told: Vec<Fingerprint>,
    waiting: Vec<StateChange>,
    /// Since when the first of them waits.
    since: Option<Instant>,
    /// The part of `waiting` that a write in flight carries.
    riding: Option<Range<usize>>,
    begin: BeginTold,
}

fn fingerprint(step: &StepRecord) -> Fingerprint {
    let state = step.state();
    (state, step.shown_attempts().count, (state == "compensating").then_some(step.undo))
}

impl Unsent {
    /// Starts without a change.
    pub fn new(log: &SagaLog) -> Unsent {
        Unsent {
            told: log.steps().iter().map(fingerprint).collect(),
            waiting: Vec::new(),
            since: None,
            riding: None,
            begin: if log.is_begun() { BeginTold::Yes } else { BeginTold::No },
        }
    }

    /// Tells whether PENDING has been written for listeners.
    pub fn begin_told(&self) -> BeginTold {
        self.begin
    }

    /// Queues a change for every step whose visible state has changed.
    pub fn note(&mut self, log: &SagaLog, at: DateTime<Utc>) {
        for ((step, named), told) in log.steps().iter().zip(log.definition().steps()).zip(&mut self.told) {
            let now = fingerprint(step);
            if *told == now {
                continue;
            }
            *told = now;
            self.since.get_or_insert_with(Instant::now);
            let attempts = step.shown_attempts();
            self.waiting.push(StateChange::Step {
                step: named.name.clone(),
                participant: named.participant.clone(),
                state: now.0.into(),
                attempts: attempts.count,
                error: attempts.error.clone(),
                at,
            });
        }
    }

    /// Returns the changes that the write of `change` carries: all that wait and, if the status changes, that change;
    /// the end of a saga is the last. A begin carries none: the log itself writes PENDING before the saga's first
    /// change.
    pub fn ride(&mut self, change: &Change, log: &SagaLog, at: DateTime<Utc>) -> Vec<StateChange> {
        if matches!(change, Change::Begin { ended: None, .. }) {
            self.riding = Some(0..0);
            return Vec::new();
        }
        self.riding = Some(0..self.waiting.len());
        let mut changes = self.waiting.clone();
        let saga = |status, ending, error: Option<&String>| StateChange::of_saga(status, ending, error.cloned(), at);
        match change {
            Change::Begin { ended: None, .. } | Change::Outputs => {}
            Change::Begin { ended: Some(error), .. } => {
                changes.push(saga(Status::Compensated, Ending::Ended, Some(error)));
            }
            Change::TurnBack { cause } => changes.push(saga(Status::Compensating, Ending::GoesOn, Some(cause))),
            // A saga that is FAILED already does not change its status.
            Change::MarkFailed { .. } if log.is_marked_failed() => {}
            Change::MarkFailed { .. } => {
                let cause = log.cause().map(ToString::to_string);
                changes.push(saga(Status::Failed, Ending::GoesOn, cause.as_ref()));
            }
            Change::End { status, error } => changes.push(saga(*status, Ending::Ended, error.as_ref())),
        }
        changes
    }

    /// Removes the changes that a write carried, since it is durable.
    pub fn landed(&mut self, carried: &[StateChange]) {
        if let Some(riding) = self.riding.take() {
            self.waiting.drain(riding);
            self.since = (!self.waiting.is_empty()).then(Instant::now);
        }
        if !carried.is_empty() {
            self.begin = BeginTold::Yes;
        }
    }

    /// Keeps the changes of a write that did not take place, for a later one.
    pub fn stayed(&mut self) {
        self.riding = None;
    }

    /// Takes the changes that the outbox may send: none while a write carries some, or before the first of them has waited
    /// for this time.
    pub fn take(&mut self, once_waited: Duration) -> Vec<StateChange> {
        match (&self.riding, self.since) {
            (None, Some(since)) if since.elapsed() >= once_waited => {
                self.since = None;
                std::mem::take(&mut self.waiting)
            }
            _ => Vec::new(),
        }
    }

    /// Records that changes that were taken are written.
    pub fn sent(&mut self) {
        self.begin = BeginTold::Yes;
    }

    /// Puts back changes that the outbox sent without a known result, before all later ones.
    pub fn put_back(&mut self, changes: Vec<StateChange>) {
        if self.begin == BeginTold::No {
            self.begin = BeginTold::Maybe;
        }
        self.since.get_or_insert_with(Instant::now);
        if let Some(riding) = &mut self.riding {
            *riding = riding.start + changes.len()..riding.end + changes.len();
        }
        self.waiting.splice(0..0, changes);
    }
}

#[cfg(test)]
mod tests;
