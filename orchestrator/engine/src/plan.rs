//! The next decision of a saga, from its log. Pure: the same log gives the same decision, on any node, at any time.

use std::time::Duration;

use crate::Status;
use crate::log::{Action, Direction, OutputsInLog, SagaLog, Undo};
use crate::outcome::Retry;

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write `begin`.
    Begin,
    /// Write the outputs of the reads.
    WriteOutputs,
    /// Call the action of the step at this index.
    Run(usize),
    /// Write that the saga turns back.
    TurnBack,
    /// Call the compensation of the step at this index.
    Compensate(usize),
    /// Write the end.
    End(Status),
    /// Nothing: a call is in flight or backing off, or the saga has ended.
    Wait,
}

/// Returns the next decision of a saga.
pub fn next(log: &SagaLog) -> Decision {
    if log.ended().is_some() {
        return Decision::Wait;
    }
    match log.cause() {
        None => forward(log),
        Some(_) => back(log),
    }
}

fn forward(log: &SagaLog) -> Decision {
    if log.begin_is_wanted() && !log.is_begun() {
        return Decision::Begin;
    }
    let Some(step) = log.next_to_do() else {
        return Decision::End(Status::Completed);
    };
    match log.step(step).action {
        Action::Pending if log.is_read_only(step) => Decision::Run(step),
        Action::Pending if !log.is_begun() => Decision::Begin,
        Action::Pending if log.outputs_in_log() == OutputsInLog::Missing => Decision::WriteOutputs,
        Action::Pending => Decision::Run(step),
        // `Refused` and `Unknown` come with a cause, so a saga that runs forward has neither.
        Action::Running | Action::BackingOff | Action::Done | Action::Refused | Action::Unknown => Decision::Wait,
    }
}

fn back(log: &SagaLog) -> Decision {
    match log.next_to_undo() {
        // No effect is possible, or every one is confirmed undone. A saga that never began is written with its end.
        None => Decision::End(Status::Compensated),
        Some(_) if log.direction() == Direction::Forward => Decision::TurnBack,
        Some(step) => match log.step(step).undo {
            Undo::None => Decision::Compensate(step),
            Undo::Running | Undo::BackingOff | Undo::Done => Decision::Wait,
        },
    }
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
        Retry::Parked(wait) => return AfterFailure::Again(wait),
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
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { attempts: 4, backoff_min: Duration::from_millis(50), backoff_max: Duration::from_millis(300) };

    #[test]
    fn the_wait_doubles_up_to_its_cap_and_is_jittered_in_full() {
        for (attempts, random, expected_ms) in
            [(1, 1.0, 50), (2, 1.0, 100), (3, 1.0, 200), (9, 1.0, 300), (3, 0.5, 100), (3, 0.0, 0)]
        {
            assert_eq!(backoff(PATIENCE, attempts, random), Duration::from_millis(expected_ms), "{attempts} {random}");
        }
    }

    #[test]
    fn attempts_are_bounded_and_a_participants_wish_is_honoured() {
        let again = |attempts, retry| after_failure(PATIENCE, attempts, retry, 0.0);
        assert_eq!(again(1, Retry::After(Duration::from_secs(2))), AfterFailure::Again(Duration::from_secs(2)));
        assert_eq!(again(3, Retry::After(Duration::ZERO)), AfterFailure::Again(Duration::ZERO));
        assert_eq!(again(4, Retry::After(Duration::ZERO)), AfterFailure::GiveUp);
        let parked = Duration::from_secs(9);
        assert_eq!(again(100, Retry::Parked(parked)), AfterFailure::Again(parked), "it was no attempt");
        assert_eq!(again(1, Retry::Never), AfterFailure::GiveUp);
        assert_eq!(again(1, Retry::NeverAndRaise), AfterFailure::GiveUp);
    }

    #[test]
    fn zero_attempts_mean_for_ever() {
        let patience = Patience { attempts: 0, ..PATIENCE };
        assert!(matches!(
            after_failure(patience, 1_000_000, Retry::After(Duration::ZERO), 1.0),
            AfterFailure::Again(_)
        ));
    }
}
