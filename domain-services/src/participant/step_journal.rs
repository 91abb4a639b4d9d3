//! The table `step_journal`. Each participant has one in its own database.

use std::collections::HashMap;

use common::{
    db::{Bound, Connection},
    http::TraceContext,
    ids::TransactionId,
    request_hash::{HASH_VERSION, RequestHash},
    wire::journal::{JournalEntry, JournalView},
};

use super::{
    Decision, Effect, Participant,
    journal::{Found, Recorded},
    ledger::Item,
};

const LOOK_UP: &str = "\
    select transaction_id, operation, status, reply, request_hash, hash_version, tombstone
      from step_journal where transaction_id = any($1::varchar[])";

const VIEW: &str = "\
    select operation, status, reply, decided_at, from_saga, step, attempt, epoch, tombstone
      from step_journal where transaction_id = $1 order by decided_at, operation";

/// Whether an operation of a transaction is recorded.
pub(super) const IS_RECORDED: &str =
    "select exists (select from step_journal where transaction_id = $1::text and operation = $2::text)";

const KNOWN: &str = "select distinct transaction_id from step_journal where transaction_id = any($1::varchar[])";

/// The origin of a request, for people and for the audit. No decision depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) from_saga: bool,
    pub(crate) step: Option<String>,
    pub(crate) attempt: Option<i32>,
    pub(crate) epoch: Option<i32>,
    /// The trace context of its commit.
    pub(crate) trace: Option<TraceContext>,
}

impl Origin {
    /// Returns whether this is a saga's first attempt. Then nothing was decided before, unless the delivery is a
    /// duplicate.
    pub(crate) fn is_first(&self) -> bool {
        self.from_saga && self.attempt == Some(1) && self.epoch == Some(1)
    }
}

pub(crate) struct JournalRow<'a> {
    pub(crate) transaction_id: &'a TransactionId,
    pub(crate) operation: &'static str,
    pub(crate) hash: Option<&'a RequestHash>,
    pub(crate) decision: Decision,
    pub(crate) tombstone: bool,
    pub(crate) origin: &'a Origin,
}

impl<'a> JournalRow<'a> {
    /// Makes the row for an item's decision.
    pub(crate) fn new<A>(
        item: &'a Item<A>,
        operation: &'static str,
        hash: Option<&'a RequestHash>,
        decision: Decision,
    ) -> Self {
        Self { transaction_id: &item.transaction_id, operation, hash, decision, tombstone: false, origin: &item.origin }
    }
}

/// The journal rows of a batch's transactions: transaction id → (operation, row)
pub(crate) struct Journal(HashMap<String, Vec<(String, Recorded)>>);

impl Journal {
    pub(crate) async fn look_up(
        connection: &mut Connection,
        transaction_ids: impl Iterator<Item = &TransactionId>,
    ) -> Result<Self, tokio_postgres::Error> {
        let transaction_ids: Vec<&str> = transaction_ids.map(TransactionId::as_str).collect();
        let mut journal: HashMap<String, Vec<(String, Recorded)>> = HashMap::new();
        if transaction_ids.is_empty() {
            return Ok(Self(journal));
        }
        for row in connection.query(LOOK_UP, &[&transaction_ids]).await? {
            let recorded = Recorded {
                status: row.get(2),
                reply: row.get(3),
                hash: row.get(4),
                hash_version: row.get(5),
                tombstone: row.get(6),
            };
            journal.entry(row.get(0)).or_default().push((row.get(1), recorded));
        }
        Ok(Self(journal))
    }

    /// Returns the recorded rows of an action and of its compensation.
    pub(crate) fn found<P: Participant>(&self, transaction_id: &TransactionId, action: &'static str) -> Found<'_> {
        let Some(rows) = self.0.get(transaction_id.as_str()) else { return Found::default() };
        let row = |operation: &str| rows.iter().find(|(name, _)| name == operation).map(|(_, recorded)| recorded);
        // An action that no saga uses has no compensation that could forbid it.
        let compensation = if action == P::ACTION { row(P::COMPENSATION) } else { None };
        Found { action: row(action), compensation }
    }
}

/// The journal rows of a batch as an input of the statement that does its work. A participant composes a
/// [`BatchStatement`] of `with`, this macro, the changes to its own tables, and [`record!`]. These parameters are $1 to
/// $11; the participant's own follow.
macro_rules! journal_rows {
    () => {
        "journal as rows($1: transaction_id varchar, operation varchar, request_hash bytea, hash_version smallint,
                         status smallint, reply text, tombstone boolean, from_saga boolean, step text, attempt integer,
                         epoch integer)"
    };
}
pub(crate) use journal_rows;

