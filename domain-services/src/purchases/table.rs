//! The table `app_purchase`.

use std::collections::HashSet;
use std::sync::LazyLock;

use common::{
    db::{BatchStatement, Connection, Parameter},
    ids::{TransactionId, UserId},
    wire::{purchases::PurchaseView, requests::PurchaseRequest},
};
use tokio_postgres::Row;

use crate::participant::{
    NewAction, NewCompensation, columns,
    step_journal::{journal_rows, record},
};

/// Inserts purchases and the journal rows. The placeholder 0 in a reply is replaced by the purchase id.
pub(super) static CREATE_AND_RECORD: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(concat!(
    "with ",
    journal_rows!(),
    ", new as rows($12: user_id varchar, transaction_id varchar, product_id varchar, payment_id varchar, cents bigint),
    made as (
        insert into app_purchase (user_id, transaction_id, product_id, payment_id, amount, status)
        select user_id, transaction_id, product_id, payment_id, cents::numeric / 100, 'success' from new
        returning transaction_id, id)
    ",
    // A quote inside a string of the reply is escaped, so a user's text never matches the placeholder.
    record!(
        r#"coalesce(replace(j.reply, '"purchase_id":0', '"purchase_id":' || made.id), j.reply)"#,
        "left join made on made.transaction_id = j.transaction_id and j.operation = 'create'"
    ),
    " returning transaction_id, operation, reply"
))
});

const CANCEL: &str = "\
    update app_purchase set status = 'cancelled', cancelled_at = clock_timestamp()
     where transaction_id = any($1::varchar[]) and status = 'success'
    returning transaction_id";

const BY_ID: &str = "\
    select id, status, user_id, transaction_id, product_id, payment_id, (amount * 100)::bigint, created_at, cancelled_at
      from app_purchase where id = $1";

const BY_TRANSACTION: &str = "\
    select id, status, user_id, transaction_id, product_id, payment_id, (amount * 100)::bigint, created_at, cancelled_at
      from app_purchase where transaction_id = $1";

/// Newest first, all users.
const PAGE: &str = "\
    select id, status, user_id, transaction_id, product_id, payment_id, (amount * 100)::bigint, created_at, cancelled_at
      from app_purchase where id < $1 order by id desc limit $2";

const PAGE_OF_USER: &str = "\
    select id, status, user_id, transaction_id, product_id, payment_id, (amount * 100)::bigint, created_at, cancelled_at
      from app_purchase where user_id = any(array[$3::text]) and id < $1 order by user_id, id desc limit $2";

/// Returns the parameters of [`CREATE_AND_RECORD`] behind those of the journal.
pub(super) fn purchases<'a>(purchases: &[&NewAction<'a, PurchaseRequest>]) -> Vec<Parameter<'a>> {
    let user_ids: Vec<&str> = purchases.iter().map(|new| new.action.user_id.as_str()).collect();
    let transaction_ids: Vec<&str> = purchases.iter().map(|new| new.transaction_id.as_str()).collect();
    let product_ids: Vec<&str> = purchases.iter().map(|new| new.action.product_id.as_str()).collect();
    let payment_ids: Vec<&str> = purchases.iter().map(|new| new.action.payment_id.as_str()).collect();
    let cents: Vec<i64> = purchases.iter().map(|new| new.action.amount.cents()).collect();
    vec![
        Parameter::column(user_ids),
        Parameter::column(transaction_ids),
        Parameter::column(product_ids),
        Parameter::column(payment_ids),
        Parameter::column(cents),
    ]
}

/// Cancels the live purchases of these transactions; returns the transactions that had one.
pub(super) async fn cancel(
    connection: &mut Connection,
    compensations: &[NewCompensation<'_>],
) -> Result<HashSet<String>, tokio_postgres::Error> {
    if compensations.is_empty() {
        return Ok(HashSet::new());
    }
    let transaction_ids: Vec<&str> = compensations.iter().map(|new| new.transaction_id.as_str()).collect();
    let rows = connection.query(CANCEL, &[&transaction_ids]).await?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

pub(super) async fn by_id(
    connection: &mut Connection,
    purchase_id: i64,
) -> Result<Option<PurchaseView>, tokio_postgres::Error> {
    Ok(connection.query_opt(BY_ID, &[&purchase_id]).await?.map(read))
}

pub(super) async fn by_transaction(
    connection: &mut Connection,
    transaction_id: &TransactionId,
) -> Result<Option<PurchaseView>, tokio_postgres::Error> {
    Ok(connection.query_opt(BY_TRANSACTION, &[&transaction_id.as_str()]).await?.map(read))
}

/// Returns up to `limit` purchases with ids below `before`, newest first.
pub(super) async fn page(
    connection: &mut Connection,
    user_id: Option<&UserId>,
    before: i64,
    limit: i64,
) -> Result<Vec<PurchaseView>, tokio_postgres::Error> {
    let rows = match user_id {
        Some(user_id) => connection.query(PAGE_OF_USER, &[&before, &limit, &user_id.as_str()]).await?,
        None => connection.query(PAGE, &[&before, &limit]).await?,
    };
    Ok(rows.into_iter().map(read).collect())
}

fn read(row: Row) -> PurchaseView {
    PurchaseView {
        purchase_id: row.get(0),
        status: row.get(1),
        user_id: row.get(2),
        transaction_id: row.get(3),
        product_id: row.get(4),
        payment_id: row.get(5),
        amount: columns::money(&row, 6),
        created_at: row.get(7),
        cancelled_at: row.get(8),
    }
}
