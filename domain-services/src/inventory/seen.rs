//! How much there was of a product when this process last looked, less what it took since. Only a hint: others take stock
//! too, and a batch may be rolled back. What it says decides which statement is tried first, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many products are remembered; about 100 bytes each. Beyond that it begins anew.
const MAX_PRODUCTS: usize = 100_000;

/// Product id → quantity.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<String, i32>>);

impl Seen {
    /// Tells whether that much of each product should be there, and if so counts it as taken.
    pub(super) fn take(&self, wanted: &BTreeMap<&str, i32>) -> bool {
        let mut seen = self.lock();
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

    /// Remembers what there is.
    pub(super) fn note<'a>(&self, quantities: impl Iterator<Item = (&'a str, i32)>) {
        let mut seen = self.lock();
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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, i32>> {
        // A hint that a panic left half noted is still a hint.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_is_taken_without_a_look_and_all_of_it_or_nothing() {
        let seen = Seen::default();
        seen.note([("1", 3), ("2", 1)].into_iter());
        assert!(!seen.take(&BTreeMap::from([("1", 1), ("2", 2)])), "there is less of one");
        assert!(!seen.take(&BTreeMap::from([("1", 1), ("3", 1)])), "one was never seen");
        assert!(seen.take(&BTreeMap::from([("1", 3), ("2", 1)])));
        assert!(!seen.take(&BTreeMap::from([("1", 1)])), "that was all");
        seen.note([("1", 1)].into_iter());
        assert!(seen.take(&BTreeMap::from([("1", 1)])));
    }

    #[test]
    fn it_holds_a_bounded_number_of_products() {
        let seen = Seen::default();
        for product in 0..=MAX_PRODUCTS {
            seen.note([(product.to_string().as_str(), 1)].into_iter());
        }
        assert_eq!(seen.lock().len(), 1);
        assert!(seen.take(&BTreeMap::from([(MAX_PRODUCTS.to_string().as_str(), 1)])));
    }
}
