//! The circuit breaker of one operation of a participant (Nygard, "Release It!"). Pure: time and results of calls are
//! arguments.
//!
//! ```text
//!             N failures in a row               a call after the pause
//!   closed ────────────────────────► open ──────────────────────────────► half open: that call is the probe
//!      ▲                              ▲ │ every other call is parked              │
//!      │                              └─┼─────────────── it fails ────────────────┤
//!      └────────────────────────────────┴────────────── it succeeds ─────────────┘
//! ```
//! A parked call gets a time to return. Those times are spread, so that a participant that has just recovered gets a
//! bounded number of calls per second and not all at once.

use std::time::Duration;

use tokio::time::Instant;

use saga_engine::outcome::{Outcome, Retry, Unknown};
use saga_engine::world::Urgency;

/// Settings of a breaker.
#[derive(Clone, Copy, Debug)]
pub struct BreakerSettings {
    /// Consecutive failures that open it; 0: it never opens.
    pub failures: u32,
    /// How long it stays open before a probe.
    pub pause: Duration,
    /// Parked calls that return per second.
    pub wakes_per_second: u32,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// Return time of the last parked call.
    last_wake: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// A probe has been in flight since then.
    HalfOpen {
        since: Instant,
    },
}

/// Whether a call may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may be sent.
    Go,
    /// Not now; retry after this time.
    Park(Duration),
}

/// The result of a call, as far as it concerns a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The participant answered; a refusal counts.
    Answered,
    /// No valid answer.
    Failed,
    /// Nothing was sent: no evidence either way.
    NotAsked,
}

impl Health {
    /// Returns what the outcome of a call that was sent, or could not be, says about the participant.
    pub fn of(outcome: &Outcome) -> Health {
        match outcome {
            Outcome::Done(_) | Outcome::Undone(..) | Outcome::Refused(_) => Health::Answered,
            Outcome::Unknown(Unknown { retry: Retry::Ongoing(_), .. }) => Health::Answered,
            Outcome::Unknown(_) => Health::Failed,
        }
    }
}

impl Breaker {
    /// Creates a closed breaker.
    pub fn new(settings: BreakerSettings) -> Breaker {
        Breaker { settings, state: State::Closed { failures: 0 }, last_wake: None }
    }

