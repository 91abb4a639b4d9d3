//! Events that are made from the row of an ended saga. Most sagas end before the outbox has written anything of them; for
//! listeners the row then holds everything to report, and `saga_event` gets no row.
//!
//! The writer compares: an end is written without events only if a reader makes the same ones from its row. Attempts that
//! were repeated, for instance, leave only their last error in the row.

use chrono::{DateTime, Utc};
use saga_engine::Status;
use saga_engine::change::BeginTold;
use saga_engine::change::{Ending, StateChange};
use saga_engine::log::StepView;
use saga_engine::record::{Change, LogWrite};

/// Tells whether the events of a write that ends its saga can be made from the row that it leaves.
pub(super) fn hold_all(write: &LogWrite) -> bool {
    if write.begin_told != BeginTold::No || !matches!(write.change, Change::End { .. }) {
        return false;
    }
    let Some((StateChange::Saga { ended: true, .. }, told)) = write.changes.split_last() else { return false };
    of_steps(&write.timeline).is_some_and(|steps| {
        steps.len() == told.len() && steps.iter().zip(told).all(|(from_row, told)| is_same(from_row, told))
    })
}

/// Compares as rows do: in microseconds.
fn is_same(a: &StateChange, b: &StateChange) -> bool {
    let in_row = |change: &StateChange| {
        let mut change = change.clone();
        let (StateChange::Saga { at, .. } | StateChange::Step { at, .. }) = &mut change;
        *at = DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(*at);
        change
    };
    in_row(a) == in_row(b)
}

/// The row of an ended saga.
#[derive(Clone, Debug)]
pub struct EndedRow {
    /// Time of acceptance.
    pub begun_at: DateTime<Utc>,
    /// The steps; none if the details were cleared.
    pub steps: Vec<StepView>,
    /// The final status.
    pub status: Status,
    /// Why the saga did not complete.
    pub error: Option<String>,
    /// Time of the end.
    pub ended_at: DateTime<Utc>,
}

/// Makes the events of a saga from its row.
pub fn of_row(row: EndedRow) -> Vec<StateChange> {
    let EndedRow { begun_at, steps, status, error, ended_at } = row;
    let begin = std::iter::once(StateChange::of_saga(Status::Pending, Ending::GoesOn, None, begun_at));
    let steps = of_steps(&steps).unwrap_or_default();
    let end = StateChange::of_saga(status, Ending::Ended, error, ended_at);
    begin.chain(steps).chain([end]).collect()
}

