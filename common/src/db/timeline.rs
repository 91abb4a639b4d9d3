//! The fence by timeline: a server that was replaced is not used again.
//!
//! A promotion begins a timeline with a higher number; all servers of one history have the same system identifier. A
//! former primary that comes back, or was only cut off, stays writable on its old timeline. A process that has seen a
//! newer timeline refuses such a server. A process that has not seen it hears of it from a caller and looks again: it
//! asks all hosts, and uses the one on the newest timeline. A caller's word is only a reason to look: no server is
//! refused because of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long the result of asking all hosts is valid: a caller that insists on a timeline that no host has triggers at
/// most one round in this time.
const LOOK_LIFE: Duration = Duration::from_secs(1);

/// Reads the timeline of a primary, in the form of [`Timeline`]. `pg_control_checkpoint()` would tell the timeline of
/// the last checkpoint, which is older for a while after a promotion.
pub(super) const TIMELINE: &str = "case when not pg_is_in_recovery() then
    (select system_identifier from pg_control_system()) || '/' ||
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) end";

/// The timeline of a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// PostgreSQL's system identifier: servers that differ in it have nothing in common.
    pub system: i64,
    /// The number, one higher after each promotion.
    pub number: u32,
}

impl Timeline {
    /// Returns whether this is a later timeline of the same system.
    pub(super) fn is_after(self, other: Self) -> bool {
        self.system == other.system && self.number > other.number
    }
}

/// The system identifier, and the number in PostgreSQL's form: eight hexadecimal digits.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:08X}", self.system, self.number)
    }
}

impl FromStr for Timeline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (system, number) = text.split_once('/')?;
            Some(Self { system: system.parse().ok()?, number: u32::from_str_radix(number, 16).ok()? })
        };
        parsed().ok_or_else(|| format!("{text:?} is not <system identifier>/<timeline>"))
    }
}

/// Confirmed commits that are missing after a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostCommits {
    /// The database.
    pub database: Arc<str>,
    /// The timeline on which they were confirmed.
    pub before: Timeline,
    /// The timeline that does not have them.
    pub now: Timeline,
}

impl fmt::Display for LostCommits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, before, now } = self;
        write!(f, "{database}: commits confirmed on timeline {before} are missing on {now}")
    }
}

/// The newest timeline that was seen at the hosts of a URL.
#[derive(Debug, Default)]
pub(super) struct Fence(Mutex<Observed>);

#[derive(Debug, Default)]
struct Observed {
    newest: Option<Timeline>,
    /// A newer timeline that a caller reported: the hosts are asked for it.
    rumour: Option<Timeline>,
    /// When all hosts were asked in vain.
    looked_at: Option<Instant>,
}

impl Fence {
    /// Checks that a server was not replaced.
    ///
    /// # Errors
    /// The newer timeline that was seen.
    pub(super) fn check(&self, timeline: Timeline) -> Result<(), Timeline> {
        match self.0.lock().newest {
            Some(newest) if newest.is_after(timeline) => Err(newest),
            _ => Ok(()),
        }
    }

    /// Returns whether there may be a server on a newer timeline, for which the other hosts are asked first.
    pub(super) fn is_doubtful(&self, timeline: Timeline) -> bool {
        self.0.lock().rumour.is_some_and(|rumour| rumour.is_after(timeline))
    }

    /// Remembers the timeline of a server that is used from now on, as [`Fence::check`] allows; a doubtful one is used
    /// only after all hosts were asked. Returns whether it follows another timeline.
    ///
    /// # Errors
    /// The newer timeline that was seen meanwhile.
    pub(super) fn admit(&self, timeline: Timeline) -> Result<bool, Timeline> {
        let mut seen = self.0.lock();
        if let Some(newest) = seen.newest.filter(|newest| newest.is_after(timeline)) {
            return Err(newest);
        }
        if seen.rumour.take().is_some_and(|rumour| rumour.is_after(timeline)) {
            seen.looked_at = Some(Instant::now());
        }
        Ok(seen.newest.replace(timeline).is_some_and(|before| before != timeline))
    }

    /// Notes that a caller knows this timeline. Returns whether that is a reason to look again.
    pub(super) fn hear(&self, timeline: Timeline) -> bool {
        let mut seen = self.0.lock();
        let is_news = seen.newest.is_some_and(|newest| timeline.is_after(newest));
        let was_looked_for = seen.looked_at.is_some_and(|at| at.elapsed() < LOOK_LIFE);
        let is_due = is_news && !was_looked_for && seen.rumour.is_none();
        if is_due {
            seen.rumour = Some(timeline);
        }
        is_due
    }

    /// Returns the newest timeline.
    pub(super) fn newest(&self) -> Option<Timeline> {
        self.0.lock().newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(text: &str) -> Timeline {
        text.parse().unwrap()
    }

    #[test]
    fn a_timeline_is_read_as_it_is_written() {
        let ours = timeline("7713509385917156481/0000001F");
        assert_eq!((ours.system, ours.number), (7_713_509_385_917_156_481, 31));
        assert_eq!(ours.to_string(), "7713509385917156481/0000001F");
        for text in ["", "7", "7/", "/1", "7/xyz", "7/1/2", "x/1"] {
            assert!(text.parse::<Timeline>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_of_an_older_timeline_is_refused_and_another_system_is_not() {
        let fence = Fence::default();
        assert_eq!(fence.admit(timeline("7/2")), Ok(false));
        assert_eq!(fence.admit(timeline("7/2")), Ok(false));
        assert_eq!(fence.admit(timeline("7/3")), Ok(true));
        assert_eq!(fence.check(timeline("7/2")), Err(timeline("7/3")));
        assert_eq!(fence.admit(timeline("7/2")), Err(timeline("7/3")));
        assert_eq!(fence.newest(), Some(timeline("7/3")));
        assert_eq!(fence.admit(timeline("8/1")), Ok(true));
    }

    #[test]
    fn a_rumour_refuses_no_server_and_is_a_reason_to_look_once_in_a_while() {
        let fence = Fence::default();
        assert!(!fence.hear(timeline("7/9")), "nothing is known of this system yet");
        fence.admit(timeline("7/2")).unwrap();
        for old_or_strange in ["7/1", "7/2", "8/9"] {
            assert!(!fence.hear(timeline(old_or_strange)), "{old_or_strange}");
        }
        assert!(fence.hear(timeline("7/3")));
        assert!(!fence.hear(timeline("7/3")), "the look has begun");
        assert!(fence.is_doubtful(timeline("7/2")) && !fence.is_doubtful(timeline("7/3")));
        assert_eq!((fence.check(timeline("7/2")), fence.admit(timeline("7/2"))), (Ok(()), Ok(false)));
        assert!(!fence.hear(timeline("7/3")), "no host has shown it a moment ago");
        assert!(!fence.is_doubtful(timeline("7/2")));
    }
}
