//! The clock of the saga log's database, as known to this node: read with each renewal of the lease and advanced by the
//! monotonic clock in between. So decisions depend on the node's time of day, and on its jumps, only before the first
//! reading.

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The database's clock.
#[derive(Debug, Default)]
pub struct DatabaseClock(Mutex<Option<Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    time: DateTime<Utc>,
}

impl DatabaseClock {
    /// Takes a reading that was requested at `asked_at` and has just arrived. The database is assumed to have read its
    /// clock halfway in between.
    pub fn read(&self, asked_at: Instant, time: DateTime<Utc>) {
        let reading = Reading { at: asked_at + asked_at.elapsed() / 2, time };
        *self.0.lock() = Some(reading);
    }

    /// Returns the database's time; before the first reading, the node's time of day.
    pub fn now(&self) -> DateTime<Utc> {
        let reading = *self.0.lock();
        reading.map_or_else(Utc::now, |Reading { at, time }| time + at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_is_that_of_the_last_reading_and_what_has_passed_since() {
        let clock = DatabaseClock::default();
        for time in [DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH - Duration::from_secs(3_600)] {
            let asked_at = Instant::now();
            tokio::time::advance(Duration::from_millis(20)).await;
            clock.read(asked_at, time);
            tokio::time::advance(Duration::from_secs(5)).await;
            assert_eq!(clock.now(), time + Duration::from_millis(5_010));
        }
    }
}
