//! Writes to the saga log, a batch a transaction: begins in one statement, ends in another, every other change in a third,
//! sent in one trip with the commit. For the items that changed nothing a statement of its own says why, once that is committed: it sees
//! what a statement at the end of the transaction would have seen, or something later, and both are true answers.
//!
//! What listeners are told goes into `saga_event` in the statement that makes it true. The changes of steps that nobody
//! awaits come first in a transaction: they are older than any write of their saga that shares it.

mod columns;
mod verdict;

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem::take;
use std::sync::{Arc, LazyLock};

use common::db::{BatchStatement, Bound, Connection};
use common::group_commit::{BatchError, BatchWriter, Try};
use common::http::TraceContext;
use common::traces::Tracer;

use self::columns::{BeginColumns, ChangeColumns};
use self::verdict::{key_of, verdicts};
use crate::saga::{SagaId, trace};
use crate::store::Owner;
use crate::store::events::{NewSteps, insert_steps};
use crate::store::record::{Change, LogItem, LogWrite, WriteReport};

// A begin needs a live lease of the process that writes it; the order of the rows is the caller's (by user and key), so
// that two nodes never wait for each other in a circle.
//
// An id or a key that is there already is rare. Plainly, it fails the batch, as a lost race does, and the batch is written
// again with the form that passes over such rows: that one costs more, since it inserts each row on probation.
static BEGIN: LazyLock<BatchStatement> = LazyLock::new(|| begin_statement(""));
static BEGIN_AGAIN: LazyLock<BatchStatement> = LazyLock::new(|| begin_statement("on conflict do nothing"));

fn begin_statement(on_conflict: &str) -> BatchStatement {
    BatchStatement::new(&format!(
        "
    with i as rows($3: id uuid, definition text, version int, user_id text, cents bigint, product text, outputs text,
                   error text, timeline text, key text, fingerprint bytea, nonce uuid, epoch int, attention text,
                   deadline_ms bigint, created_at timestamptz, ended_at timestamptz, changes text),
    begun as (
    insert into saga (id, definition, definition_version, user_id, amount, product_wanted, outputs, status, direction,
                      error, timeline, idempotency_key, fingerprint, begin_nonce, owner_node, owner_incarnation, epoch,
                      attention, attention_at, deadline_at, created_at, ended_at)
    select i.id, i.definition, i.version, i.user_id, i.cents::numeric / 100, i.product, i.outputs,
           case when i.ended_at is null then 'PENDING' else 'COMPENSATED' end,
           case when i.ended_at is null then 'forward' else 'compensating' end,
           i.error, i.timeline, i.key, i.fingerprint, i.nonce, $1::varchar, $2::uuid, i.epoch, i.attention,
           case when i.attention is not null then statement_timestamp() end,
           statement_timestamp() + i.deadline_ms * interval '1 millisecond', i.created_at, i.ended_at
    from i, node_lease l
    where l.node_id = $1::varchar and l.incarnation = $2::uuid and l.expires_at > clock_timestamp()
    {on_conflict}
    returning id)
    insert into saga_event (saga_id, changes)
    select i.id, coalesce(i.changes, '[]') from i join begun on begun.id = i.id
    returning saga_id"
    ))
}

// Who owns the row and whether it has ended are asked in a way that no index answers: `saga_unfinished` would, with every
// saga that runs, where the primary key finds those of the batch.
const OWNED: &str = "s.id = i.id and s.owner_incarnation is not distinct from $1 and s.epoch = i.epoch
      and coalesce(s.ended_at, 'infinity') = 'infinity'";

// COMPLETED only against a row that never turned back and carries no cancel. A saga that was in attention and is
// COMPENSATED after all needs nobody any more.
static END: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(&format!(
        "
    with i as rows($2: id uuid, epoch int, status text, direction text, error text, outputs text, timeline text,
                   attention text, ended_at timestamptz, changes text),
    ended as (
    update saga s
    set status = i.status, direction = coalesce(i.direction, s.direction), error = coalesce(i.error, s.error),
        outputs = i.outputs, timeline = i.timeline,
        attention = case when i.status = 'COMPENSATED' and s.status = 'FAILED' then null
                         when s.attention_until_write then i.attention
                         else coalesce(i.attention, s.attention) end,
        attention_at = case when i.status = 'COMPENSATED' and s.status = 'FAILED' then null
                            when i.attention is not null then coalesce(s.attention_at, clock_timestamp())
                            when s.attention_until_write then null
                            else s.attention_at end,
        attention_until_write = false,
        turned_at = case when i.direction = 'compensating' then coalesce(s.turned_at, i.ended_at) else s.turned_at end,
        wake_at = null, ended_at = i.ended_at, deaths = 0
    from i
    where {OWNED} and i.status not in ('PENDING', 'COMPENSATING')
      and (i.status <> 'COMPLETED' or (s.direction = 'forward' and s.cancel_requested_at is null))
    returning s.id, i.changes)
    insert into saga_event (saga_id, changes)
    select id, coalesce(changes, '[]') from ended
    returning saga_id"
    ))
});

