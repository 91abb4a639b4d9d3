//! Writes to the saga log, one transaction per batch: begins in one statement, ends in another, all other changes in a
//! third, sent in one round trip with the commit. Reads of states share the transaction, with a barrier. If items changed
//! nothing, a separate statement after the commit finds out why: it sees the state at the end of the transaction or a
//! later one, and both are true answers. The row of a saga is in `saga_open` until its end.
//!
//! Events go into `saga_event` in the statement that makes them true, unless the row of an ended saga contains them
//! ([`row_events`](super::row_events)). PENDING is written with the first event of its saga. Changes of steps that no
//! caller awaits come first in a transaction: they are older than any write of their saga in it.

mod columns;
mod item;
mod receipt;
mod statements;
mod verdict;

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use common::db::{BatchStatement, Bound, Connection};
use common::group_commit::{BatchError, BatchWriter, Receipt, Try};
use common::http::TraceContext;
use common::traces::Tracer;
use tokio_postgres::Row;
use uuid::Uuid;

pub(in crate::store) use self::columns::columns_of;
pub use self::item::{LogAnswer, LogItem, SagaState, StateRead};

use self::columns::{BeginColumns, ChangeColumns, Columns};
use self::statements::{BEGIN, BEGIN_AGAIN, BEGIN_WITH_ALL, CHANGE, END, END_WITH_ALL, STATES, TAKE_BACK};
use self::verdict::{ScopedKey, key_of, verdicts};
use crate::store::events::{NewSteps, insert_steps};
use crate::store::reader::parse_status;
use saga_engine::owner::Owner;
use saga_engine::record::{Batching, Change, LogWrite, WriteReport};
use saga_engine::{SagaId, trace};

/// Writes batches of [`LogWrite`]s for one owner.
pub struct SagaLogWriter {
    owner: Arc<Owner>,
    begin_limit_ms: i64,
    tracer: Tracer,
}

impl SagaLogWriter {
    /// Makes a writer for the process that is `owner`. A saga begins within `begin_limit` of the time in its id.
    pub fn new(owner: Arc<Owner>, begin_limit: Duration, tracer: Tracer) -> SagaLogWriter {
        SagaLogWriter { owner, begin_limit_ms: i64::try_from(begin_limit.as_millis()).unwrap_or(i64::MAX), tracer }
    }
}

impl BatchWriter for SagaLogWriter {
    type Item = LogItem;
    type Answer = LogAnswer;

    fn key(item: &LogItem) -> Cow<'_, str> {
        Cow::Owned(match item {
            // A saga has at most one write in flight, so the key separates nothing; the order of a retry relies on it.
            LogItem::Write(write) => write.saga_id.to_string(),
            // These share a batch with anything: they are written in queue order, before all others.
            LogItem::Steps(steps) => {
                format!("steps {:?}", steps.first().map(|first| (first.saga_id, first.changes.as_ptr())))
            }
            LogItem::Read(read) => format!("read {}", read.number),
        })
    }

    fn goes_alone(item: &LogItem) -> bool {
        matches!(item, LogItem::Write(write) if write.batching == Batching::None)
    }

    fn traced(&self, item: &LogItem) -> Option<(TraceContext, &'static str)> {
        match item {
            LogItem::Write(write) => Some((trace::of_saga(&self.tracer, write.saga_id), write.change.name())),
            LogItem::Steps(_) | LogItem::Read(_) => None,
        }
    }

    fn receipt(item: &LogItem, answer: &LogAnswer) -> Option<Receipt> {
        receipt::of(item, answer)
    }

    async fn write(
        &self,
        connection: &mut Connection,
        items: &[LogItem],
        attempt: Try,
    ) -> Result<Vec<LogAnswer>, BatchError> {
        let mut steps = NewSteps::default();
        let mut writes: Vec<&LogWrite> = Vec::with_capacity(items.len());
        let mut ids_to_read = Vec::new();
        for item in items {
            match item {
                LogItem::Write(write) => writes.push(write),
                LogItem::Steps(of_sagas) => of_sagas.iter().for_each(|of_saga| steps.push(of_saga)),
                LogItem::Read(read) => ids_to_read.push(read.id.0),
            }
        }
        let (states, reports) = self.run(connection, steps, &ids_to_read, &writes, attempt).await?;
        let mut reports = reports.into_iter();
        let answer = |item: &LogItem| match item {
            LogItem::Write(_) => reports.next().map(LogAnswer::Report),
            LogItem::Steps(_) => Some(LogAnswer::StepsWritten),
            LogItem::Read(read) => Some(LogAnswer::State(states.iter().find(|state| state.id == read.id).copied())),
        };
        Ok(items.iter().filter_map(answer).collect())
    }
}

