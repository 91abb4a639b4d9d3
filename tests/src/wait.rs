//! Waiting for a condition, used by tests instead of sleeping.

use std::time::{Duration, Instant};

/// Timeout for a condition that should hold soon: far longer than it takes, so that a busy machine does not fail a
/// test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Interval of checks.
const POLL: Duration = Duration::from_millis(20);

/// Checks a condition until it returns a value, and returns that value.
///
/// # Panics
/// After `cap`; the message contains the description.
pub async fn wait_until<T>(description: &str, cap: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(POLL);
    loop {
        // The first tick completes immediately.
        ticks.tick().await;
        if let Some(value) = condition().await {
            return value;
        }
        assert!(start.elapsed() < cap, "waited {cap:?} in vain until {description}");
    }
}
