//! The participants' side of the facts: their business rows, and the journal that explains them.

use common::{config::Settings, db::Connection};
use orchestrator::invariants::{
    Decision, Entry, Facts, Movement, MovementKind, OperationKind, Participant, Payment, PaymentStatus, Purchase,
    PurchaseStatus, StockLevel,
};
use tokio_postgres::{Row, types::ToSql};

use super::{FactsError, open, range::Range};

// Rows that were changed by hand may lack values that their status demands: they count as nothing, and are found as such.
const PAYMENTS: &str = "\
    select transaction_id, status, coalesce(amount * 100, 0)::bigint from app_payment
     where status <> 'tombstone' and transaction_id > $1";

const PURCHASES: &str = "\
    select transaction_id, status, coalesce(amount * 100, 0)::bigint from app_purchase
     where status in ('success', 'cancelled') and transaction_id > $1";

const MOVEMENTS: &str = "\
    select transaction_id, kind, moved_at from stock_movement
     where status = 'done' and kind <> 'restock' and transaction_id > $1";

/// Without restocks, which belong to no step: they count only in the sums of the stock.
const JOURNAL: &str = "\
    select transaction_id, operation, status, tombstone, from_saga, attempt, epoch, decided_at
      from journal where operation <> 'restock' and transaction_id > $1";

/// Appended to the above as a separate condition: an "or" would prevent the use of the index.
const UP_TO: &str = " and transaction_id <= $2";

/// A place in the table of a participant's actions: a transaction without an action has a tombstone there.
fn nth_after(participant: Participant) -> String {
    let table = match participant {
        Participant::Payments => "app_payment",
        Participant::Inventory => "stock_movement",
        Participant::Purchases => "app_purchase",
    };
    format!("select transaction_id from {table} where transaction_id > $1 order by transaction_id offset $2 limit 1")
}

/// A full join, so that a movement of a missing product is found too.
const STOCK: &str = "\
    select coalesce(product_id, '(no product)'), coalesce(i.initial_quantity, 0)::bigint, coalesce(i.quantity, 0)::bigint,
           coalesce(m.restocked, 0), coalesce(m.decremented, 0), coalesce(m.restored, 0)
      from inventory_inventory i
      full join (select product_id,
                        sum(quantity) filter (where kind = 'restock')   as restocked,
                        sum(quantity) filter (where kind = 'decrement') as decremented,
                        sum(quantity) filter (where kind = 'restore')   as restored
                   from stock_movement where status = 'done' group by product_id) m using (product_id)
     order by product_id";

/// Identifies a server and its current start.
const SERVER: &str = "select pg_postmaster_start_time()::text";

/// The journal is never pruned.
const IS_USED: &str = "select exists (select from journal)";

/// A participant that keeps a journal.
pub(super) struct Journaled {
    participant: Participant,
    connection: Connection,
    /// Whether its journal is known to have a row.
    is_used: bool,
}

impl Journaled {
    pub(super) async fn open(settings: &Settings, participant: Participant) -> Result<Self, FactsError> {
        Ok(Self { participant, connection: open(settings, participant.as_str()).await?, is_used: false })
    }

    /// Checks that its database was ever used if sagas show its answers: another database that is just as well migrated
    /// would make each of them a violation.
    pub(super) async fn check_used(&mut self, settings: &Settings, facts: &Facts) -> Result<(), FactsError> {
        let sagas = || facts.transactions.values().filter_map(|transaction| transaction.saga.as_ref());
        if self.is_used || !sagas().any(|saga| saga.was_answered_by(self.participant)) {
            return Ok(());
        }
        self.is_used = self.rows(IS_USED, &[]).await?.first().is_some_and(|row| row.get(0));
        let service = self.participant.as_str();
        if self.is_used {
            Ok(())
        } else {
            Err(FactsError::NeverUsed {
                service,
                key: settings.server_key(service),
                database: settings.service(service).database.clone(),
            })
        }
    }

    /// Returns the identity of its database server.
    pub(super) async fn server(&self) -> Result<String, FactsError> {
        Ok(self.rows(SERVER, &[]).await?.first().map(|row| row.get(0)).unwrap_or_default())
    }

