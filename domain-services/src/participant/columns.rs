//! Conversion of columns to the types of this system. Queries return amounts as whole cents.

use std::fmt::{Debug, Display};

use common::money::Money;
use tokio_postgres::{Row, row::RowIndex};

/// Reads an amount in cents.
///
/// # Panics
/// If the table's checks were removed and hold a bad amount; supervision then restarts the ledger.
pub(crate) fn money<I: RowIndex + Display>(row: &Row, column: I) -> Money {
    Money::from_cents(row.get(column)).expect("the table's constraints keep amounts within bounds")
}

/// Reads an id.
///
/// # Panics
/// If the table has an id that no request could have stored.
pub(crate) fn parsed<T, E: Debug>(text: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> T {
    parse(text).expect("ids are checked before they are stored")
}
