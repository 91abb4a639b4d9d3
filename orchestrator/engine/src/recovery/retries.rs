//! The requested retries that were passed on to the coordinator.
//!
//! A look reads the retries since the newest one that it knows. Their order is not the order in which they become visible:
//! each has its own time, taken before its transaction commits. So a look reads those of the last [`OVERLAP`] again, and
//! the ones it knows are skipped.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::SagaId;

/// Longer than the statement that requests a retry takes until its commit: an operator is answered sooner, or gets an
/// error.
const OVERLAP: TimeDelta = TimeDelta::minutes(1);

/// The known retries.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// Since when a look reads them; `None` for all.
    since: Option<DateTime<Utc>>,
    /// Time of the newest one.
    newest: Option<DateTime<Utc>>,
    /// The retries of the overlap.
    recent: HashMap<SagaId, DateTime<Utc>>,
}

impl Retries {
    /// Returns the time since when retries are read; `None` for all.
    pub(super) fn since(&self) -> Option<DateTime<Utc>> {
        self.since
    }

    /// Takes note of a retry that a look has read, and returns whether it is new.
    pub(super) fn note(&mut self, id: SagaId, at: DateTime<Utc>) -> bool {
        let is_new = self.since.is_none_or(|since| at > since) && self.recent.insert(id, at) != Some(at);
        self.newest = self.newest.max(Some(at));
        is_new
    }

    /// Ends a look: the next one reads since the overlap, and older retries are forgotten.
    pub(super) fn end_look(&mut self) {
        self.since = self.newest.map(|newest| newest - OVERLAP);
        self.recent.retain(|_, at| Some(*at) > self.since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_retry_is_new_once_in_whatever_order_they_are_read() {
        let at = |millis| DateTime::from_timestamp_millis(1_767_225_600_000 + millis).unwrap();
        let saga = |number| SagaId(Uuid::from_u128(number));
        let overlap = OVERLAP.num_milliseconds();
        let mut retries = Retries::default();
        assert_eq!(retries.since(), None);
        assert!(retries.note(saga(1), at(10)));
        assert!(retries.note(saga(2), at(5)), "an older one that is read later");
        assert!(!retries.note(saga(1), at(10)), "known");
        assert!(retries.note(saga(1), at(11)), "requested again");
        retries.end_look();
        assert_eq!(retries.since(), Some(at(11 - overlap)));
        assert!(!retries.note(saga(2), at(5)), "still known");
        assert!(retries.note(saga(3), at(12 - overlap)), "committed late");
        assert!(retries.note(saga(4), at(6 + overlap)));
        assert!(retries.note(saga(5), at(4)), "of the same look, however much older");
        retries.end_look();
        assert!(!retries.note(saga(3), at(12 - overlap)), "a cancel's row has an old retry too");
        assert_eq!(retries.recent.len(), 2, "{retries:?}");
    }
}
