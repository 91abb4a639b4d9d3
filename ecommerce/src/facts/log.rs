//! The saga log's side of the facts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use common::{config::Settings, db::Connection};
use orchestrator::{
    checkout::StockRule,
    invariants::{Facts, Saga},
    store::row_text,
};
use saga_engine::Status;
use serde_json::Value;
use smol_str::SmolStr;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{FactsError, open, range::Range};

/// The newest saga when the audit starts. Later sagas are not audited.
const NEWEST: &str = "select id from saga order by id desc limit 1";

const AFTER: &str = "\
    select id, status, ended_at, definition, (amount * 100)::bigint, attention, timeline, definition_version,
           resolved_at is not null
      from saga where id > $1 and id <= $2 order by id limit $3";

const KNOWN: &str = "\
    select id, status, ended_at, definition, (amount * 100)::bigint, attention, timeline, definition_version,
           resolved_at is not null
      from saga where id = any($1::uuid[])";

/// The saga that is a number of places before the newest one, purchases aside.
const NTH_NEWEST: &str = "select id from saga where user_id is null and id <= $1 order by id desc offset $2 limit 1";

const DEFINITIONS: &str = "select name, version, body from saga_definition";

pub(super) struct Log {
    connection: Connection,
    /// The steps of each definition that have a compensation.
    compensable: HashMap<(String, i32), Arc<[SmolStr]>>,
}

impl Log {
    pub(super) async fn open(settings: &Settings) -> Result<Self, FactsError> {
        let connection = open(settings, orchestrator::SERVICE).await?;
        let mut log = Self { connection, compensable: HashMap::new() };
        for row in log.rows(DEFINITIONS, &[]).await? {
            log.compensable.insert((row.get(0), row.get(1)), compensable(row.get(2)));
        }
        Ok(log)
    }

    /// Returns the newest saga whose journals are not read, if the named participants' journals of `limit` sagas are.
    pub(super) async fn nth_newest(&self, newest: Uuid, limit: i64) -> Result<Option<Uuid>, FactsError> {
        Ok(self.rows(NTH_NEWEST, &[&newest, &limit]).await?.first().map(|row| row.get(0)))
    }

    pub(super) async fn newest(&self) -> Result<Option<Uuid>, FactsError> {
        Ok(self.rows(NEWEST, &[]).await?.first().map(|row| row.get(0)))
    }

    /// Reads the first sagas of a range; returns the last one read.
    pub(super) async fn read_after(
        &self,
        range: &Range,
        newest: Uuid,
        limit: i64,
        facts: &mut Facts,
    ) -> Result<Option<Uuid>, FactsError> {
        let rows = self.rows(AFTER, &[&range.after_saga, &newest, &limit]).await?;
        for row in &rows {
            let id: Uuid = row.get(0);
            facts.transaction(&id.to_string()).saga = Some(self.saga(row));
        }
        Ok(rows.last().map(|row| row.get(0)))
    }

    /// Reads the log again for transactions without a saga at the first read. Sagas found now began in between and
    /// count as running: their effects were read too early to judge them.
    pub(super) async fn read_missing(&self, facts: &mut Facts) -> Result<(), FactsError> {
        let without_saga = facts.transactions.iter().filter(|(_, transaction)| transaction.saga.is_none());
        let missing: BTreeSet<Uuid> = without_saga
            // The id may be the key of a step, `<saga id>:<step>`.
            .map(|(id, _)| id.split_once(':').map_or(id.as_str(), |(saga, _)| saga))
            .filter(|id| facts.transactions.get(*id).is_none_or(|transaction| transaction.saga.is_none()))
            .filter_map(|id| Some((Uuid::parse_str(id).ok()?, id)))
            // Sagas write a UUID in this spelling only.
            .filter(|(uuid, id)| uuid.to_string() == *id)
            .map(|(uuid, _)| uuid)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = missing.into_iter().collect();
        for row in &self.rows(KNOWN, &[&ids]).await? {
            let begun = Saga { status: Status::Pending, ended_at: None, ..self.saga(row) };
            facts.transaction(&row.get::<_, Uuid>(0).to_string()).saga = Some(begun);
        }
        Ok(())
    }

    async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, FactsError> {
        let rows = self.connection.client().query(sql, parameters).await;
        rows.map_err(|source| FactsError::Statement { service: orchestrator::SERVICE, source })
    }

    fn saga(&self, row: &Row) -> Saga {
        let definition: String = row.get(3);
        Saga {
            // The column's domain allows no other value.
            status: Status::parse(row.get(1)).unwrap_or(Status::Pending),
            ended_at: row.get(2),
            stock_rule: StockRule::of_definition(&definition),
            cents: row.get(4),
            attention: row.get(5),
            is_settled: row.get(8),
            steps: row_text::to_steps(row.get(6)),
            compensable: self.compensable.get(&(definition, row.get(7))).cloned(),
        }
    }
}

/// Returns the steps with a compensation of a definition in its canonical form.
fn compensable(body: &str) -> Arc<[SmolStr]> {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let steps = body["steps"].as_array().into_iter().flatten();
    steps
        .filter(|step| !step["compensation"].is_null())
        .filter_map(|step| Some(step["name"].as_str()?.into()))
        .collect()
}
