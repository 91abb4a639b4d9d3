//! The operations of one participant, each with a circuit breaker, so that a broken operation stops no other, and with
//! a queue for FAILED sagas. A queue sends a few calls at a time, whatever its length, and time in it does not count
//! against the timeout: no client waits for these calls.
//!
//! Operations are not known in advance: definitions may name any. Their number is limited; beyond it the operation that
//! was used longest ago and has no calls for FAILED sagas is forgotten, one with a closed breaker first. If there is none,
//! calls of a new operation are parked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

use super::Calling;
use super::breaker::{Admission, Breaker, BreakerSettings, Health};
use saga_engine::definition::full_name;
use saga_engine::world::{Call, Urgency};

/// Maximum length of a queue; beyond it sagas go back to sleep.
const MAX_IN_LINE: usize = 1_000;

/// Maximum number of operations: several times the number in ten large definitions.
const MAX_OPERATIONS: usize = 500;

/// The operations by name.
pub(super) struct Operations {
    participant: SmolStr,
    breaker: BreakerSettings,
    /// Maximum calls in flight for FAILED sagas, per operation.
    limit: usize,
    operations: BTreeMap<SmolStr, Operation>,
    /// The operation that was forgotten for a new one.
    forgotten: Option<SmolStr>,
}

struct Operation {
    breaker: Breaker,
    failed: VecDeque<Box<Calling>>,
    failed_out: usize,
    used_at: Instant,
    /// Calls that the breaker turned away since it opened.
    turned_away: Arc<AtomicU64>,
}

/// A breaker as it is shown.
pub(super) struct ShownBreaker {
    pub(super) state: &'static str,
    pub(super) next_probe: Option<Instant>,
    pub(super) turned_away: Arc<AtomicU64>,
}

impl ShownBreaker {
    /// Returns its state. Only a call changes the breaker, so one whose pause is over is half-open for people: the next
    /// call is its probe, whenever that comes.
    pub(super) fn state_at(&self, now: Instant) -> &'static str {
        if self.next_probe.is_some_and(|probe| probe <= now) { "half-open" } else { self.state }
    }
}

impl Operations {
    pub(super) fn new(participant: SmolStr, names: &[SmolStr], breaker: BreakerSettings, limit: usize) -> Operations {
        let limit = limit.max(1);
        let mut operations = Operations { participant, breaker, limit, operations: BTreeMap::new(), forgotten: None };
        let now = Instant::now();
        for name in names {
            operations.of(name, now);
        }
        operations
    }

    /// Returns an operation, a new one if it is unknown; `None` if there is no room for a new one.
    fn of(&mut self, name: &SmolStr, now: Instant) -> Option<&mut Operation> {
        if !self.operations.contains_key(name) {
            if self.operations.len() >= MAX_OPERATIONS {
                let idle = self.operations.iter().filter(|(_, one)| one.failed.is_empty() && one.failed_out == 0);
                let oldest = idle.min_by_key(|(_, one)| (one.breaker.state() != "closed", one.used_at))?.0.clone();
                self.operations.remove(&oldest);
                self.forgotten = Some(oldest);
            }
            let breaker = Breaker::new(self.breaker);
            let turned_away = Arc::default();
            let operation = Operation { breaker, failed: VecDeque::new(), failed_out: 0, used_at: now, turned_away };
            self.operations.insert(name.clone(), operation);
        }
        let operation = self.operations.get_mut(name)?;
        operation.used_at = now;
        Some(operation)
    }

    /// Takes the name of the operation that was forgotten since the last call.
    pub(super) fn forgotten(&mut self) -> Option<SmolStr> {
        self.forgotten.take()
    }

    /// Enqueues a call for a FAILED saga; returns it if the queue is full.
    pub(super) fn line_up(&mut self, calling: Box<Calling>) -> Option<Box<Calling>> {
        let Some(operation) = self.of(&calling.call.operation, Instant::now()) else { return Some(calling) };
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
        let pause = self.breaker.pause;
        let Some(operation) = self.of(&call.operation, now) else { return Admission::Park(pause) };
        let admission = operation.breaker.admit(call.urgency, now);
        match admission {
            Admission::Go if call.urgency == Urgency::Low => operation.failed_out += 1,
            Admission::Go => {}
            Admission::Park(_) => {
                operation.turned_away.fetch_add(1, Ordering::Relaxed);
            }
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
        // One that was forgotten in the meantime stays so.
        let operation = self.operations.get_mut(name)?;
        if urgency == Urgency::Low {
            operation.failed_out = operation.failed_out.saturating_sub(1);
        }
        let changed = operation.breaker.learn(health, now);
        if changed == Some("closed") {
            operation.turned_away.store(0, Ordering::Relaxed);
        }
        changed
    }

    /// Returns the state of an operation's breaker.
    pub(super) fn state(&self, name: &str) -> Option<&'static str> {
        self.operations.get(name).map(|operation| operation.breaker.state())
    }

