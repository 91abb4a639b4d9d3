//! Conversion of columns to the types of this system. Queries return amounts as whole cents.

use common::money::Money;
use tokio_postgres::Row;

/// Reads an amount in cents.
///
/// # Panics
/// If the table's checks were removed and hold a bad amount; supervision then restarts the ledger.
pub(crate) fn money(row: &Row, column: usize) -> Money {
    Money::from_cents(row.get(column)).expect("the table's constraints keep amounts within bounds")
}
