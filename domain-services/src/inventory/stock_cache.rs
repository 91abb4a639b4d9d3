//! Each product's quantity when this process last looked, less its own decreases since. Only a hint: other replicas
//! take stock too, and a batch may be rolled back. It decides only which statement is tried first.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

/// Maximum number of products remembered, about 100 bytes each. At the limit the map is cleared.
const MAX_PRODUCTS: usize = 100_000;

/// Product id → quantity.
#[derive(Debug, Default)]
pub(super) struct StockCache(Mutex<HashMap<String, i32>>);

impl StockCache {
    /// Returns whether the wanted quantity of each product should be available; if so, subtracts it.
    pub(super) fn take(&self, wanted: &BTreeMap<&str, i32>) -> bool {
        let mut seen = self.0.lock();
        let is_there = |(product, total): (&&str, &i32)| seen.get(*product).is_some_and(|quantity| quantity >= total);
        if !wanted.iter().all(is_there) {
            return false;
        }
        for (product, total) in wanted {
            if let Some(quantity) = seen.get_mut(*product) {
                *quantity -= total;
            }
        }
        true
    }

    /// Remembers the current quantities.
    pub(super) fn note<'a>(&self, quantities: impl Iterator<Item = (&'a str, i32)>) {
        let mut seen = self.0.lock();
        for (product, quantity) in quantities {
            if let Some(known) = seen.get_mut(product) {
                *known = quantity;
                continue;
            }
            if seen.len() >= MAX_PRODUCTS {
                seen.clear();
            }
            seen.insert(product.to_owned(), quantity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_is_taken_without_a_look_and_all_of_it_or_nothing() {
        let seen = StockCache::default();
        seen.note([("1", 3), ("2", 1)].into_iter());
        assert!(!seen.take(&BTreeMap::from([("1", 1), ("2", 2)])), "not enough of product 2");
        assert!(!seen.take(&BTreeMap::from([("1", 1), ("3", 1)])), "product 3 is unknown");
        assert!(seen.take(&BTreeMap::from([("1", 3), ("2", 1)])));
        assert!(!seen.take(&BTreeMap::from([("1", 1)])), "product 1 is sold out");
        seen.note([("1", 1)].into_iter());
        assert!(seen.take(&BTreeMap::from([("1", 1)])));
    }

    #[test]
    fn it_holds_a_bounded_number_of_products() {
        let seen = StockCache::default();
        for product in 0..=MAX_PRODUCTS {
            seen.note([(product.to_string().as_str(), 1)].into_iter());
        }
        assert_eq!(seen.0.lock().len(), 1);
        assert!(seen.take(&BTreeMap::from([(MAX_PRODUCTS.to_string().as_str(), 1)])));
    }
}
