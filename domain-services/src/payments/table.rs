//! The table `app_payment`.

use std::collections::HashMap;
use std::sync::LazyLock;

use common::{
    db::{BatchStatement, Connection, Parameter},
    faults::FailureDraw,
    ids::{ProductId, TransactionId},
    money::Money,
    wire::{payments::Payment, requests::ChargeRequest},
};
use tokio_postgres::Row;

use crate::participant::{
    NewAction, NewCompensation, columns,
    step_journal::{journal_rows, record},
};

/// Inserts charges, refused ones too, and the journal rows. The placeholder 0 in a reply is replaced by the payment id.
pub(super) static CHARGE_AND_RECORD: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(concat!(
        "with ",
        journal_rows!(),
        ", new as rows($12: user_id varchar, transaction_id varchar, product_id varchar, cents bigint, status varchar),
    paid as (
        insert into app_payment (user_id, transaction_id, product_id, amount, status)
        select user_id, transaction_id, product_id, cents::numeric / 100, status from new
        returning transaction_id, id)
    ",
        // A quote inside a string of the reply is escaped, so a user's text never matches the placeholder.
        record!(
            r#"coalesce(replace(j.reply, '"payment_id":0', '"payment_id":' || paid.id), j.reply)"#,
            "left join paid on paid.transaction_id = j.transaction_id and j.operation = 'charge'"
        ),
        " returning transaction_id, operation, reply"
    ))
});

/// Refunds captured payments that are not refunded yet; a refused payment stays as it is.
const REFUND: &str = "\
    update app_payment set status = 'compensated', compensated_at = clock_timestamp()
     where transaction_id = any($1::varchar[]) and status = 'success'
    returning transaction_id, id, user_id, (amount * 100)::bigint";

const BY_ID: &str = "\
    select id, status, transaction_id, user_id, product_id, (amount * 100)::bigint, created_at, compensated_at
      from app_payment where id = $1";

const BY_TRANSACTION: &str = "\
    select id, status, transaction_id, user_id, product_id, (amount * 100)::bigint, created_at, compensated_at
      from app_payment where transaction_id = $1";

/// A refunded payment.
pub(super) struct Refunded {
    pub(super) payment_id: i64,
    pub(super) user_id: String,
    pub(super) amount: Money,
}

/// Returns the parameters of [`CHARGE_AND_RECORD`] behind those of the journal.
pub(super) fn charges<'a>(charges: &'a [NewAction<'a, ChargeRequest>]) -> Vec<Parameter<'a>> {
    let user_ids: Vec<&str> = charges.iter().map(|new| new.action.user_id.as_str()).collect();
    let transaction_ids: Vec<&str> = charges.iter().map(|new| new.transaction_id.as_str()).collect();
    let product_ids: Vec<Option<&str>> =
        charges.iter().map(|new| new.action.product_id.as_ref().map(ProductId::as_str)).collect();
    let cents: Vec<i64> = charges.iter().map(|new| new.action.amount.cents()).collect();
    let statuses: Vec<&str> = charges.iter().map(|new| status(new.draw)).collect();
    vec![
        Parameter::column(user_ids),
        Parameter::column(transaction_ids),
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

fn status(draw: FailureDraw) -> &'static str {
    match draw {
        FailureDraw::Accept => "success",
        FailureDraw::Refuse => "error",
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
