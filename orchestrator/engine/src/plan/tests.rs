//! Back-off, and the plan on generated graphs.

mod graphs;

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
    assert!(matches!(after_failure(patience, 1_000_000, Retry::After(Duration::ZERO), 1.0), AfterFailure::Again(_)));
}
