//! The tables `inventory_inventory` and `stock_movement`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use common::{
    db::{BatchStatement, Bound, Connection, Parameter},
    ids::{ProductId, TransactionId},
    wire,
};

use super::{Change, ChangeKind, stock::Stock};
use crate::participant::{
    NewAction, Outcome,
    step_journal::{columns_of_actions, decided_actions, look_up, tombstones},
};

/// Locks rows in the order of their product ids, so that replicas cannot deadlock.
const LOCK: &str = "\
    select product_id, quantity from inventory_inventory
     where product_id = any($1::varchar[]) order by product_id for update";

const ENSURE: &str = "\
    insert into inventory_inventory (product_id, quantity, initial_quantity)
    select product_id, $2::integer, $2::integer from unnest($1::varchar[]) as new (product_id)
    on conflict (product_id) do nothing";

pub(super) const LOOK_UP: &str = look_up!("product_id, remaining");

/// Stores the quantities of products whose rows are locked.
static STORE: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(
        "with new as rows($1: product_id varchar, quantity integer)
         update inventory_inventory as kept set quantity = new.quantity, last_updated = clock_timestamp()
           from new
          where kept.product_id = new.product_id",
    )
});

/// Writes the movements of restores, for the auditor. Their decisions are in the step journal.
static RESTORE: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(
        "with restored as rows($1: transaction_id varchar, product_id varchar, quantity integer)
         insert into stock_movement (transaction_id, kind, product_id, quantity, status)
         select transaction_id, 'restore', product_id, quantity, 'done' from restored",
    )
});

/// Records decreases and restocks whose stock is stored already. A refusal has a text and moves nothing.
pub(super) static CHANGE: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(concat!(
        decided_actions!(", kind varchar, product_id varchar, quantity integer, remaining integer, reply text"),
        " insert into stock_movement (",
        columns_of_actions!(),
        ", kind, product_id, quantity, remaining, reply, status, reply_form)
         select ",
        columns_of_actions!(),
        ", kind, product_id, quantity, remaining, reply, case when reply is null then 'done' else 'refused' end,
                case when reply is null then 1 else 0 end
           from decided
         returning transaction_id, remaining::bigint"
    ))
});

/// Takes the whole stock that a batch of decreases wants, or fails, and records them. `remaining` of an
/// item is the final quantity plus the stock taken by later items.
pub(super) static TAKE: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(concat!(
        decided_actions!(", product_id varchar, quantity integer, taken_behind integer, reply text"),
        ", wanted as rows($12: product_id varchar, quantity integer),
    taken as (
        update inventory_inventory as kept
           set quantity = kept.quantity - wanted.quantity, last_updated = clock_timestamp()
          from wanted
         where kept.product_id = wanted.product_id and kept.quantity >= wanted.quantity
        returning kept.product_id, kept.quantity as rest)
    insert into stock_movement (",
        columns_of_actions!(),
        ", kind, product_id, quantity, remaining, reply, status, reply_form)
    select ",
        columns_of_actions!(),
        // Missing stock fails the statement: each wanted product is wanted by an item.
        ", 'decrement', decided.product_id, quantity,
           case when reply is null then coalesce(rest, stock_must_be_there(false)::int) + taken_behind end, reply,
           case when reply is null then 'done' else 'refused' end, case when reply is null then 1 else 0 end
      from decided left join taken on taken.product_id = decided.product_id
    returning transaction_id, remaining::bigint"
    ))
});

pub(super) static TOMBSTONES: LazyLock<BatchStatement> =
    LazyLock::new(|| BatchStatement::new(tombstones!("stock_movement", ", kind", ", 'decrement'")));

const TAKEN: &str = "\
    select transaction_id, product_id, quantity from stock_movement
     where kind = 'decrement' and status = 'done' and transaction_id = any($1::varchar[])";

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

/// Returns the statements that store what a batch has changed, and the movements of its restores.
pub(super) fn store<'a>(stock: &Stock, restored: Vec<(&'a TransactionId, Taken)>) -> Vec<Bound<'a>> {
    let mut statements = Vec::new();
    let (products, quantities) = stock.changed();
    if !products.is_empty() {
        statements.push(Bound::over_rows(&STORE).column(products).column(quantities));
    }
    if !restored.is_empty() {
        let transaction_ids: Vec<&str> = restored.iter().map(|(id, _)| id.as_str()).collect();
        let quantities: Vec<i32> = restored.iter().map(|(_, taken)| taken.quantity).collect();
        let products: Vec<String> = restored.into_iter().map(|(_, taken)| taken.product_id).collect();
        statements.push(Bound::over_rows(&RESTORE).column(transaction_ids).column(products).column(quantities));
    }
    statements
}

/// Returns the parameters of [`CHANGE`] behind the common ones.
pub(super) fn changes<'a>(
    actions: &'a [NewAction<'a, Change>],
    outcomes: &[Outcome],
    remaining: Vec<Option<i32>>,
) -> Vec<Parameter<'a>> {
    let kind = |new: &NewAction<'_, Change>| match new.action.kind {
        ChangeKind::Decrease => "decrement",
        ChangeKind::Restock => "restock",
    };
    let Moved { products, quantities, replies } = moved(actions, outcomes);
    vec![
        Parameter::column(actions.iter().map(kind).collect()),
        Parameter::column(products),
        Parameter::column(quantities),
        Parameter::column(remaining),
        Parameter::column(replies),
    ]
}

/// Returns the parameters of [`TAKE`] behind the common ones.
pub(super) fn takes<'a>(
    wanted: &BTreeMap<&'a str, i32>,
    actions: &'a [NewAction<'a, Change>],
    outcomes: &[Outcome],
) -> Vec<Parameter<'a>> {
    let Moved { products, quantities, replies } = moved(actions, outcomes);
    let mut behind = wanted.clone();
    let taken_behind = products.iter().zip(&quantities).map(|(product, quantity)| {
        let behind = behind.get_mut((*product)?)?;
        *behind -= (*quantity)?;
        Some(*behind)
    });
    let taken_behind: Vec<Option<i32>> = taken_behind.collect();
    let (wanted, totals): (Vec<&str>, Vec<i32>) = wanted.iter().map(|(product, total)| (*product, *total)).unzip();
    vec![
        Parameter::column(products),
        Parameter::column(quantities),
        Parameter::column(taken_behind),
        Parameter::column(replies),
        Parameter::column(wanted),
        Parameter::column(totals),
    ]
}

/// Columns of a batch's actions: product and quantity of each that is done, the answer's text of each that is refused.
struct Moved<'a> {
    products: Vec<Option<&'a str>>,
    quantities: Vec<Option<i32>>,
    replies: Vec<Option<String>>,
}

fn moved<'a>(actions: &'a [NewAction<'a, Change>], outcomes: &[Outcome]) -> Moved<'a> {
    let done = || actions.iter().zip(outcomes).map(|(new, outcome)| (*outcome == Outcome::Done).then_some(new.action));
    Moved {
        products: done().map(|change| Some(change?.product_id.as_str())).collect(),
        quantities: done().map(|change| Some(change?.quantity)).collect(),
        replies: outcomes.iter().map(refusal).collect(),
    }
}

fn refusal(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Done => None,
        Outcome::Refused(message) => Some(super::refused(message)),
    }
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
