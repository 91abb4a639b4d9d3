//! Tracks whether a writer's batches succeed, for its health check.
//!
//! A batch under way for too long is stalled, for instance in a commit that waits for a synchronous standby.
//! Consecutive failed batches count as a failing writer. If the last failure is old, there may have been no traffic
//! since; the check then writes a probe itself, so that the service does not stay unhealthy.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Consecutive failed batches after which the writer counts as broken.
const FAILURES: u32 = 3;
/// How long a failure counts as evidence.
const FAILURE_LIFE: Duration = Duration::from_secs(10);

/// The record of a writer's batches.
#[derive(Default)]
pub(super) struct Activity(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    under_way_since: Option<Instant>,
    failures_in_a_row: u32,
    newest_failure: Option<(Instant, String)>,
}

/// Health of a writer, judged by its batches.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Works,
    Fails(String),
    /// The failures are old: only another write can tell.
    Unclear,
}

impl Activity {
    /// Records that a batch is under way.
    pub(super) fn begun(&self, now: Instant) {
        self.0.lock().under_way_since = Some(now);
    }

    /// Records that the batch has ended, with any outcome.
    pub(super) fn ended(&self) {
        self.0.lock().under_way_since = None;
    }

    /// Records that the database has written, or refused a value.
    pub(super) fn worked(&self) {
        self.0.lock().failures_in_a_row = 0;
    }

    /// Records a failure to write.
    pub(super) fn failed(&self, now: Instant, reason: &str) {
        let mut inner = self.0.lock();
        inner.failures_in_a_row = inner.failures_in_a_row.saturating_add(1);
        inner.newest_failure = Some((now, reason.to_owned()));
    }

    pub(super) fn judge(&self, now: Instant, stalled_after: Duration) -> Verdict {
        let inner = self.0.lock();
        if let Some(since) = inner.under_way_since
            && now.saturating_duration_since(since) >= stalled_after
        {
            let seconds = now.saturating_duration_since(since).as_secs_f64();
            return Verdict::Fails(format!("a batch has been under way for {seconds:.1} s"));
        }
        match &inner.newest_failure {
            Some((at, reason)) if inner.failures_in_a_row >= FAILURES => {
                if now.saturating_duration_since(*at) < FAILURE_LIFE {
                    Verdict::Fails(format!("the last {} batches failed: {reason}", inner.failures_in_a_row))
                } else {
                    Verdict::Unclear
                }
            }
            _ => Verdict::Works,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALLED: Duration = Duration::from_secs(5);

    #[test]
    fn a_batch_that_hangs_is_told_until_it_ends() {
        let (activity, began) = (Activity::default(), Instant::now());
        activity.begun(began);
        assert_eq!(activity.judge(began + STALLED / 2, STALLED), Verdict::Works);
        let hangs = Verdict::Fails("a batch has been under way for 6.0 s".to_owned());
        assert_eq!(activity.judge(began + Duration::from_secs(6), STALLED), hangs);
        activity.ended();
        assert_eq!(activity.judge(began + Duration::from_secs(6), STALLED), Verdict::Works);
    }

    #[test]
    fn only_failures_in_a_row_count_and_only_for_a_while() {
        let (activity, now) = (Activity::default(), Instant::now());
        let fail = |times: u32| (0..times).for_each(|_| activity.failed(now, "the disk is full"));
        fail(FAILURES - 1);
        activity.worked();
        fail(FAILURES - 1);
        assert_eq!(activity.judge(now, STALLED), Verdict::Works);
        fail(1);
        let fails = Verdict::Fails("the last 3 batches failed: the disk is full".to_owned());
        assert_eq!(activity.judge(now, STALLED), fails);
        assert_eq!(activity.judge(now + FAILURE_LIFE, STALLED), Verdict::Unclear);
        activity.worked();
        assert_eq!(activity.judge(now + FAILURE_LIFE, STALLED), Verdict::Works);
    }
}
