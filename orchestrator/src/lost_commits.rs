//! Confirmed commits that a failover has lost, at this service or a participant: the reason for a hold on all sagas, as
//! after a restore, since the databases may not fit together any more.
//!
//! ```text
//! own group commit ──────────────┐ loss_watch
//! participants ── /health/ ──────┴──────────► LostCommits ─► session of the lease ─► saga_hold, once for each loss
//! ```
//! A participant repeats its loss until it is restarted. The saga log remembers each loss that has put the hold, so that a
//! release is final, also for other nodes and after a restart.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tracing::error;

/// The losses that this process has heard of.
#[derive(Debug, Default)]
pub(crate) struct LostCommits(Mutex<BTreeMap<String, KnownToLog>>);

/// Whether the saga log knows a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KnownToLog {
    No,
    Yes,
}

impl LostCommits {
    /// Notes a loss in the words of the service that has found it: `<database>: <details>`.
    pub(crate) fn note(&self, loss: &str) {
        let mut known = self.0.lock();
        if !known.contains_key(loss) {
            error!(loss, "confirmed commits are lost: all sagas are put on hold");
            known.insert(loss.to_owned(), KnownToLog::No);
        }
    }

    /// Returns the losses that the saga log may not know.
    pub(crate) fn open(&self) -> Vec<String> {
        let known = self.0.lock();
        known.iter().filter(|(_, known)| **known == KnownToLog::No).map(|(loss, _)| loss.clone()).collect()
    }

    /// Marks a loss that the saga log knows.
    pub(crate) fn treated(&self, loss: &str) {
        self.0.lock().insert(loss.to_owned(), KnownToLog::Yes);
    }
}

/// Returns the reason of the hold for a loss.
pub(crate) fn reason(loss: &str) -> String {
    let database = loss.split_once(':').map_or(loss, |(database, _)| database);
    format!("commits lost at failover: {database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_open_until_the_saga_log_knows_it() {
        let lost = LostCommits::default();
        let loss = "ms_payments: commits confirmed on timeline 7/00000001 are missing on 7/00000002";
        lost.note(loss);
        assert_eq!(lost.open(), [loss]);
        lost.treated(loss);
        lost.note(loss);
        assert!(lost.open().is_empty());
        assert_eq!(reason(loss), "commits lost at failover: ms_payments");
    }
}
