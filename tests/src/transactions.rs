//! All transactions: the combined contents of the five databases after all sagas have ended.
//!
//! Read directly from the databases, so that wrong answers of a service are detected.

use std::collections::{BTreeMap, BTreeSet};

use crate::{PATIENCE, Stack, stack::ORCHESTRATOR, wait_until};

/// A transaction, as recorded in all databases.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The saga's status; empty without a saga.
    pub status: String,
    /// Whether the saga has ended.
    pub ended: bool,
    /// The reason for its compensation.
    pub error: Option<String>,
    /// Its payment, whatever its status.
    pub payment: Option<Payment>,
    /// Its live purchases.
    pub live_purchases: i64,
    /// Decrements of stock that were not restored.
    pub decrements: i64,
}

/// A row of payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: i64,
    /// `success`, `error` or `compensated`.
    pub status: String,
}

/// All transactions, by id.
pub type Transactions = BTreeMap<String, Entry>;

/// Whether effects without a saga are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutSaga {
    /// Only sagas call the participants.
    Forbidden,
    /// The test has called participants directly.
    Allowed,
}

/// Waits until every saga has ended; returns the transactions, on which the databases agree.
///
/// # Panics
/// When a saga does not end, or the databases do not agree; the message lists every wrong transaction.
pub async fn consistent(stack: &Stack) -> Transactions {
    consistent_beside(stack, WithoutSaga::Forbidden).await
}

/// Like [`consistent`], except for effects without a saga where those are allowed.
///
/// # Panics
/// When a saga does not end, or the databases do not agree; the message lists every wrong transaction.
pub async fn consistent_beside(stack: &Stack, without_saga: WithoutSaga) -> Transactions {
    let transactions = wait_until("every saga has ended", PATIENCE * 2, async || {
        let transactions = read(stack).await;
        transactions.values().all(|entry| entry.ended || entry.status.is_empty()).then_some(transactions)
    })
    .await;
    let counts = |entry: &Entry| without_saga == WithoutSaga::Forbidden || !entry.status.is_empty();
    let judged = transactions.iter().filter(|(_, entry)| counts(entry));
    let wrong: Vec<String> =
        judged.filter_map(|(id, entry)| Some(format!("{id}: {}, {entry:?}", complaint(entry)?))).collect();
    assert!(wrong.is_empty(), "the databases do not agree:\n{}", wrong.join("\n"));
    let differences = "select count(*) from stock_difference";
    let differences = stack.database("inventory").await.number(differences, &[]).await;
    assert_eq!(differences, 0, "products whose stock its movements do not explain");
    transactions
}

/// Returns the inconsistency of a transaction, if any.
fn complaint(entry: &Entry) -> Option<&'static str> {
    let payment = entry.payment.as_ref().map(|payment| payment.status.as_str());
    match entry.status.as_str() {
        "COMPLETED" if payment != Some("success") => Some("completed without a live payment"),
        "COMPLETED" if entry.live_purchases != 1 => Some("completed without a live purchase"),
        "COMPLETED" if entry.decrements != 1 => Some("completed without one decrement"),
        "COMPLETED" => None,
        "COMPENSATED" if payment == Some("success") => Some("compensated with a live payment"),
        "COMPENSATED" if entry.live_purchases != 0 => Some("compensated with a live purchase"),
        // By the product owner's rule the stock stays taken.
        "COMPENSATED" if entry.decrements > 1 => Some("decremented twice"),
        "COMPENSATED" => None,
        "" if payment == Some("success") || entry.live_purchases != 0 => Some("an effect without a saga"),
        "" => None,
        _ => Some("neither completed nor compensated"),
    }
}

async fn read(stack: &Stack) -> Transactions {
    // The log first: a saga that has ended by then has all its effects.
    let mut transactions = Transactions::new();
    let sagas = "select id::text, status, ended_at is not null, error from saga";
    for row in stack.database(ORCHESTRATOR).await.rows(sagas, &[]).await {
        let entry: &mut Entry = transactions.entry(row.get(0)).or_default();
        (entry.status, entry.ended, entry.error) = (row.get(1), row.get(2), row.get(3));
    }
    let payments = "select transaction_id, id, status from app_payment where status <> 'tombstone'";
    for row in stack.database("payments").await.rows(payments, &[]).await {
        transactions.entry(row.get(0)).or_default().payment = Some(Payment { id: row.get(1), status: row.get(2) });
    }
    let purchases = "select transaction_id from app_purchase where status = 'success'";
    for row in stack.database("purchases").await.rows(purchases, &[]).await {
        transactions.entry(row.get(0)).or_default().live_purchases += 1;
    }
    let movements = "select transaction_id, case kind when 'decrement' then 1 else -1 end::bigint
                       from stock_movement where status = 'done' and kind <> 'restock'";
    for row in stack.database("inventory").await.rows(movements, &[]).await {
        transactions.entry(row.get(0)).or_default().decrements += row.get::<_, i64>(1);
    }
    transactions
}

/// Returns the ids of the transactions with a status.
pub fn with_status<'a>(transactions: &'a Transactions, status: &str) -> BTreeSet<&'a str> {
    transactions.iter().filter(|(_, entry)| entry.status == status).map(|(id, _)| id.as_str()).collect()
}