    /// Returns the state's name.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half-open",
        }
    }

    /// Decides whether a call may be sent.
    pub fn admit(&mut self, urgency: Urgency, now: Instant) -> Admission {
        match (self.blocked_until(now), urgency) {
            (Some(until), Urgency::Normal) => self.park(until, now),
            // A FAILED saga sleeps for longer anyway, so it takes no place among the spread return times.
            (Some(until), Urgency::Low) => Admission::Park(until.saturating_duration_since(now)),
            (None, _) => {
                if !matches!(self.state, State::Closed { .. }) {
                    self.state = State::HalfOpen { since: now };
                }
                Admission::Go
            }
        }
    }

    /// Returns the time from which the next call is a probe; `None` if the breaker is closed.
    pub fn next_probe(&self) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until } => Some(until),
            // A probe that never returned gives way to the next.
            State::HalfOpen { since } => Some(since + self.settings.pause),
        }
    }

    /// Returns the time until which calls are blocked, if they are blocked now.
    pub fn blocked_until(&self, now: Instant) -> Option<Instant> {
        self.next_probe().filter(|until| now < *until)
    }

    fn park(&mut self, earliest: Instant, now: Instant) -> Admission {
        let gap = Duration::from_secs(1) / self.settings.wakes_per_second.max(1);
        let wake = match self.last_wake {
            Some(last) if last + gap > earliest => last + gap,
            _ => earliest,
        };
        self.last_wake = Some(wake);
        Admission::Park(wake.saturating_duration_since(now))
    }

    /// Records the result of a call; returns the new state if that opened or closed the breaker.
    pub fn learn(&mut self, health: Health, now: Instant) -> Option<&'static str> {
        let before = self.state();
        self.state = match (health, self.state) {
            (Health::NotAsked, state) => state,
            (Health::Answered, _) => {
                // The return times of the next outage are spread from its start, not from the end of this one's.
                self.last_wake = None;
                State::Closed { failures: 0 }
            }
            (Health::Failed, State::HalfOpen { .. }) => State::Open { until: now + self.settings.pause },
            (Health::Failed, State::Closed { failures }) => {
                let failures = failures.saturating_add(1);
                if self.settings.failures != 0 && failures >= self.settings.failures {
                    State::Open { until: now + self.settings.pause }
                } else {
                    State::Closed { failures }
                }
            }
            // A call sent before the breaker opened is no new evidence.
            (Health::Failed, open @ State::Open { .. }) => open,
        };
        (before != self.state()).then(|| self.state())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(2);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { failures: 3, pause: PAUSE, wakes_per_second: 10 })
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = breaker();
        for _ in 0..3 {
            breaker.learn(Health::Failed, now);
        }
        assert_eq!(breaker.state(), "open");
        breaker
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let (mut breaker, now) = (breaker(), Instant::now());
        for health in [Health::Failed, Health::Failed, Health::Answered, Health::Failed, Health::Failed] {
            breaker.learn(health, now);
        }
        breaker.learn(Health::NotAsked, now);
        assert_eq!(breaker.admit(Urgency::Normal, now), Admission::Go);
        assert_eq!(breaker.learn(Health::Failed, now), Some("open"));
        let never = BreakerSettings { failures: 0, ..breaker.settings };
        let mut never = Breaker::new(never);
        for _ in 0..1_000 {
            assert_eq!(never.learn(Health::Failed, now), None);
        }
    }

    #[test]
    fn parked_calls_come_back_one_after_the_other() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let waits: Vec<Admission> = (0..3).map(|_| breaker.admit(Urgency::Normal, now)).collect();
        let gap = Duration::from_millis(100);
        assert_eq!(waits, [Admission::Park(PAUSE), Admission::Park(PAUSE + gap), Admission::Park(PAUSE + 2 * gap)]);
    }

    #[test]
    fn one_probe_goes_and_its_fate_decides() {
        let now = Instant::now();
        for (health, state) in [(Health::Answered, "closed"), (Health::Failed, "open")] {
            let mut breaker = opened(now);
            let later = now + PAUSE;
            assert_eq!(breaker.admit(Urgency::Normal, later), Admission::Go);
            assert!(matches!(breaker.admit(Urgency::Normal, later), Admission::Park(_)), "there is one probe");
            assert_eq!(breaker.learn(health, later), Some(state));
        }
    }

    #[test]
    fn a_probe_that_never_comes_back_frees_its_place() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(Urgency::Normal, now + PAUSE), Admission::Go);
        assert_eq!(breaker.admit(Urgency::Normal, now + 2 * PAUSE), Admission::Go);
    }

    #[test]
    fn what_was_out_before_it_opened_changes_nothing_unless_it_was_answered() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.learn(Health::Failed, now + PAUSE / 2), None);
        assert_eq!(breaker.admit(Urgency::Normal, now + PAUSE), Admission::Go);
        let mut breaker = opened(now);
        assert_eq!(breaker.learn(Health::Answered, now), Some("closed"));
    }

    #[test]
    fn those_that_an_earlier_outage_parked_hold_up_nobody_after_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..1_000 {
            breaker.admit(Urgency::Normal, now);
        }
        breaker.learn(Health::Answered, now);
        for _ in 0..3 {
            breaker.learn(Health::Failed, now);
        }
        assert_eq!(breaker.admit(Urgency::Normal, now), Admission::Park(PAUSE));
    }

    #[test]
    fn failed_sagas_take_no_place_among_those_that_come_back() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..1_000 {
            assert_eq!(breaker.admit(Urgency::Low, now), Admission::Park(PAUSE));
        }
        assert_eq!(breaker.admit(Urgency::Normal, now), Admission::Park(PAUSE));
        assert_eq!(breaker.admit(Urgency::Low, now + PAUSE), Admission::Go, "it may be the probe");
    }
}
