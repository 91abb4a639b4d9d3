//! The table `app_payment`.

use std::collections::HashMap;
use std::sync::LazyLock;

use common::{
    db::{BatchStatement, Connection, Parameter},
    ids::{ProductId, TransactionId, UserId},
    money::Money,
    wire::{payments::Payment, requests::ChargeRequest},
};
use tokio_postgres::Row;

use crate::participant::{
    NewAction, NewCompensation, Outcome, columns,
    step_journal::{columns_of_actions, decided_actions, look_up, tombstones},
};

pub(super) const LOOK_UP: &str = look_up!("id, user_id, product_id, cents");

/// Records charges, refused ones too.
pub(super) static CHARGE: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(concat!(
        decided_actions!(", user_id varchar, product_id varchar, cents bigint, status varchar"),
        " insert into app_payment (",
        columns_of_actions!(),
        ", user_id, product_id, amount, status, reply_form) select ",
        columns_of_actions!(),
        ", user_id, product_id, cents::numeric / 100, status, 1 from decided returning transaction_id, id"
    ))
});

pub(super) static TOMBSTONES: LazyLock<BatchStatement> =
    LazyLock::new(|| BatchStatement::new(tombstones!("app_payment", "", "")));

/// Refunds captured payments that are not refunded yet; a refused payment and a tombstone stay as they are.
const REFUND: &str = "\
    update app_payment set status = 'compensated', compensated_at = clock_timestamp()
     where transaction_id = any($1::varchar[]) and status = 'success'
    returning transaction_id, id, user_id, (amount * 100)::bigint";

const BY_ID: &str = "\
    select id, status, transaction_id, user_id, product_id, (amount * 100)::bigint, created_at, compensated_at
      from app_payment where id = $1 and status <> 'tombstone'";

const BY_TRANSACTION: &str = "\
    select id, status, transaction_id, user_id, product_id, (amount * 100)::bigint, created_at, compensated_at
      from app_payment where transaction_id = $1 and status <> 'tombstone'";

/// A refunded payment.
pub(super) struct Refunded {
    pub(super) payment_id: i64,
    pub(super) user_id: String,
    pub(super) amount: Money,
}

/// Returns the parameters of [`CHARGE`] behind the common ones.
pub(super) fn charges<'a>(charges: &'a [NewAction<'a, ChargeRequest>], outcomes: &[Outcome]) -> Vec<Parameter<'a>> {
    let user_ids: Vec<&str> = charges.iter().map(|new| new.action.user_id.as_str()).collect();
    let product_ids: Vec<Option<&str>> =
        charges.iter().map(|new| new.action.product_id.as_ref().map(ProductId::as_str)).collect();
    let cents: Vec<i64> = charges.iter().map(|new| new.action.amount.cents()).collect();
    let statuses: Vec<&str> = outcomes.iter().map(status).collect();
    vec![
        Parameter::column(user_ids),
        Parameter::column(product_ids),
        Parameter::column(cents),
        Parameter::column(statuses),
    ]
}

/// Refunds the captured payments of these transactions; returns transaction id → payment.
pub(super) async fn refund(
    connection: &mut Connection,
    compensations: &[NewCompensation<'_>],
) -> Result<HashMap<String, Refunded>, tokio_postgres::Error> {
    if compensations.is_empty() {
        return Ok(HashMap::new());
    }
    let transaction_ids: Vec<&str> = compensations.iter().map(|new| new.transaction_id.as_str()).collect();
    let rows = connection.query(REFUND, &[&transaction_ids]).await?;
    let refunded = rows.into_iter().map(|row| {
        (row.get(0), Refunded { payment_id: row.get(1), user_id: row.get(2), amount: columns::money(&row, 3) })
    });
    Ok(refunded.collect())
}

pub(super) async fn by_id(
    connection: &mut Connection,
    payment_id: i64,
) -> Result<Option<Payment>, tokio_postgres::Error> {
    Ok(connection.query_opt(BY_ID, &[&payment_id]).await?.map(read))
}

pub(super) async fn by_transaction(
    connection: &mut Connection,
    transaction_id: &TransactionId,
) -> Result<Option<Payment>, tokio_postgres::Error> {
    Ok(connection.query_opt(BY_TRANSACTION, &[&transaction_id.as_str()]).await?.map(read))
}

/// Reads payment id and charge of a look-up's row.
pub(super) fn charge_of(row: &Row) -> (i64, ChargeRequest) {
    let charge = ChargeRequest {
        user_id: columns::parsed(row.get("user_id"), UserId::parse),
        transaction_id: None,
        amount: columns::money(row, "cents"),
        product_id: row.get::<_, Option<&str>>("product_id").map(|text| columns::parsed(text, ProductId::parse)),
    };
    (row.get("id"), charge)
}

fn status(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "success",
        Outcome::Refused(_) => "error",
    }
}

fn read(row: Row) -> Payment {
    Payment {
        payment_id: row.get(0),
        status: row.get(1),
        transaction_id: row.get(2),
        user_id: row.get(3),
        product_id: row.get(4),
        amount: columns::money(&row, 5),
        created_at: row.get(6),
        compensated_at: row.get(7),
    }
}