    /// Returns the number of queued calls.
    pub(super) fn waiting(&self) -> usize {
        self.operations.values().map(|operation| operation.failed.len()).sum()
    }

    /// Returns the breakers by the full names of the operations.
    pub(super) fn shown(&self) -> BTreeMap<String, ShownBreaker> {
        let shown = |(name, operation): (&SmolStr, &Operation)| {
            let Operation { breaker, turned_away, .. } = operation;
            let (state, next_probe) = (breaker.state(), breaker.next_probe());
            let shown = ShownBreaker { state, next_probe, turned_away: turned_away.clone() };
            (full_name(&self.participant, name), shown)
        };
        self.operations.iter().map(shown).collect()
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

    fn states(operations: &Operations) -> BTreeMap<String, &'static str> {
        operations.shown().into_iter().map(|(name, breaker)| (name, breaker.state)).collect()
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
        let expected = [("payments.charge".to_owned(), "closed"), ("payments.refund".to_owned(), "open")];
        assert_eq!(states(&operations), BTreeMap::from(expected));
    }

    #[test]
    fn the_calls_that_a_breaker_turns_away_are_counted_until_it_closes() {
        let (mut operations, now) = (operations(), Instant::now());
        for _ in 0..2 {
            operations.learn(&REFUND, Urgency::Normal, Health::Failed, now);
        }
        for _ in 0..3 {
            operations.admit(&call_of("refund", 1), now);
        }
        operations.admit(&call_of("charge", 1), now);
        let shown = |operations: &Operations, name: &str| {
            let shown = operations.shown();
            (shown[name].next_probe, shown[name].turned_away.load(Ordering::Relaxed))
        };
        let probe = now + Duration::from_secs(2);
        assert_eq!(shown(&operations, "payments.refund"), (Some(probe), 3));
        assert_eq!(shown(&operations, "payments.charge"), (None, 0));
        assert_eq!(operations.admit(&call_of("refund", 1), probe), Admission::Go);
        assert_eq!(operations.learn(&REFUND, Urgency::Normal, Health::Answered, probe), Some("closed"));
        assert_eq!(shown(&operations, "payments.refund"), (None, 0));
    }

    #[test]
    fn the_operation_used_longest_ago_is_forgotten_and_a_new_one_waits_while_none_can_be() {
        let (mut operations, start) = (operations(), Instant::now());
        let named = |number: usize| Call { operation: format!("trip.step-{number}").into(), ..call_of("charge", 1) };
        let at = |number: usize| start + Duration::from_millis(number as u64);
        for number in 2..MAX_OPERATIONS {
            assert_eq!(operations.admit(&named(number), at(number)), Admission::Go);
        }
        assert_eq!(operations.forgotten(), None, "there is room for all");
        // charge is older than refund, but its breaker is open.
        operations.admit(&call_of("refund", 1), at(1));
        for _ in 0..2 {
            operations.learn(&"charge".into(), Urgency::Normal, Health::Failed, start);
        }
        operations.admit(&named(0), at(MAX_OPERATIONS));
        assert_eq!(operations.forgotten(), Some(REFUND));
        assert_eq!((operations.shown().len(), operations.state("charge")), (MAX_OPERATIONS, Some("open")));
        assert_eq!(operations.learn(&REFUND, Urgency::Normal, Health::Failed, start), None);
        assert_eq!(operations.state(&REFUND), None, "the result of an earlier call does not bring it back");

        for operation in operations.operations.values_mut() {
            operation.failed_out = 1;
        }
        assert_eq!(operations.admit(&named(1), at(1)), Admission::Park(Duration::from_secs(2)));
        assert!(line_up(&mut operations).is_some(), "neither is there a queue for it");
        assert_eq!(operations.forgotten(), None);
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
