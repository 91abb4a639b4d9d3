//! The journal: the decisions of a participant, in its own database.
//!
//! The row of an action is the row of its effect, in the participant's own table. It also has the request's hash and
//! origin; the answer is made from its columns. A refusal and a tombstone are rows of that table too, so that every
//! decision on an action meets every other under one unique key. The table `step_journal` has the compensations. The
//! view `journal` shows both.

use std::collections::HashMap;
use std::sync::LazyLock;

use common::{
    db::{BatchStatement, Bound, Connection, Parameter},
    http::TraceContext,
    ids::TransactionId,
    request_hash::{HASH_VERSION, RequestHash},
    wire::journal::{JournalEntry, JournalView},
};
use tokio_postgres::Row;

use super::{
    Participant, columns,
    journal::{Found, Recorded},
    ledger::Item,
};

/// Whether an operation of a transaction is recorded.
pub(super) const IS_RECORDED: &str =
    "select exists (select from journal where transaction_id = $1::text and operation = $2::text)";

const KNOWN: &str = "select distinct transaction_id from journal where transaction_id = any($1::varchar[])";

/// The look-up of a participant: the rows of transactions, with the columns that [`Participant::answer_of`] reads.
macro_rules! look_up {
    ($own:literal) => {
        concat!(
            "select transaction_id, operation, status, reply_form, reply, request_hash, hash_version, tombstone,
                    decided_at, from_saga, step, attempt, epoch, ",
            $own,
            " from journal where transaction_id = any($1::varchar[])"
        )
    };
}
pub(crate) use look_up;

/// Records compensations.
static UNDONE: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(
        "with undone as rows($2: transaction_id varchar, reply text, from_saga boolean, step text, attempt integer,
                                 epoch integer)
         insert into step_journal (transaction_id, operation, reply, from_saga, step, attempt, epoch)
         select transaction_id, $1::varchar, reply, from_saga, step, attempt, epoch from undone",
    )
});

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

/// The decisions on a batch's transactions: transaction id → operation and decision.
pub(crate) struct Journal(HashMap<String, Vec<(String, Recorded)>>);

impl Journal {
    pub(crate) async fn look_up<P: Participant>(
        connection: &mut Connection,
        transaction_ids: impl Iterator<Item = &TransactionId>,
    ) -> Result<Self, tokio_postgres::Error> {
        let transaction_ids: Vec<&str> = transaction_ids.map(TransactionId::as_str).collect();
        let mut journal: HashMap<String, Vec<(String, Recorded)>> = HashMap::new();
        if transaction_ids.is_empty() {
            return Ok(Self(journal));
        }
        for row in connection.query(P::LOOK_UP, &[&transaction_ids]).await? {
            journal.entry(row.get(0)).or_default().push((row.get(1), recorded::<P>(&row)));
        }
        Ok(Self(journal))
    }

