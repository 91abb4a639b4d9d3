//! Waiting for a condition: what tests do instead of sleeping.

use std::time::{Duration, Instant};

/// How long a test waits for something that is expected to happen soon, before it is sure that it does not. Far more
/// than it takes, so that a busy machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// Looks at a condition again and again until it gives a value, and returns that.
///
/// # Panics
/// When it has given none after `cap`; the message says what was waited for.
pub async fn wait_until<T>(description: &str, cap: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(POLL);
    loop {
        // The first tick comes at once.
        ticks.tick().await;
        if let Some(value) = condition().await {
            return value;
        }
        assert!(start.elapsed() < cap, "waited {cap:?} in vain until {description}");
    }
}