impl SagaLogWriter {
    /// Writes the changes of steps and the awaited writes, and reads states. Returns the states, and a report for each
    /// write, in their order.
    async fn run(
        &self,
        connection: &mut Connection,
        steps: NewSteps,
        ids_to_read: &[Uuid],
        items: &[&LogWrite],
        attempt: Try,
    ) -> Result<(Vec<SagaState>, Vec<WriteReport>), BatchError> {
        let (mut begins, mut changes, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for &item in items {
            match item.change {
                Change::Begin { .. } => begins.push(item),
                Change::Outputs | Change::TurnBack { .. } | Change::MarkFailed { .. } => changes.push(item),
                Change::End { .. } => ends.push(item),
            }
        }
        begins.sort_by_key(|item| sort_key(item));
        changes.sort_by_key(|item| item.saga_id);
        ends.sort_by_key(|item| item.saga_id);
        let mut statements = Vec::with_capacity(4);
        if !ids_to_read.is_empty() {
            statements.push(Bound::new(STATES).with(ids_to_read));
        }
        let is_of_steps = !steps.is_empty();
        if is_of_steps {
            statements.push(insert_steps(&self.owner, steps));
        }
        // Whether a begin may be in the log already.
        let is_repeated = attempt == Try::Again || begins.iter().any(|item| item.was_in_doubt);
        if !begins.is_empty() {
            statements.extend(self.begin(&begins, is_repeated));
        }
        if !changes.is_empty() {
            statements.push(self.change(&changes));
        }
        if !ends.is_empty() {
            statements.push(self.end(&ends));
        }
        let answers = match ids_to_read {
            [] => connection.finish(&statements).await?,
            [..] => connection.finish_behind_barrier(&statements).await?,
        };
        let mut answers = answers.into_iter();
        let mut states = Vec::new();
        if !ids_to_read.is_empty() {
            states.extend(answers.next().iter().flatten().map(state));
        }
        if is_of_steps {
            answers.next();
        }
        let mut written: HashMap<SagaId, WriteReport> = HashMap::with_capacity(items.len());
        let durable = |row: &Row, cancel_requested| WriteReport::Durable { cancel_requested, at: row.get(1) };
        if !begins.is_empty() {
            written.extend(answers.next().iter().flatten().map(|row| (SagaId(row.get(0)), durable(row, false))));
            if is_repeated {
                answers.next().iter().flatten().for_each(|row| _ = written.remove(&SagaId(row.get(0))));
            }
        }
        if !changes.is_empty() {
            written.extend(answers.next().iter().flatten().map(|row| (SagaId(row.get(0)), durable(row, row.get(2)))));
        }
        // After an end a cancel no longer matters.
        written.extend(answers.flatten().map(|row| (SagaId(row.get(0)), durable(&row, false))));
        let missing: Vec<&LogWrite> =
            items.iter().filter(|item| !written.contains_key(&item.saga_id)).copied().collect();
        let mut judged = if missing.is_empty() {
            HashMap::new()
        } else {
            verdicts(connection, self.owner.incarnation, &missing).await?
        };
        let report = |item: &&LogWrite| {
            let report = written.remove(&item.saga_id).or_else(|| judged.remove(&item.saga_id));
            report.unwrap_or_else(|| WriteReport::NotWritten("the batch has no report for this write".to_owned()))
        };
        Ok((states, items.iter().map(report).collect()))
    }

    fn begin<'a>(&'a self, items: &[&'a LogWrite], is_repeated: bool) -> Vec<Bound<'a>> {
        let mut c = BeginColumns::default();
        for item in items {
            if let Change::Begin { saga, ended } = &item.change {
                c.push(item, saga, ended.as_deref());
            }
        }
        let with_key = c.key_scope.iter().zip(&c.id).filter(|(scope, _)| scope.is_some());
        let (ids, with_key) = (c.id.clone(), with_key.map(|(_, id)| *id).collect::<Vec<_>>());
        let columns = if is_repeated { Columns::All } else { c.needed() };
        let statement = match (is_repeated, columns) {
            (true, _) => &BEGIN_AGAIN,
            (false, Columns::All) => &BEGIN_WITH_ALL,
            (false, Columns::Few) => &BEGIN,
        };
        let mut begin = Bound::over_rows(statement)
            .with(&self.owner.node_id)
            .with(self.owner.incarnation)
            .with(self.begin_limit_ms)
            .column(c.id)
            .column(c.definition)
            .column(c.version)
            .column(c.user_id)
            .column(c.cents)
            .column(c.product)
            .column(c.input)
            .column(c.outputs)
            .column(c.timeline)
            .column(c.nonce)
            .column(c.epoch)
            .column(c.deadline_ms)
            .column(c.age_us)
            .column(c.decided_by);
        if columns == Columns::All {
            begin = begin
                .column(c.started)
                .column(c.error)
                .column(c.key)
                .column(c.gid)
                .column(c.secret_hash)
                .column(c.attention)
                .column(c.attention_stays)
                .column(c.has_ended)
                .column(c.changes)
                .column(c.key_scope)
                .column(c.key_user)
                .column(c.fingerprint)
                .column(c.fingerprint_version);
        }
        let take_back = is_repeated.then(|| Bound::new(TAKE_BACK).with(ids).with(with_key));
        [begin].into_iter().chain(take_back).collect()
    }

    fn change<'a>(&self, items: &[&'a LogWrite]) -> Bound<'a> {
        let mut c = ChangeColumns::of(items);
        let (wake_ms, tells_status) = (take(&mut c.wake_ms), take(&mut c.tells_status));
        let (marks, waits_for) = (take(&mut c.marks), take(&mut c.waits_for));
        self.bind(&CHANGE, c, Columns::All).column(wake_ms).column(tells_status).column(marks).column(waits_for)
    }

    fn end<'a>(&self, items: &[&'a LogWrite]) -> Bound<'a> {
        let c = ChangeColumns::of(items);
        let columns = c.needed();
        let statement = match columns {
            Columns::Few => &END,
            Columns::All => &END_WITH_ALL,
        };
        self.bind(statement, c, columns)
    }

    /// Binds the parameters that changes and ends have in common.
    fn bind<'a>(&self, statement: &'static BatchStatement, c: ChangeColumns<'a>, columns: Columns) -> Bound<'a> {
        let bound = Bound::over_rows(statement)
            .with(self.owner.incarnation)
            .column(c.id)
            .column(c.epoch)
            .column(c.status)
            .column(c.direction)
            .column(c.error)
            .column(c.outputs)
            .column(c.timeline);
        match columns {
            Columns::Few => bound,
            Columns::All => bound
                .column(c.started)
                .column(c.attention)
                .column(c.attention_stays)
                .column(c.changes)
                .column(c.tells_begin),
        }
    }
}

fn state(row: &Row) -> SagaState {
    SagaState { id: SagaId(row.get(0)), status: parse_status(row.get(1)), has_ended: row.get(2) }
}

fn sort_key(item: &LogWrite) -> (Option<ScopedKey>, SagaId) {
    (key_of(item), item.saga_id)
}
