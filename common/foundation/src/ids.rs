//! Ids that sort by time.

use chrono::{DateTime, Utc};
use rand::RngExt;
use uuid::Uuid;

/// Creates a UUID v7 for a time. The ids of one node sort by time, to a quarter of a microsecond. Unlike
/// [`Uuid::now_v7`] it keeps no counter for monotonic order: after a clock jumped ahead, that counter would stay ahead.
pub fn uuid_v7(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    // RFC 9562, method 3: the 12 bits after the milliseconds hold the fraction of the millisecond.
    let fraction = u64::from(at.timestamp_subsec_nanos() % 1_000_000) * 4_096 / 1_000_000;
    let mut random: [u8; 10] = rand::rng().random();
    random[..2].copy_from_slice(&u16::try_from(fraction).unwrap_or_default().to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_moment_and_those_of_a_clock_that_went_back_follow_it() {
        let moment = |nanos: i64| DateTime::from_timestamp_nanos(1_767_225_600_000_000_000 + nanos);
        let millis = |id: Uuid| {
            id.get_timestamp().map(|at| u128::from(at.to_unix().0) * 1_000 + u128::from(at.to_unix().1) / 1_000_000)
        };
        let ids = [0, 1_000, 999_999, 1_000_000].map(|nanos| uuid_v7(moment(nanos)));
        assert!(ids.is_sorted(), "{ids:?}");
        assert_eq!(millis(uuid_v7(moment(3_600_000_000_000))), Some(1_767_229_200_000));
        assert_eq!(millis(uuid_v7(moment(0))), Some(1_767_225_600_000));
        assert_ne!(uuid_v7(moment(0)), uuid_v7(moment(0)));
    }
}