/// Makes the changes of steps from their last state, in the order of time; `None` if that does not yield all of them.
fn of_steps(steps: &[StepView]) -> Option<Vec<StateChange>> {
    let mut changes = Vec::with_capacity(2 * steps.len());
    for step in steps {
        if step.state == "pending" && step.attempts == 0 && step.compensation.is_none() {
            continue;
        }
        let was_settled_at_once =
            matches!(&*step.state, "done" | "refused") && step.attempts == 1 && step.compensation.is_none();
        let (true, Some(started), Some(finished)) = (was_settled_at_once, step.started_at, step.finished_at) else {
            return None;
        };
        let change = |state, error, at| StateChange::Step {
            step: step.step.clone(),
            participant: step.participant.clone(),
            state,
            attempts: 1,
            error,
            at,
        };
        changes.push((started, change("running".into(), None, started)));
        changes.push((finished, change(step.state.clone(), step.error.clone(), finished)));
    }
    // Stable: of changes at one time, those of an earlier step come first, as the engine queues them.
    changes.sort_by_key(|(at, _)| *at);
    Some(changes.into_iter().map(|(_, change)| change).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use saga_engine::SagaId;
    use saga_engine::definition::Outputs;
    use saga_engine::log::{Event, OutputsInLog, SagaLog};
    use saga_engine::outcome::{Cause, Failure, Found, Sent};
    use saga_engine::record::Batching;
    use saga_engine::unsent::Unsent;

    use super::*;
    use crate::checkout::{self, StockRule};
    use crate::store::row_text;

    const BEGUN: Event = Event::Begun { outputs: OutputsInLog::Complete };

    /// A saga of the checkout, as its actor drives it: each event happens half a microsecond after the one before.
    struct Saga {
        log: SagaLog,
        unsent: Unsent,
        now: DateTime<Utc>,
    }

    impl Saga {
        fn new() -> Saga {
            let log = SagaLog::new(&Arc::new(checkout::definition(StockRule::Keep).unwrap()));
            Saga {
                unsent: Unsent::new(&log),
                log,
                now: DateTime::from_timestamp_micros(1_767_225_600_000_001).unwrap(),
            }
        }

        fn live(&mut self, events: impl IntoIterator<Item = Event>) {
            for event in events {
                self.now += chrono::TimeDelta::nanoseconds(500);
                self.log.apply(event, self.now).unwrap();
                self.unsent.note(&self.log, self.now);
            }
        }

        fn end(&mut self, status: Status, error: Option<&str>) -> LogWrite {
            let change = Change::End { status, error: error.map(str::to_owned) };
            let changes = self.unsent.ride(&change, &self.log, self.now);
            LogWrite {
                saga_id: SagaId(uuid::Uuid::nil()),
                epoch: 1,
                change,
                outputs: Outputs::default(),
                started: Vec::new(),
                timeline: self.log.timeline(),
                attention: None,
                at: self.now,
                changes,
                begin_told: self.unsent.begin_told(),
                batching: Batching::Any,
                was_in_doubt: false,
            }
        }
    }

    fn step(index: usize) -> [Event; 2] {
        [Event::ActionSent(index), Event::ActionDone(index, Outputs::default())]
    }

    fn happy() -> Saga {
        let mut saga = Saga::new();
        saga.live(step(0).into_iter().chain([BEGUN]).chain((1..4).flat_map(step)));
        saga
    }

    /// The events that a reader makes from the row of this write.
    fn read(write: &LogWrite, begun_at: DateTime<Utc>) -> Vec<StateChange> {
        let Some(StateChange::Saga { status, error, at, .. }) = write.changes.last().cloned() else { panic!("no end") };
        let steps = row_text::to_steps(&row_text::of_steps(&write.timeline));
        of_row(EndedRow { begun_at, steps, status, error, ended_at: at })
    }

    #[test]
    fn a_row_tells_the_same_events_as_rows_of_events_would() {
        let mut refused = Saga::new();
        refused.live(step(0).into_iter().chain([BEGUN, Event::ActionSent(1)]));
        refused.live([Event::ActionRefused(1, Failure::refused(409, "payments", "no money"))]);
        for (mut saga, status, error) in
            [(happy(), Status::Completed, None), (refused, Status::Compensated, Some("409: no money"))]
        {
            let begun_at = saga.now;
            let write = saga.end(status, error);
            assert!(hold_all(&write), "{write:?}");
            let made = read(&write, begun_at);
            assert!(is_same(&made[0], &StateChange::of_saga(Status::Pending, Ending::GoesOn, None, begun_at)));
            assert_eq!(made.len(), 1 + write.changes.len());
            for (made, told) in made[1..].iter().zip(&write.changes) {
                assert!(is_same(made, told), "{made:?} {told:?}");
            }
        }
    }

    #[test]
    fn what_a_row_does_not_tell_needs_rows_of_events() {
        let mut repeated = Saga::new();
        repeated.live([Event::ActionSent(0), Event::ActionFailed(0, "503".to_owned(), Sent::Maybe)]);
        repeated.live(step(0).into_iter().chain([BEGUN]).chain((1..4).flat_map(step)));
        let mut partly_told = happy();
        partly_told.unsent.take(Duration::ZERO);
        let mut maybe_told = happy();
        let taken = maybe_told.unsent.take(Duration::ZERO);
        maybe_told.unsent.put_back(taken);
        let mut undone = happy();
        undone.live([
            Event::Interrupted(Cause::Cancelled),
            Event::TurnedBack,
            Event::CompensationSent(3),
            Event::CompensationDone(3, Found::Done, Outputs::default()),
        ]);
        let sagas =
            [("repeated", repeated), ("partly told", partly_told), ("maybe told", maybe_told), ("undone", undone)];
        for (name, mut saga) in sagas {
            assert!(!hold_all(&saga.end(Status::Compensated, None)), "{name}");
        }
    }

    #[test]
    fn only_an_end_is_an_event_by_its_row() {
        let mut write = happy().end(Status::Completed, None);
        assert!(!hold_all(&LogWrite { change: Change::Outputs, ..write.clone() }), "it ends nothing");
        write.changes.pop();
        assert!(!hold_all(&write), "its last change is one of a step");
        write.changes.clear();
        assert!(!hold_all(&write), "it changes nothing");
    }
}
