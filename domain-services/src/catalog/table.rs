//! The table `products`.

use common::{db::Connection, wire::catalog::Product};
use rand::RngExt;
use tokio_postgres::Row;

use crate::participant::columns;

const ACTIVE: &str = "\
    select id, name, coalesce(description, ''), (price * 100)::bigint, category, stock
      from products where is_active order by id";

const ACTIVE_BY_ID: &str = "\
    select id, name, coalesce(description, ''), (price * 100)::bigint, category, stock
      from products where is_active and id = $1";

const PAGE: &str = "\
    select id, name, coalesce(description, ''), (price * 100)::bigint, category, stock
      from products where is_active and id > $1 order by id limit $2";

/// Held until the transaction ends, so that only one replica creates the first product.
const LOCK: &str = "select pg_advisory_xact_lock(hashtext('catalog: the first product'))";

const HAS_AVAILABLE: &str = "select exists (select from products where is_active and stock > 0)";

const INSERT: &str = "\
    insert into products (name, description, price, category, stock)
    values ($1, $2, $3::bigint::numeric / 100, $4, $5)";

const CATEGORIES: [&str; 5] = ["Electronics", "Clothing", "Books", "Food", "Toys"];

/// Returns all active products, in the order of their ids.
pub(super) async fn active(connection: &mut Connection) -> Result<Vec<Product>, tokio_postgres::Error> {
    Ok(connection.query(ACTIVE, &[]).await?.into_iter().map(read).collect())
}

pub(super) async fn active_by_id(
    connection: &mut Connection,
    product_id: i64,
) -> Result<Option<Product>, tokio_postgres::Error> {
    Ok(connection.query_opt(ACTIVE_BY_ID, &[&product_id]).await?.map(read))
}

/// Returns up to `limit` active products with ids above `after`.
pub(super) async fn page(
    connection: &mut Connection,
    after: i64,
    limit: i64,
) -> Result<Vec<Product>, tokio_postgres::Error> {
    Ok(connection.query(PAGE, &[&after, &limit]).await?.into_iter().map(read).collect())
}

/// Creates a product if none is available. The caller has an open transaction.
pub(super) async fn ensure_one(connection: &mut Connection) -> Result<(), tokio_postgres::Error> {
    connection.execute(LOCK, &[]).await?;
    // A separate statement, so that its snapshot includes commits made while the lock was awaited.
    if connection.query_one(HAS_AVAILABLE, &[]).await?.get(0) {
        return Ok(());
    }
    let made = Made::at_random();
    connection
        .execute(INSERT, &[&made.name, &"Created because none was in stock", &made.cents, &made.category, &made.stock])
        .await?;
    Ok(())
}

struct Made {
    name: String,
    cents: i64,
    category: &'static str,
    stock: i32,
}

impl Made {
    fn at_random() -> Self {
        let mut sampler = rand::rng();
        Self {
            name: format!("Product-{}", sampler.random_range(1_000..=9_999)),
            // 10.00 to 500.00
            cents: sampler.random_range(1_000..=50_000),
            category: CATEGORIES[sampler.random_range(0..CATEGORIES.len())],
            stock: sampler.random_range(10..=100),
        }
    }
}

fn read(row: Row) -> Product {
    Product {
        product_id: row.get(0),
        name: row.get(1),
        description: row.get(2),
        price: columns::money(&row, 3),
        category: row.get(4),
        stock: row.get(5),
    }
}
