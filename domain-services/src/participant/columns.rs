//! Values of columns as the types of this system. Amounts leave the database as whole cents.

use common::money::Money;
use tokio_postgres::Row;

/// Reads an amount in cents.
///
/// # Panics
/// If the table's own checks were removed and a bad amount was put in; the ledger is restarted then.
pub(crate) fn money(row: &Row, column: usize) -> Money {
    Money::from_cents(row.get(column)).expect("the table's checks keep amounts within bounds")
}
