//! The in-memory copy of the products. It answers reads even while the database is unreachable.
//!
//! A refresh replaces the whole snapshot; readers take no lock. Each product's JSON is serialized once per refresh, not
//! once per request.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwapOption;
use common::wire::catalog::Product;
use rand::RngExt;
use serde_json::value::{RawValue, to_raw_value};

/// The known products; empty until the first successful read. Clones share the snapshot.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<ArcSwapOption<Snapshot>>);

/// The active products at one point in time.
pub(super) struct Snapshot {
    /// Sorted by product id.
    shown: Vec<Shown>,
    /// Product id → place in `shown`.
    places: HashMap<i64, usize>,
    /// Indexes in `shown` of the products with stock.
    available: Vec<usize>,
}

struct Shown {
    product: Product,
    json: Arc<RawValue>,
}

impl Memory {
    /// Replaces the snapshot.
    pub(super) fn replace(&self, products: Vec<Product>) {
        self.0.store(Some(Arc::new(Snapshot::of(products))));
    }

    /// Returns the snapshot; `None` until the first successful read.
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.0.load_full()
    }

    /// Returns the JSON of a product chosen uniformly among those with stock.
    pub(super) fn random(&self) -> Option<Arc<RawValue>> {
        self.snapshot()?.random()
    }

    /// Returns the JSON of a product.
    pub(super) fn by_id(&self, product_id: i64) -> Option<Arc<RawValue>> {
        self.snapshot()?.by_id(product_id)
    }
}

impl Snapshot {
    fn of(products: Vec<Product>) -> Self {
        let json =
            |product: &Product| Arc::from(to_raw_value(product).expect("a product is a struct of strings and numbers"));
        let shown: Vec<Shown> = products.into_iter().map(|product| Shown { json: json(&product), product }).collect();
        let places = shown.iter().enumerate().map(|(place, shown)| (shown.product.product_id, place)).collect();
        let available = (0..shown.len()).filter(|&place| shown[place].product.stock > 0).collect();
        Self { shown, places, available }
    }

    fn random(&self) -> Option<Arc<RawValue>> {
        if self.available.is_empty() {
            return None;
        }
        let place = self.available[rand::rng().random_range(0..self.available.len())];
        Some(self.shown[place].json.clone())
    }

    fn by_id(&self, product_id: i64) -> Option<Arc<RawValue>> {
        self.places.get(&product_id).map(|&place| self.shown[place].json.clone())
    }

    /// Returns up to `limit` products with ids above `after`.
    pub(super) fn page(&self, after: i64, limit: i64) -> Vec<Product> {
        let limit = usize::try_from(limit).unwrap_or(0);
        let start = self.shown.partition_point(|shown| shown.product.product_id <= after);
        self.shown[start..].iter().take(limit).map(|shown| shown.product.clone()).collect()
    }

    /// Returns the number of products, and the number of products with stock.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.shown.len(), self.available.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use common::money::Money;

    use super::*;

    fn product(product_id: i64, stock: i32) -> Product {
        let price = Money::from_cents(100).unwrap();
        let (name, category) = (format!("Product-{product_id}"), "Toys".to_owned());
        Product { product_id, name, description: String::new(), price, category, stock }
    }

    #[test]
    fn the_choice_is_uniform_among_products_with_stock() {
        let memory = Memory::default();
        assert!(memory.random().is_none());
        memory.replace(vec![product(1, 5), product(2, 0), product(3, 1), product(7, 9), product(9, 1)]);
        let mut counts: HashMap<String, u32> = HashMap::new();
        for _ in 0..8_000 {
            *counts.entry(memory.random().unwrap().get().to_owned()).or_default() += 1;
        }
        assert_eq!(counts.len(), 4);
        // Each count has mean 2,000 and standard deviation 39; a deviation of 400 (ten sigma) does not occur by chance.
        assert!(counts.values().all(|count| (1_600..=2_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_product_without_stock_is_shown_but_not_chosen() {
        let memory = Memory::default();
        memory.replace(vec![product(2, 0)]);
        assert!(memory.random().is_none());
        assert!(memory.by_id(2).unwrap().get().contains("\"product_id\":2"));
        assert!(memory.by_id(3).is_none());
    }

    #[test]
    fn a_page_starts_after_its_cursor() {
        let memory = Memory::default();
        memory.replace(vec![product(1, 5), product(2, 0), product(7, 1)]);
        let ids = |after, limit| -> Vec<i64> {
            memory.snapshot().unwrap().page(after, limit).iter().map(|product| product.product_id).collect()
        };
        assert_eq!(ids(0, 2), [1, 2]);
        assert_eq!(ids(2, 9), [7]);
        assert_eq!(ids(7, 9), [] as [i64; 0]);
    }
}