// A write that is repeated because nobody knew of the first one finds its own status there (`was` is the row before this
// statement) and tells nobody again.
static CHANGE: LazyLock<BatchStatement> = LazyLock::new(|| {
    BatchStatement::new(&format!(
        "
    with i as rows($2: id uuid, epoch int, status text, direction text, error text, outputs text, timeline text,
                   attention text, at timestamptz, changes text, wake_ms bigint, tells_status bool, marks int,
                   waits_for text),
    changed as (
    update saga s
    set status = coalesce(i.status, s.status), direction = coalesce(i.direction, s.direction),
        error = coalesce(i.error, s.error), outputs = i.outputs, timeline = i.timeline,
        attention = case when s.attention_until_write then i.attention else coalesce(i.attention, s.attention) end,
        attention_at = case when i.attention is not null then coalesce(s.attention_at, clock_timestamp())
                            when s.attention_until_write then null
                            else s.attention_at end,
        attention_until_write = false,
        turned_at = case when i.direction = 'compensating' then coalesce(s.turned_at, i.at) else s.turned_at end,
        wake_at = clock_timestamp() + i.wake_ms * interval '1 millisecond', deaths = 0,
        failed_marks = coalesce(i.marks, s.failed_marks), waits_for = i.waits_for, woken = false
    from i
    where {OWNED}
    returning s.id, s.cancel_requested_at is not null as cancel_requested, i.changes, i.status, i.tells_status),
    told as (
    insert into saga_event (saga_id, changes)
    select c.id, c.changes from changed c
    where c.changes is not null
      and case when c.tells_status then c.status <> (select was.status from saga was where was.id = c.id) else true end)
    select id, cancel_requested from changed"
    ))
});

/// Writes batches of [`LogWrite`]s for one owner.
pub struct SagaLogWriter {
    owner: Arc<Owner>,
    tracer: Tracer,
}

impl SagaLogWriter {
    /// Makes a writer for the process that is `owner`.
    pub fn new(owner: Arc<Owner>, tracer: Tracer) -> SagaLogWriter {
        SagaLogWriter { owner, tracer }
    }
}

impl BatchWriter for SagaLogWriter {
    type Item = LogItem;
    type Answer = WriteReport;

    fn key(item: &LogItem) -> Cow<'_, str> {
        Cow::Owned(match item {
            // A saga has one write in flight, so this keeps nothing apart; it is what the order of a retry rests on.
            LogItem::Write(write) => write.saga_id.to_string(),
            // These share a batch with anything: they are written in the order of the queue, and before all others.
            LogItem::Steps(steps) => {
                format!("steps {:?}", steps.first().map(|first| (first.saga_id, first.changes.as_ptr())))
            }
        })
    }

    fn traced(&self, item: &LogItem) -> Option<(TraceContext, &'static str)> {
        match item {
            LogItem::Write(write) => Some((trace::of_saga(&self.tracer, write.saga_id), write.change.name())),
            LogItem::Steps(_) => None,
        }
    }

    async fn write(
        &self,
        connection: &mut Connection,
        items: &[LogItem],
        attempt: Try,
    ) -> Result<Vec<WriteReport>, BatchError> {
        let mut steps = NewSteps::default();
        let mut writes: Vec<&LogWrite> = Vec::with_capacity(items.len());
        for item in items {
            match item {
                LogItem::Write(write) => writes.push(write),
                LogItem::Steps(of_sagas) => of_sagas.iter().for_each(|of_saga| steps.push(of_saga)),
            }
        }
        let mut reports = self.write_all(connection, steps, &writes, attempt).await?.into_iter();
        let report = |item: &LogItem| match item {
            LogItem::Write(_) => reports.next(),
            LogItem::Steps(_) => Some(WriteReport::Durable { cancel_requested: false }),
        };
        Ok(items.iter().filter_map(report).collect())
    }
}

