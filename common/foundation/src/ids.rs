//! Ids that sort by time.
//!
//! ```text
//! UUID v7: | 48 bits: milliseconds | version | 12 bits: fraction | variant | 6 bits: cell | 56 bits: random |
//! ```
//! The cell of a saga's id is behind the time, so it does not disturb the order. Other ids, and ids from before there
//! were cells, have random bits there.

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

/// Number of cells that an id can name.
pub const CELLS: u8 = 64;

/// The byte with the variant in its first two bits and the cell in the other six.
const CELL_BYTE: usize = 8;

/// Creates a UUID v7 for a time, as [`uuid_v7`], that names a cell below [`CELLS`].
pub fn uuid_v7_of_cell(at: DateTime<Utc>, cell: u8) -> Uuid {
    let mut bytes = uuid_v7(at).into_bytes();
    bytes[CELL_BYTE] = bytes[CELL_BYTE] & !(CELLS - 1) | cell & (CELLS - 1);
    Uuid::from_bytes(bytes)
}

/// Returns the cell that a UUID v7 names; of one that was not made by [`uuid_v7_of_cell`] a random one. `None` for a UUID
/// of another version.
pub fn cell_of(id: Uuid) -> Option<u8> {
    (id.get_version_num() == 7).then(|| id.as_bytes()[CELL_BYTE] & (CELLS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_cell_and_sorts_by_time_whatever_the_cell() {
        let moment = |nanos: i64| DateTime::from_timestamp_nanos(1_767_225_600_000_000_000 + nanos);
        for cell in 0..CELLS {
            let id = uuid_v7_of_cell(moment(0), cell);
            assert_eq!((cell_of(id), id.get_variant()), (Some(cell), uuid::Variant::RFC4122));
            assert_eq!(id.get_version_num(), 7);
            assert!(id < uuid_v7_of_cell(moment(1_000), CELLS - 1 - cell), "a later one of another cell");
            assert_ne!(id, uuid_v7_of_cell(moment(0), cell));
        }
        assert_eq!(cell_of(Uuid::new_v4()), None);
        assert_eq!(cell_of(Uuid::nil()), None);
    }

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
