//! The tables `inventory_inventory` and `stock_movement`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use common::{
    db::{BatchStatement, Connection, Parameter},
    ids::{ProductId, TransactionId},
    wire,
};

use super::stock::Stock;
use crate::participant::step_journal::{journal_rows, record};

/// Locks rows in the order of their product ids, so that replicas cannot deadlock.
const LOCK: &str = "\
    select product_id, quantity from inventory_inventory
     where product_id = any($1::varchar[]) order by product_id for update";

const ENSURE: &str = "\
    insert into inventory_inventory (product_id, quantity, initial_quantity)
    select product_id, $2::integer, $2::integer from unnest($1::varchar[]) as new (product_id)
    on conflict (product_id) do nothing";

/// Writes the changed quantities, their movements (for the auditor and for a later restore) and the journal rows.
pub(super) static STORE_AND_RECORD: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(concat!(
        "with ",
        journal_rows!(),
        ", new as rows($12: product_id varchar, quantity integer),
    move as rows($14: transaction_id varchar, kind varchar, product_id varchar, quantity integer),
    stored as (
        update inventory_inventory as kept set quantity = new.quantity, last_updated = clock_timestamp()
          from new
         where kept.product_id = new.product_id),
    moved as (
        insert into stock_movement (transaction_id, kind, product_id, quantity)
        select transaction_id, kind, product_id, quantity from move)
    ",
        record!("j.reply", "")
    ))
});

/// Takes the whole stock that a batch wants, or fails; writes the movements and the journal rows. A reply's placeholder
/// 0 is replaced by the quantity left behind its item: the final quantity plus the stock taken by later items.
pub(super) static TAKE_AND_RECORD: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(concat!(
        "with ",
        journal_rows!(),
        ", wanted as rows($12: product_id varchar, quantity integer),
    move as rows($14: transaction_id varchar, product_id varchar, quantity integer, taken_behind integer),
    taken as (
        update inventory_inventory as kept
           set quantity = kept.quantity - wanted.quantity, last_updated = clock_timestamp()
          from wanted
         where kept.product_id = wanted.product_id and kept.quantity >= wanted.quantity
        returning kept.product_id, kept.quantity),
    moved as (
        insert into stock_movement (transaction_id, kind, product_id, quantity)
        select transaction_id, 'decrement', product_id, quantity from move)
    ",
        // A quote inside a string of the reply is escaped, so a product id never matches the placeholder. Missing stock
        // fails the statement: each wanted product is wanted by an item.
        record!(
            r#"case when move.transaction_id is null then j.reply else
                    replace(j.reply, '"remaining_quantity":0', '"remaining_quantity":' ||
                            coalesce(taken.quantity, stock_must_be_there(false)::int) + move.taken_behind) end"#,
            "left join move on move.transaction_id = j.transaction_id
         left join taken on taken.product_id = move.product_id"
        ),
        " returning transaction_id, operation, reply"
    ))
});

const TAKEN: &str = "\
    select transaction_id, product_id, quantity from stock_movement
     where kind = 'decrement' and transaction_id = any($1::varchar[])";

const OF_PRODUCT: &str = "select quantity, last_updated from inventory_inventory where product_id = $1";

const LEVELS: &str = "\
    select count(*) filter (where quantity = 0), count(*) filter (where quantity between 1 and $1), count(*),
           coalesce(sum(quantity), 0)::bigint
      from inventory_inventory";

/// The stock of all products in brief.
pub(super) struct Levels {
    pub(super) sold_out: i64,
    pub(super) low: i64,
    pub(super) products: i64,
    pub(super) units: i64,
}

pub(super) struct Movement<'a> {
    pub(super) transaction_id: &'a TransactionId,
    pub(super) kind: Kind,
    pub(super) product_id: Cow<'a, str>,
    pub(super) quantity: i32,
}

/// The reason for a change of quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Decrement,
    Restore,
    Restock,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Decrement => "decrement",
            Self::Restore => "restore",
            Self::Restock => "restock",
        }
    }
}

/// A decrease made without a look at the stock first.
pub(super) struct Take<'a> {
    pub(super) transaction_id: &'a TransactionId,
    pub(super) product_id: &'a str,
    pub(super) quantity: i32,
    /// Quantity of that product taken by the batch up to and including this item.
    pub(super) taken_up_to_it: i32,
}