    /// Returns the recorded decisions on an action and on its compensation.
    pub(crate) fn found<P: Participant>(&self, transaction_id: &TransactionId, action: &'static str) -> Found<'_> {
        let Some(entries) = self.0.get(transaction_id.as_str()) else { return Found::default() };
        let entry = |operation: &str| entries.iter().find(|(name, _)| name == operation).map(|(_, recorded)| recorded);
        // An action that no saga uses has no compensation that could forbid it.
        let compensation = if action == P::ACTION { entry(P::COMPENSATION) } else { None };
        Found { action: entry(action), compensation }
    }
}

/// Form of an answer that is stored as text.
const FORM_TEXT: i16 = 0;
/// Form of an answer that is made from the row's columns. Rows of this form are kept forever: an answer that is worded
/// anew, or has other members, is a new form.
const FORM_COLUMNS: i16 = 1;

/// # Panics
/// If no known form makes the answer. A migration states the oldest program that knows all forms in its tables.
fn recorded<P: Participant>(row: &Row) -> Recorded {
    let tombstone: bool = row.get(7);
    let reply = match row.get(3) {
        FORM_TEXT => row.get(4),
        FORM_COLUMNS if tombstone => P::tombstone(&transaction_id(row)),
        FORM_COLUMNS => P::answer_of(row),
        form => panic!("{form} is not a form of answers"),
    };
    Recorded { status: row.get(2), reply, hash: row.get(5), hash_version: row.get(6), tombstone }
}

/// Reads a decision for people.
fn shown<P: Participant>(row: &Row) -> JournalEntry {
    let Recorded { status, reply, tombstone, .. } = recorded::<P>(row);
    JournalEntry {
        operation: row.get(1),
        status,
        reply: serde_json::from_str(&reply).unwrap_or_default(),
        decided_at: row.get(8),
        from_saga: row.get(9),
        step: row.get(10),
        attempt: row.get(11),
        epoch: row.get(12),
        tombstone,
    }
}

/// Reads the transaction id of a row of a look-up.
pub(crate) fn transaction_id(row: &Row) -> TransactionId {
    columns::parsed(row.get(0), TransactionId::parse)
}

/// Returns whether the action of a look-up's row was done.
pub(crate) fn is_done(row: &Row) -> bool {
    row.get::<_, i16>("status") == 200
}

/// The columns of an action's row that all participants have.
macro_rules! columns_of_actions {
    () => {
        "transaction_id, request_hash, hash_version, from_saga, step, attempt, epoch"
    };
}
pub(crate) use columns_of_actions;

/// The decided actions of a batch as an input of the statement that records them: their common columns are $1 to $7,
/// the participant's own follow.
macro_rules! decided_actions {
    ($own:literal) => {
        concat!(
            "with decided as rows($1: transaction_id varchar, request_hash bytea, hash_version smallint,
                                      from_saga boolean, step text, attempt integer, epoch integer",
            $own,
            ")"
        )
    };
}
pub(crate) use decided_actions;

/// A statement that records tombstones: rows of the participant's table, with their status, in the place of actions.
macro_rules! tombstones {
    ($table:literal, $columns:literal, $values:literal) => {
        concat!(
            decided_actions!(""),
            " insert into ",
            $table,
            " (",
            columns_of_actions!(),
            ", status, reply_form",
            $columns,
            ") select ",
            columns_of_actions!(),
            ", 'tombstone', 1",
            $values,
            " from decided"
        )
    };
}
pub(crate) use tombstones;

/// Binds the common columns of decided actions, sorted by transaction.
pub(crate) fn bind_actions<'a, A: 'a>(
    statement: &'static BatchStatement,
    decided: &[(&'a Item<A>, Option<&'a RequestHash>)],
) -> Bound<'a> {
    let items = || decided.iter().map(|(item, _)| *item);
    Bound::over_rows(statement)
        .column(items().map(|item| item.transaction_id.as_str()).collect())
        .column(decided.iter().map(|(_, hash)| hash.map(RequestHash::as_bytes)).collect())
        .column(vec![HASH_VERSION; decided.len()])
        .with_all(columns_of_origin(items()))
}

/// Binds the decisions on a participant's compensations, sorted by transaction.
pub(crate) fn bind_undone<'a, P: Participant>(undone: &[(&'a Item<P::Action>, &str)]) -> Bound<'a> {
    Bound::over_rows(&UNDONE)
        .with(P::COMPENSATION)
        .column(undone.iter().map(|(item, _)| item.transaction_id.as_str()).collect())
        .column(undone.iter().map(|(_, reply)| (*reply).to_owned()).collect())
        .with_all(columns_of_origin(undone.iter().map(|(item, _)| *item)))
}

fn columns_of_origin<'a, A: 'a>(items: impl Iterator<Item = &'a Item<A>> + Clone) -> Vec<Parameter<'a>> {
    let origins = || items.clone().map(|item| &item.origin);
    vec![
        Parameter::column(origins().map(|origin| origin.from_saga).collect()),
        Parameter::column(origins().map(|origin| origin.step.as_deref()).collect()),
        Parameter::column(origins().map(|origin| origin.attempt).collect()),
        Parameter::column(origins().map(|origin| origin.epoch).collect()),
    ]
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
pub(crate) async fn view<P: Participant>(
    connection: &mut Connection,
    transaction_id: TransactionId,
) -> Result<JournalView, tokio_postgres::Error> {
    let rows = connection.query(P::LOOK_UP, &[&vec![transaction_id.as_str()]]).await?;
    let mut entries: Vec<JournalEntry> = rows.iter().map(shown::<P>).collect();
    entries.sort_by_key(|entry| (entry.decided_at, entry.operation.clone()));
    Ok(JournalView { transaction_id: transaction_id.into_string(), entries })
}
