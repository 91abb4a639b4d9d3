//! The table `app_purchase`.

use std::collections::HashSet;
use std::sync::LazyLock;

use common::{
    db::{BatchStatement, Connection, Parameter},
    ids::{PaymentId, ProductId, TransactionId, UserId},
    wire::{purchases::PurchaseView, requests::PurchaseRequest},
};
use tokio_postgres::Row;

use crate::participant::{
    NewAction, NewCompensation, Outcome, columns,
    step_journal::{self, columns_of_actions, decided_actions, look_up, tombstones},
};

pub(super) const LOOK_UP: &str = look_up!("id, user_id, product_id, payment_id, cents");

/// Records purchases; of a refused one only that it was refused.
pub(super) static CREATE: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(concat!(
        decided_actions!(", user_id varchar, product_id varchar, payment_id varchar, cents bigint, status varchar"),
        " insert into app_purchase (",
        columns_of_actions!(),
        ", user_id, product_id, payment_id, amount, status, reply_form) select ",
        columns_of_actions!(),
        ", user_id, product_id, payment_id, cents::numeric / 100, status, 1 from decided returning transaction_id, id"
    ))
});

pub(super) static TOMBSTONES: LazyLock<BatchStatement> =
    LazyLock::new(|| BatchStatement::new(tombstones!("app_purchase", "", "")));

const CANCEL: &str = "\
    update app_purchase set status = 'cancelled', cancelled_at = clock_timestamp()
     where transaction_id = any($1::varchar[]) and status = 'success'
    returning transaction_id";

const BY_ID: &str = "\
    select id, status, user_id, transaction_id, product_id, payment_id, (amount * 100)::bigint, created_at, cancelled_at
      from app_purchase where id = $1 and status in ('success', 'cancelled')";

const BY_TRANSACTION: &str = "\
    select id, status, user_id, transaction_id, product_id, payment_id, (amount * 100)::bigint, created_at, cancelled_at
      from app_purchase where transaction_id = $1 and status in ('success', 'cancelled')";

/// Newest first, all users, without refusals and tombstones, which belong to no user either.
const PAGE: &str = "\
    select id, status, user_id, transaction_id, product_id, payment_id, (amount * 100)::bigint, created_at, cancelled_at
      from app_purchase where id < $1 and status in ('success', 'cancelled') order by id desc limit $2";

const PAGE_OF_USER: &str = "\
    select id, status, user_id, transaction_id, product_id, payment_id, (amount * 100)::bigint, created_at, cancelled_at
      from app_purchase where user_id = any(array[$3::text]) and id < $1 order by user_id desc, id desc limit $2";

/// Returns the parameters of [`CREATE`] behind the common ones.
pub(super) fn purchases<'a>(purchases: &[NewAction<'a, PurchaseRequest>], outcomes: &[Outcome]) -> Vec<Parameter<'a>> {
    let decided = || purchases.iter().zip(outcomes);
    let accepted = || decided().map(|(new, outcome)| (*outcome == Outcome::Done).then_some(new.action));
    let user_ids: Vec<Option<&str>> = accepted().map(|purchase| Some(purchase?.user_id.as_str())).collect();
    let product_ids: Vec<Option<&str>> = accepted().map(|purchase| Some(purchase?.product_id.as_str())).collect();
    let payment_ids: Vec<Option<&str>> = accepted().map(|purchase| Some(purchase?.payment_id.as_str())).collect();
    let cents: Vec<Option<i64>> = accepted().map(|purchase| Some(purchase?.amount.cents())).collect();
    let statuses: Vec<&str> = accepted().map(|purchase| purchase.map_or("refused", |_| "success")).collect();
    vec![
        Parameter::column(user_ids),
        Parameter::column(product_ids),
        Parameter::column(payment_ids),
        Parameter::column(cents),
        Parameter::column(statuses),
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

/// Reads purchase id and request of a look-up's row.
pub(super) fn purchase_of(row: &Row) -> (i64, PurchaseRequest) {
    let purchase = PurchaseRequest {
        user_id: columns::parsed(row.get("user_id"), UserId::parse),
        transaction_id: step_journal::transaction_id(row),
        product_id: columns::parsed(row.get("product_id"), ProductId::parse),
        payment_id: columns::parsed(row.get("payment_id"), PaymentId::parse),
        amount: columns::money(row, "cents"),
    };
    (row.get("id"), purchase)
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