/// The decrease of a transaction.
pub(super) struct Taken {
    pub(super) product_id: String,
    pub(super) quantity: i32,
}

/// Locks the rows of products. New products start with the initial stock.
pub(super) async fn lock(
    connection: &mut Connection,
    products: &BTreeSet<&str>,
    initial_stock: i32,
) -> Result<Stock, tokio_postgres::Error> {
    let product_ids: Vec<&str> = products.iter().copied().collect();
    if product_ids.is_empty() {
        return Ok(Stock::default());
    }
    let mut rows = connection.query(LOCK, &[&product_ids]).await?;
    // Nearly always all rows exist; then this is the only statement.
    if rows.len() < product_ids.len() {
        connection.execute(ENSURE, &[&product_ids, &initial_stock]).await?;
        rows = connection.query(LOCK, &[&product_ids]).await?;
    }
    Ok(Stock::of(rows.into_iter().map(|row| (row.get(0), row.get(1)))))
}

/// Returns the parameters of [`STORE_AND_RECORD`] behind those of the journal.
pub(super) fn changes<'a>(stock: &Stock, movements: Vec<Movement<'a>>) -> Vec<Parameter<'a>> {
    let (changed, now) = stock.changed();
    let transaction_ids: Vec<&str> = movements.iter().map(|movement| movement.transaction_id.as_str()).collect();
    let kinds: Vec<&str> = movements.iter().map(|movement| movement.kind.as_str()).collect();
    let quantities: Vec<i32> = movements.iter().map(|movement| movement.quantity).collect();
    let product_ids: Vec<Cow<'_, str>> = movements.into_iter().map(|movement| movement.product_id).collect();
    vec![
        Parameter::column(changed),
        Parameter::column(now),
        Parameter::column(transaction_ids),
        Parameter::column(kinds),
        Parameter::column(product_ids),
        Parameter::column(quantities),
    ]
}

/// Returns the parameters of [`TAKE_AND_RECORD`] behind those of the journal.
pub(super) fn takes<'a>(wanted: &BTreeMap<&'a str, i32>, takes: Vec<Take<'a>>) -> Vec<Parameter<'a>> {
    let (products, totals): (Vec<&str>, Vec<i32>) = wanted.iter().map(|(product, total)| (*product, *total)).unzip();
    let transaction_ids: Vec<&str> = takes.iter().map(|take| take.transaction_id.as_str()).collect();
    let product_ids: Vec<&str> = takes.iter().map(|take| take.product_id).collect();
    let quantities: Vec<i32> = takes.iter().map(|take| take.quantity).collect();
    let taken_behind: Vec<i32> = takes.iter().map(|take| wanted[take.product_id] - take.taken_up_to_it).collect();
    vec![
        Parameter::column(products),
        Parameter::column(totals),
        Parameter::column(transaction_ids),
        Parameter::column(product_ids),
        Parameter::column(quantities),
        Parameter::column(taken_behind),
    ]
}

/// Returns the decreases of these transactions.
pub(super) async fn taken_by(
    connection: &mut Connection,
    transaction_ids: &[&str],
) -> Result<HashMap<String, Taken>, tokio_postgres::Error> {
    if transaction_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = connection.query(TAKEN, &[&transaction_ids]).await?;
    let taken = rows.into_iter().map(|row| (row.get(0), Taken { product_id: row.get(1), quantity: row.get(2) }));
    Ok(taken.collect())
}

/// Returns the stock of a product, if inventory knows it.
pub(super) async fn of_product(
    connection: &mut Connection,
    product_id: &ProductId,
) -> Result<Option<wire::inventory::Stock>, tokio_postgres::Error> {
    let row = connection.query_opt(OF_PRODUCT, &[&product_id.as_str()]).await?;
    Ok(row.map(|row| wire::inventory::Stock {
        product_id: product_id.clone(),
        quantity: row.get(0),
        last_updated: row.get(1),
    }))
}

/// Counts the products that are sold out and those with at most `low` units.
pub(super) async fn levels(connection: &mut Connection, low: i32) -> Result<Levels, tokio_postgres::Error> {
    let row = connection.query_one(LEVELS, &[&low]).await?;
    Ok(Levels { sold_out: row.get(0), low: row.get(1), products: row.get(2), units: row.get(3) })
}
