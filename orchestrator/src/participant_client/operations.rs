//! The operations of one participant, each with a circuit breaker, so that a broken operation stops no other, and with
//! a queue for FAILED sagas. A queue sends a few calls at a time, whatever its length, and time in it does not count
//! against the timeout: no client waits for these calls.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

use super::Calling;
use super::breaker::{Admission, Breaker, BreakerSettings, Health};
use saga_engine::definition::full_name;
use saga_engine::world::{Call, Urgency};

/// Maximum length of a queue; beyond it sagas go back to sleep.
const MAX_IN_LINE: usize = 1_000;

/// The operations by name.
pub(super) struct Operations {
    participant: SmolStr,
    breaker: BreakerSettings,
    /// Maximum calls in flight for FAILED sagas, per operation.
    limit: usize,
    operations: BTreeMap<SmolStr, Operation>,
}

struct Operation {
    breaker: Breaker,
    failed: VecDeque<Box<Calling>>,
    failed_out: usize,
}

impl Operations {
    pub(super) fn new(participant: SmolStr, names: &[SmolStr], breaker: BreakerSettings, limit: usize) -> Operations {
        let mut operations = Operations { participant, breaker, limit: limit.max(1), operations: BTreeMap::new() };
        for name in names {
            operations.of(name);
        }
        operations
    }

    fn of(&mut self, name: &SmolStr) -> &mut Operation {
        let breaker = self.breaker;
        self.operations.entry(name.clone()).or_insert_with(|| Operation {
            breaker: Breaker::new(breaker),
            failed: VecDeque::new(),
            failed_out: 0,
        })
    }

    /// Enqueues a call for a FAILED saga; returns it if the queue is full.
    pub(super) fn line_up(&mut self, calling: Box<Calling>) -> Option<Box<Calling>> {
        let operation = self.of(&calling.call.operation);
        if operation.failed.len() >= MAX_IN_LINE {
            return Some(calling);
        }
        operation.failed.push_back(calling);
        None
    }

    /// Returns the next call for a FAILED saga that can be sent, or that its breaker parks.
    pub(super) fn next_in_line(&mut self, now: Instant) -> Option<Box<Calling>> {
        let limit = self.limit;
        let may_leave =
            |operation: &&mut Operation| operation.failed_out < limit || operation.breaker.blocked_until(now).is_some();
        let mut calling =
            self.operations.values_mut().filter(may_leave).find_map(|operation| operation.failed.pop_front())?;
        calling.since = now;
        Some(calling)
    }

    /// Decides whether a call may be sent.
    pub(super) fn admit(&mut self, call: &Call, now: Instant) -> Admission {
        let operation = self.of(&call.operation);
        let admission = operation.breaker.admit(call.urgency, now);
        if admission == Admission::Go && call.urgency == Urgency::Low {
            operation.failed_out += 1;
        }
        admission
    }

    /// Records the result of a call; returns the breaker's state if it changed.
    pub(super) fn learn(
        &mut self,
        name: &SmolStr,
        urgency: Urgency,
        health: Health,
        now: Instant,
    ) -> Option<&'static str> {
        let operation = self.of(name);
        if urgency == Urgency::Low {
            operation.failed_out = operation.failed_out.saturating_sub(1);
        }
        operation.breaker.learn(health, now)
    }

    /// Returns the state of an operation's breaker.
    pub(super) fn state(&self, name: &str) -> Option<&'static str> {
        self.operations.get(name).map(|operation| operation.breaker.state())
    }

    /// Returns the number of queued calls.
    pub(super) fn waiting(&self) -> usize {
        self.operations.values().map(|operation| operation.failed.len()).sum()
    }

    /// Returns the states of the breakers by the full names of the operations.
    pub(super) fn states(&self) -> BTreeMap<String, &'static str> {
        let state =
            |(name, operation): (&SmolStr, &Operation)| (full_name(&self.participant, name), operation.breaker.state());
        self.operations.iter().map(state).collect()
    }

    pub(super) fn pause(&self) -> Duration {
        self.breaker.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::participant_client::tests::call_of;
    use saga_engine::world::Answer;

    const REFUND: SmolStr = SmolStr::new_static("refund");

    fn operations() -> Operations {
        let breaker = BreakerSettings { failures: 2, pause: Duration::from_secs(2), wakes_per_second: 10 };
        Operations::new("payments".into(), &["charge".into(), REFUND], breaker, 3)
    }

    fn line_up(operations: &mut Operations) -> Option<Box<Calling>> {
        let call = Call { urgency: Urgency::Low, ..call_of("refund", 1) };
        operations.line_up(Box::new(Calling { call, answer: Answer::new(|_| {}), since: Instant::now() }))
    }

    #[test]
    fn an_operation_that_is_broken_stops_no_other() {
        let (mut operations, now) = (operations(), Instant::now());
        operations.learn(&REFUND, Urgency::Normal, Health::Failed, now);
        assert_eq!(operations.learn(&REFUND, Urgency::Normal, Health::Failed, now), Some("open"));
        assert!(matches!(operations.admit(&call_of("refund", 1), now), Admission::Park(_)));
        assert_eq!(operations.admit(&call_of("charge", 1), now), Admission::Go);
        let states = [("payments.charge".to_owned(), "closed"), ("payments.refund".to_owned(), "open")];
        assert_eq!(operations.states(), BTreeMap::from(states));
    }

    #[test]
    fn a_few_calls_for_failed_sagas_are_out_at_once() {
        let (mut operations, now) = (operations(), Instant::now());
        for _ in 0..10 {
            assert!(line_up(&mut operations).is_none());
        }
        let out: Vec<_> = std::iter::from_fn(|| {
            let calling = operations.next_in_line(now)?;
            (operations.admit(&calling.call, now) == Admission::Go).then_some(calling)
        })
        .collect();
        assert_eq!((out.len(), operations.waiting()), (3, 7));
        operations.learn(&REFUND, Urgency::Low, Health::Answered, now);
        assert!(operations.next_in_line(now).is_some(), "one has come back");
    }

    #[test]
    fn a_line_is_sent_home_when_its_breaker_opens_and_never_grows_for_ever() {
        let (mut operations, now) = (operations(), Instant::now());
        for _ in 0..MAX_IN_LINE {
            assert!(line_up(&mut operations).is_none());
        }
        assert!(line_up(&mut operations).is_some());
        for _ in 0..2 {
            operations.learn(&REFUND, Urgency::Normal, Health::Failed, now);
        }
        while let Some(calling) = operations.next_in_line(now) {
            assert!(matches!(operations.admit(&calling.call, now), Admission::Park(_)));
        }
        assert_eq!(operations.waiting(), 0);
    }
}