impl SagaLogWriter {
    /// Writes what nobody awaits and what is awaited, and returns a report for each write, in their order.
    async fn write_all(
        &self,
        connection: &mut Connection,
        steps: NewSteps,
        items: &[&LogWrite],
        attempt: Try,
    ) -> Result<Vec<WriteReport>, BatchError> {
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
        let is_of_steps = !steps.is_empty();
        if is_of_steps {
            statements.push(insert_steps(&self.owner, steps));
        }
        if !begins.is_empty() {
            statements.push(self.begin(&begins, attempt));
        }
        if !changes.is_empty() {
            statements.push(self.change(&changes));
        }
        if !ends.is_empty() {
            statements.push(self.end(&ends));
        }
        let mut answers = connection.finish(&statements).await?.into_iter().skip(usize::from(is_of_steps));
        let mut written: HashMap<SagaId, bool> = HashMap::with_capacity(items.len());
        if !begins.is_empty() {
            written.extend(answers.next().iter().flatten().map(|row| (SagaId(row.get(0)), false)));
        }
        if !changes.is_empty() {
            written.extend(answers.next().iter().flatten().map(|row| (SagaId(row.get(0)), row.get(1))));
        }
        // Whoever has written an end asks for no cancel any more.
        written.extend(answers.flatten().map(|row| (SagaId(row.get(0)), false)));
        let missing: Vec<&LogWrite> =
            items.iter().filter(|item| !written.contains_key(&item.saga_id)).copied().collect();
        let mut judged = match missing.is_empty() {
            true => HashMap::new(),
            false => verdicts(connection, self.owner.incarnation, &missing).await?,
        };
        let report = |item: &&LogWrite| match written.get(&item.saga_id) {
            Some(&cancel_requested) => WriteReport::Durable { cancel_requested },
            None => judged
                .remove(&item.saga_id)
                .unwrap_or_else(|| WriteReport::NotWritten("the batch has no report of it".to_owned())),
        };
        Ok(items.iter().map(report).collect())
    }

    fn begin<'a>(&'a self, items: &[&'a LogWrite], attempt: Try) -> Bound<'a> {
        let mut c = BeginColumns::default();
        for item in items {
            if let Change::Begin { saga, ended } = &item.change {
                c.push(item, saga, ended.as_deref());
            }
        }
        let statement = match attempt {
            Try::First => &BEGIN,
            Try::Again => &BEGIN_AGAIN,
        };
        Bound::over_rows(statement)
            .with(&self.owner.node_id)
            .with(self.owner.incarnation)
            .column(c.id)
            .column(c.definition)
            .column(c.version)
            .column(c.user_id)
            .column(c.cents)
            .column(c.product)
            .column(c.outputs)
            .column(c.error)
            .column(c.timeline)
            .column(c.key)
            .column(c.fingerprint)
            .column(c.nonce)
            .column(c.epoch)
            .column(c.attention)
            .column(c.deadline_ms)
            .column(c.created_at)
            .column(c.ended_at)
            .column(c.changes)
    }

    fn change<'a>(&self, items: &[&'a LogWrite]) -> Bound<'a> {
        let mut c = ChangeColumns::of(items);
        let (wake_ms, tells_status) = (take(&mut c.wake_ms), take(&mut c.tells_status));
        let (marks, waits_for) = (take(&mut c.marks), take(&mut c.waits_for));
        self.bind(&CHANGE, c).column(wake_ms).column(tells_status).column(marks).column(waits_for)
    }

    fn end<'a>(&self, items: &[&'a LogWrite]) -> Bound<'a> {
        self.bind(&END, ChangeColumns::of(items))
    }

    /// Binds what both kinds of changes have.
    fn bind<'a>(&self, statement: &'static BatchStatement, c: ChangeColumns<'a>) -> Bound<'a> {
        Bound::over_rows(statement)
            .with(self.owner.incarnation)
            .column(c.id)
            .column(c.epoch)
            .column(c.status)
            .column(c.direction)
            .column(c.error)
            .column(c.outputs)
            .column(c.timeline)
            .column(c.attention)
            .column(c.at)
            .column(c.changes)
    }
}

fn sort_key(item: &LogWrite) -> (String, String, SagaId) {
    let (user, key) = key_of(item).unwrap_or_default();
    (user, key, item.saga_id)
}
