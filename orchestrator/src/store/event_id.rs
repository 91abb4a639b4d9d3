//! The position of an event in the stream, as used in `Last-Event-ID`.

use std::fmt;
use std::str::FromStr;

/// The id of an event: `<transaction>-<position>-<index>`, in the order of the stream.
///
/// Transaction and position are the key of the event's row; the index counts the changes in the row from 0. Rows have
/// positions from 1: `745-0-0` precedes every event of transaction 745.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// The transaction that wrote it.
    pub transaction: u64,
    /// Its row's position.
    pub position: i64,
    /// Its index in the row.
    pub index: u32,
}

impl EventId {
    /// Returns the id that precedes every event of a transaction.
    pub fn before_transaction(transaction: u64) -> EventId {
        EventId { transaction, position: 0, index: 0 }
    }

    /// Returns an id behind every event of its row.
    pub fn end_of_row(self) -> EventId {
        EventId { index: u32::MAX, ..self }
    }

    /// Returns the key of its row.
    pub fn row(self) -> (u64, i64) {
        (self.transaction, self.position)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.transaction, self.position, self.index)
    }
}

/// The text is not an event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an event id such as 745-12-0")]
pub struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<EventId, NoEventId> {
        let mut parts = text.split('-');
        let mut next = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit())).ok_or(NoEventId);
        let id = EventId {
            transaction: next()?.parse().map_err(|_| NoEventId)?,
            position: next()?.parse().map_err(|_| NoEventId)?,
            index: next()?.parse().map_err(|_| NoEventId)?,
        };
        if parts.next().is_some() { Err(NoEventId) } else { Ok(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_shown_and_nothing_else_is_an_id() {
        let id = EventId { transaction: u64::MAX, position: 12, index: 3 };
        assert_eq!(id.to_string().parse(), Ok(id));
        let bad = ["", "1", "1-2", "1-2-3-4", "a-2-3", "1--3", "-1-2-3", "+1-2-3", "1-2-99999999999", " 1-2-3", "1-2-"];
        for text in bad {
            assert_eq!(text.parse::<EventId>(), Err(NoEventId), "{text:?}");
        }
    }

    #[test]
    fn ids_are_ordered_as_the_stream_is() {
        let ids = ["7-0-0", "7-1-0", "7-1-1", "7-2-0", "8-0-0"].map(|id| id.parse::<EventId>().unwrap());
        assert!(ids.is_sorted());
        assert_eq!(ids[0], EventId::before_transaction(7));
    }
}
