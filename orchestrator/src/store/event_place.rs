//! A place in the stream, and whether the stream is complete from there on.
//!
//! It is not if events after the place were pruned, or if the server was restored from a backup or is a standby that
//! was promoted before it had received every event. Such a server continues from an earlier transaction, and may have
//! passed the place again by the time of a read; then the row at the place is missing or is a different one.

use chrono::{DateTime, Utc};

use crate::store::event_id::EventId;
use crate::store::events::{EventRow, Page};

/// A place in the stream: right after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The change.
    pub after: EventId,
    /// When its row was written, if that was read.
    written_at: Option<DateTime<Utc>>,
}

impl Place {
    /// Returns the place after a change, without the time of its row.
    pub fn at(after: EventId) -> Place {
        Place { after, written_at: None }
    }

    /// Returns the place after a row.
    pub fn behind(row: &EventRow) -> Place {
        Place { after: row.last(), written_at: Some(row.at) }
    }

    /// Checks a page read from this place for missing events; returns the change after which the stream resumes, if any
    /// are missing.
    pub fn gap(&self, page: &Page) -> Option<EventId> {
        let present = page.bounds.present;
        if self.after > present {
            return Some(present);
        }
        // A horizon beyond the present belongs to another server's history.
        let pruned = Some(page.bounds.pruned).filter(|pruned| *pruned <= present).unwrap_or_default();
        if self.after.row() < pruned.row() {
            // The row may still be there, as that of a saga.
            return Some(pruned.end_of_row());
        }
        let is_row = self.after.position > 0 && self.after.row() > pruned.row();
        let is_there = page.rows.first().is_some_and(|row| {
            row.first.row() == self.after.row() && self.written_at.is_none_or(|written_at| written_at == row.at)
        });
        (is_row && !is_there).then(|| EventId::before_transaction(self.after.transaction))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::events::Bounds;
    use saga_engine::SagaId;

    fn id(text: &str) -> EventId {
        text.parse().unwrap()
    }

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn row(first: &str, at: i64) -> EventRow {
        EventRow { first: id(first), saga_id: SagaId(Uuid::nil()), changes: Vec::new(), at: time(at) }
    }

    fn page(pruned: &str, present: &str, first: Option<EventRow>) -> Page {
        let bounds = Bounds { pruned: id(pruned), present: id(present) };
        Page { rows: first.into_iter().collect(), bounds, lag_ms: 0 }
    }

    #[test]
    fn a_gap_is_told_only_where_events_are_missing() {
        let there = |cursor: &str| Some(row(&format!("{}-0", cursor.rsplit_once('-').unwrap().0), 1));
        for (cursor, expected) in [
            ("100-6-3", Some("100-7-4294967295")),
            ("5-0-0", Some("100-7-4294967295")),
            ("100-7-2", None),
            ("100-8-0", None),
            ("199-9-0", None),
            ("200-0-0", None),
            ("200-1-0", Some("200-0-0")),
            ("5000-1-0", Some("200-0-0")),
        ] {
            let page = page("100-7-0", "200-0-0", there(cursor));
            assert_eq!(Place::at(id(cursor)).gap(&page), expected.map(id), "{cursor}");
        }
        assert_eq!(Place::at(id("0-0-0")).gap(&page("0-0-0", "1-0-0", None)), None);
    }

    #[test]
    fn a_row_that_is_not_there_any_more_or_is_another_one_is_a_gap() {
        let behind = Place::behind(&row("150-3-0", 7));
        for (first, expected) in [
            (Some(row("150-3-0", 7)), None),
            (Some(row("150-3-0", 8)), Some("150-0-0")),
            (Some(row("151-3-0", 7)), Some("150-0-0")),
            (None, Some("150-0-0")),
        ] {
            let page = page("100-7-0", "200-0-0", first);
            assert_eq!(behind.gap(&page), expected.map(id), "{:?}", page.rows);
            let goes_on_after = behind.gap(&page).map(Place::at);
            assert_eq!(goes_on_after.and_then(|place| place.gap(&page)), None, "a gap is told once");
        }
        assert_eq!(behind.gap(&page("150-3-0", "200-0-0", None)), None, "it was pruned, and nothing behind it");
        assert_eq!(behind.gap(&page("900-1-0", "200-0-0", Some(row("150-3-0", 7)))), None, "of another server");
    }
}