    /// Reads its rows for a range of transactions, in one snapshot.
    pub(super) async fn read(&self, range: &Range, facts: &mut Facts) -> Result<(), FactsError> {
        self.run("begin").await?;
        match self.participant {
            Participant::Payments => self.read_rows(PAYMENTS, range, facts, add_payment).await?,
            Participant::Inventory => self.read_rows(MOVEMENTS, range, facts, add_movement).await?,
            Participant::Purchases => self.read_rows(PURCHASES, range, facts, add_purchase).await?,
        }
        let participant = self.participant;
        self.read_rows(JOURNAL, range, facts, |facts, row| add_entry(facts, row, participant)).await?;
        self.run("commit").await
    }

    /// Returns the id of the transaction `places` after the start of a range.
    pub(super) async fn nth_after(&self, range: &Range, places: i64) -> Result<Option<String>, FactsError> {
        let nth_after = nth_after(self.participant);
        Ok(self.rows(&nth_after, &[&range.after, &places]).await?.first().map(|row| row.get(0)))
    }

    /// Reads the stock of every product. Only inventory has stock.
    pub(super) async fn stock(&self) -> Result<Vec<StockLevel>, FactsError> {
        let rows = self.rows(STOCK, &[]).await?;
        let stock = rows.iter().map(|row| StockLevel {
            product_id: row.get(0),
            initial: row.get(1),
            quantity: row.get(2),
            restocked: row.get(3),
            decremented: row.get(4),
            restored: row.get(5),
        });
        Ok(stock.collect())
    }

    async fn read_rows(
        &self,
        sql: &str,
        range: &Range,
        facts: &mut Facts,
        add: impl Fn(&mut Facts, &Row),
    ) -> Result<(), FactsError> {
        let rows = match &range.up_to {
            None => self.rows(sql, &[&range.after]).await?,
            Some(up_to) => self.rows(&format!("{sql}{UP_TO}"), &[&range.after, up_to]).await?,
        };
        rows.iter().for_each(|row| add(facts, row));
        Ok(())
    }

    async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, FactsError> {
        self.connection.client().query(sql, parameters).await.map_err(|source| self.error(source))
    }

    async fn run(&self, sql: &str) -> Result<(), FactsError> {
        self.connection.client().batch_execute(sql).await.map_err(|source| self.error(source))
    }

    fn error(&self, source: tokio_postgres::Error) -> FactsError {
        FactsError::Statement { service: self.participant.as_str(), source }
    }
}

// The columns' domains allow only the values matched below.

fn add_payment(facts: &mut Facts, row: &Row) {
    let status = match row.get(1) {
        "success" => PaymentStatus::Captured,
        "compensated" => PaymentStatus::Refunded,
        _ => PaymentStatus::Refused,
    };
    facts.transaction(row.get(0)).payments.push(Payment { cents: row.get(2), status });
}

fn add_purchase(facts: &mut Facts, row: &Row) {
    let status = match row.get(1) {
        "success" => PurchaseStatus::Live,
        _ => PurchaseStatus::Cancelled,
    };
    facts.transaction(row.get(0)).purchases.push(Purchase { cents: row.get(2), status });
}

fn add_movement(facts: &mut Facts, row: &Row) {
    let kind = match row.get(1) {
        "decrement" => MovementKind::Decrement,
        _ => MovementKind::Restore,
    };
    facts.transaction(row.get(0)).movements.push(Movement { kind, at: row.get(2) });
}

fn add_entry(facts: &mut Facts, row: &Row, participant: Participant) {
    let kind = match row.get(1) {
        "charge" | "decrease" | "create" => OperationKind::Action,
        _ => OperationKind::Compensation,
    };
    let decision = match row.get::<_, i16>(2) {
        200 => Decision::Done,
        _ => Decision::Refused,
    };
    facts.transaction(row.get(0)).journal.push(Entry {
        participant,
        kind,
        decision,
        tombstone: row.get(3),
        from_saga: row.get(4),
        attempt: row.get(5),
        epoch: row.get(6),
        at: row.get(7),
    });
}
