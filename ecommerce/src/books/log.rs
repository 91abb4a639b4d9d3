//! The saga log's side of the books.

use std::collections::HashMap;

use common::{config::Settings, db::Connection};
use orchestrator::{
    checkout::StockRule,
    invariants::{Books, Saga},
    store::row_text,
};
use saga_engine::Status;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{BooksError, open, range::Range};

/// The newest saga when the audit starts. Later sagas are not audited.
const NEWEST: &str = "select id from saga order by id desc limit 1";

const AFTER: &str = "\
    select id, status, ended_at, definition, (amount * 100)::bigint, attention, timeline
      from saga where id > $1 and id <= $2 order by id limit $3";

const KNOWN: &str = "\
    select id, status, ended_at, definition, (amount * 100)::bigint, attention, timeline
      from saga where id = any($1::uuid[])";

pub(super) struct Log(Connection);

impl Log {
    pub(super) async fn open(settings: &Settings) -> Result<Self, BooksError> {
        Ok(Self(open(settings, orchestrator::SERVICE).await?))
    }

    pub(super) async fn newest(&self) -> Result<Option<Uuid>, BooksError> {
        Ok(self.rows(NEWEST, &[]).await?.first().map(|row| row.get(0)))
    }

    /// Reads the first sagas of a range; returns the last one read.
    pub(super) async fn read_after(
        &self,
        range: &Range,
        newest: Uuid,
        limit: i64,
        books: &mut Books,
    ) -> Result<Option<Uuid>, BooksError> {
        let rows = self.rows(AFTER, &[&range.after_saga, &newest, &limit]).await?;
        for row in &rows {
            let id: Uuid = row.get(0);
            books.page(&id.to_string()).saga = Some(saga(row));
        }
        Ok(rows.last().map(|row| row.get(0)))
    }

    /// Reads the log again for transactions without a saga at the first read. Sagas found now began in between and
    /// count as running: their effects were read too early to judge them.
    pub(super) async fn read_missing(&self, books: &mut Books) -> Result<(), BooksError> {
        let without_saga = books.transactions.iter().filter(|(_, page)| page.saga.is_none());
        let missing: HashMap<Uuid, String> = without_saga
            .filter_map(|(id, _)| Some((Uuid::parse_str(id).ok()?, id.clone())))
            // Sagas write a UUID in this spelling only.
            .filter(|(uuid, id)| uuid.to_string() == *id)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = missing.keys().copied().collect();
        for row in &self.rows(KNOWN, &[&ids]).await? {
            let begun = Saga { status: Status::Pending, ended_at: None, ..saga(row) };
            books.page(&missing[&row.get::<_, Uuid>(0)]).saga = Some(begun);
        }
        Ok(())
    }

    async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, BooksError> {
        let rows = self.0.client().query(sql, parameters).await;
        rows.map_err(|source| BooksError::Statement { service: orchestrator::SERVICE, source })
    }
}

fn saga(row: &Row) -> Saga {
    Saga {
        // The column's check constraint allows no other value.
        status: Status::parse(row.get(1)).unwrap_or(Status::Pending),
        ended_at: row.get(2),
        stock_rule: StockRule::of_definition(row.get(3)),
        cents: row.get(4),
        attention: row.get(5),
        steps: row_text::to_steps(row.get(6)),
    }
}
