//! The stock of a batch's products, decided one item after another.
//!
//! One statement locks the rows before, one writes them after; in between is only arithmetic, so that a hundred
//! decreases of one product cost as much as one. No database, no clock, no randomness here.

use std::collections::BTreeMap;

/// Upper limit of a restock: far above any real stock, and far enough below the column's maximum (2^31 − 1) that later
/// restores still fit.
pub(super) const MAX_QUANTITY: i32 = 2_000_000_000;

/// The changing quantities of a batch's products.
#[derive(Debug, Default)]
pub(super) struct Stock {
    products: BTreeMap<String, StockRow>,
}

#[derive(Clone, Copy, Debug)]
struct StockRow {
    before: i32,
    now: i32,
}

/// The stock is less than the requested quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insufficient {
    pub(super) available: i32,
}

/// The quantity would exceed the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

impl Stock {
    pub(super) fn of(rows: impl IntoIterator<Item = (String, i32)>) -> Self {
        let rows =
            rows.into_iter().map(|(product_id, quantity)| (product_id, StockRow { before: quantity, now: quantity }));
        Self { products: rows.collect() }
    }

    /// Takes stock and returns the remaining quantity.
    ///
    /// # Errors
    /// [`Insufficient`] when the stock is too low; nothing is taken then.
    pub(super) fn take(&mut self, product_id: &str, quantity: i32) -> Result<i32, Insufficient> {
        let Some(row) = self.products.get_mut(product_id) else { return Err(Insufficient { available: 0 }) };
        if row.now < quantity {
            return Err(Insufficient { available: row.now });
        }
        row.now -= quantity;
        Ok(row.now)
    }

    /// Adds new stock and returns the new quantity.
    ///
    /// # Errors
    /// [`TooMuch`] beyond [`MAX_QUANTITY`].
    pub(super) fn add(&mut self, product_id: &str, quantity: i32) -> Result<i32, TooMuch> {
        self.put(product_id, quantity, MAX_QUANTITY)
    }

    /// Puts taken stock back and returns the new quantity.
    ///
    /// # Errors
    /// [`TooMuch`] if the column cannot hold it.
    pub(super) fn put_back(&mut self, product_id: &str, quantity: i32) -> Result<i32, TooMuch> {
        self.put(product_id, quantity, i32::MAX)
    }

    fn put(&mut self, product_id: &str, quantity: i32, limit: i32) -> Result<i32, TooMuch> {
        let row = self.products.get_mut(product_id).ok_or(TooMuch)?;
        let sum = row.now.checked_add(quantity).filter(|sum| *sum <= limit).ok_or(TooMuch)?;
        row.now = sum;
        Ok(sum)
    }

    /// Returns the current quantity of each product.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, i32)> {
        self.products.iter().map(|(product_id, row)| (product_id.as_str(), row.now))
    }

    /// Returns the current quantity of each product that changed, sorted by product.
    pub(super) fn changed(&self) -> (Vec<String>, Vec<i32>) {
        let changed = self.products.iter().filter(|(_, row)| row.before != row.now);
        changed.map(|(product_id, row)| (product_id.clone(), row.now)).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock() -> Stock {
        Stock::of([("1".to_owned(), 3), ("2".to_owned(), 0), ("3".to_owned(), i32::MAX - 1)])
    }

    #[test]
    fn items_of_a_batch_see_what_those_before_them_took() {
        let mut stock = stock();
        assert_eq!(stock.take("1", 2), Ok(1));
        assert_eq!(stock.take("1", 2), Err(Insufficient { available: 1 }));
        assert_eq!(stock.put_back("1", 2), Ok(3));
        assert_eq!(stock.take("1", 3), Ok(0));
        assert_eq!(stock.changed(), (vec!["1".to_owned()], vec![0]));
    }

    #[test]
    fn stock_never_goes_below_zero_nor_beyond_what_can_be_kept() {
        let mut stock = stock();
        assert_eq!(stock.take("2", 1), Err(Insufficient { available: 0 }));
        assert_eq!(stock.take("unknown", 1), Err(Insufficient { available: 0 }));
        assert_eq!(stock.add("1", MAX_QUANTITY), Err(TooMuch));
        assert_eq!(stock.add("3", 1), Err(TooMuch));
        assert_eq!(stock.put_back("3", 1), Ok(i32::MAX));
        assert_eq!(stock.put_back("3", 1), Err(TooMuch));
    }

    #[test]
    fn what_did_not_change_is_not_written() {
        let mut stock = stock();
        assert_eq!(stock.take("1", 1), Ok(2));
        assert_eq!(stock.put_back("1", 1), Ok(3));
        assert_eq!(stock.changed(), (vec![], vec![]));
    }
}