/// The insert of the journal rows, the last part of such a statement. `$reply` is the expression for each reply,
/// `$join` the joins that the expression needs.
macro_rules! record {
    ($reply:literal, $join:literal) => {
        concat!(
            "insert into step_journal (transaction_id, operation, request_hash, hash_version, status, reply, tombstone,
                                       from_saga, step, attempt, epoch)
             select j.transaction_id, j.operation, j.request_hash, j.hash_version, j.status, ",
            $reply,
            ", j.tombstone, j.from_saga, j.step, j.attempt, j.epoch from journal j ",
            $join
        )
    };
}
pub(crate) use record;

/// Binds the journal rows, sorted by key, to the statement that does the work.
pub(crate) fn bind<'a>(effect: Effect<'a>, mut rows: Vec<JournalRow<'a>>) -> Bound<'a> {
    rows.sort_by_key(|row| (row.transaction_id, row.operation));
    let versions = vec![HASH_VERSION; rows.len()];
    let column = |of: fn(&JournalRow<'_>) -> bool| rows.iter().map(of).collect::<Vec<_>>();
    let (tombstones, from_saga) = (column(|row| row.tombstone), column(|row| row.origin.from_saga));
    let transaction_ids: Vec<&str> = rows.iter().map(|row| row.transaction_id.as_str()).collect();
    let operations: Vec<&str> = rows.iter().map(|row| row.operation).collect();
    let hashes: Vec<Option<&[u8]>> = rows.iter().map(|row| row.hash.map(RequestHash::as_bytes)).collect();
    let statuses: Vec<i16> = rows.iter().map(|row| row.decision.status).collect();
    let steps: Vec<Option<&str>> = rows.iter().map(|row| row.origin.step.as_deref()).collect();
    let attempts: Vec<Option<i32>> = rows.iter().map(|row| row.origin.attempt).collect();
    let epochs: Vec<Option<i32>> = rows.iter().map(|row| row.origin.epoch).collect();
    let replies: Vec<String> = rows.into_iter().map(|row| row.decision.reply).collect();
    Bound::over_rows(effect.statement)
        .column(transaction_ids)
        .column(operations)
        .column(hashes)
        .column(versions)
        .column(statuses)
        .column(replies)
        .column(tombstones)
        .column(from_saga)
        .column(steps)
        .column(attempts)
        .column(epochs)
        .with_all(effect.parameters)
}

/// Returns the given transactions that have any journal row.
pub(crate) async fn known(
    connection: &mut Connection,
    transaction_ids: [TransactionId; 2],
) -> Result<Vec<TransactionId>, tokio_postgres::Error> {
    let texts = transaction_ids.each_ref().map(TransactionId::as_str);
    let rows = connection.query(KNOWN, &[&&texts[..]]).await?;
    let is_known = |id: &TransactionId| rows.iter().any(|row| row.get::<_, &str>(0) == id.as_str());
    Ok(transaction_ids.iter().filter(|id| is_known(id)).cloned().collect())
}

/// Returns all journal entries of a transaction, for people.
pub(crate) async fn view(
    connection: &mut Connection,
    transaction_id: TransactionId,
) -> Result<JournalView, tokio_postgres::Error> {
    let rows = connection.query(VIEW, &[&transaction_id.as_str()]).await?;
    let entries = rows.into_iter().map(|row| JournalEntry {
        operation: row.get(0),
        status: row.get(1),
        reply: serde_json::from_str(row.get(2)).unwrap_or_default(),
        decided_at: row.get(3),
        from_saga: row.get(4),
        step: row.get(5),
        attempt: row.get(6),
        epoch: row.get(7),
        tombstone: row.get(8),
    });
    Ok(JournalView { transaction_id: transaction_id.into_string(), entries: entries.collect() })
}
