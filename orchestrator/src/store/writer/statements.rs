//! The statements of the writer, over the columns of [`columns`](super::columns).

use std::sync::LazyLock;

use common::db::BatchStatement;

use super::columns::Columns;
use crate::store::events::pending;
use crate::store::reader::kept;

pub(super) const STATES: &str = "select id, status, ended_at is not null from saga where id = any($1)";

// The rows of a batch. Few writes use the columns of the second part, and a statement without them costs less.
const BEGIN_ROWS: [&str; 2] = [
    "id uuid, definition text, version int, user_id text, cents bigint, product text, input text, outputs text,
     timeline text, nonce uuid, epoch int, deadline_ms bigint, age_us bigint, decided_by timestamptz",
    "started text, error text, key text, gid text, secret_hash bytea, attention text, attention_stays bool, has_ended bool,
     changes text, key_scope text, key_user text, fingerprint bytea, fingerprint_version smallint",
];
const CHANGE_ROWS: [&str; 2] = [
    "id uuid, epoch int, status text, direction text, error text, outputs text, timeline text",
    "started text, attention text, attention_stays bool, changes text, tells_begin bool",
];

/// Makes the rows `i` of a statement, whose first column is the parameter `first`.
fn rows(first: usize, [few, others]: [&str; 2], columns: Columns) -> String {
    match columns {
        Columns::All => format!("i as rows(${first}: {few}, {others})"),
        Columns::Few => {
            let absent = others.split(',').filter_map(|column| column.trim().split_once(' '));
            let absent = absent.map(|(name, kind)| match kind {
                "bool" => format!("false as {name}"),
                kind => format!("null::{kind} as {name}"),
            });
            let absent: Vec<String> = absent.collect();
            format!("given as rows(${first}: {few}), i as (select given.*, {} from given)", absent.join(", "))
        }
    }
}

// A begin needs a live lease of its process, and must come before the saga's `decided_by`. A `decided_by` further ahead
// than a begin can be is not from this log's clock: readers do not wait for it, so the saga must not begin. The rows
// keep the caller's order (by user and key), so two nodes never deadlock.
//
// A duplicate id or key is rare. In the first two forms it fails the batch, as a lost race does; the batch is then
// written again in the third, which skips such rows and costs more, since each insert is speculative.
pub(super) static BEGIN: LazyLock<BatchStatement> = LazyLock::new(|| begin_statement(Columns::Few, "", ""));
pub(super) static BEGIN_WITH_ALL: LazyLock<BatchStatement> =
    LazyLock::new(|| begin_statement(Columns::All, "", "true"));
pub(super) static BEGIN_AGAIN: LazyLock<BatchStatement> = LazyLock::new(|| {
    begin_statement(Columns::All, "on conflict do nothing", "not exists (select from saga s where s.id = i.id)")
});

/// Makes a statement that writes begins. The keys are those of the sagas that meet a condition.
fn begin_statement(columns: Columns, on_conflict: &str, keys_where: &str) -> BatchStatement {
    let rows = rows(4, BEGIN_ROWS, columns);
    let others = match columns {
        Columns::Few => String::new(),
        Columns::All => format!(
            ",
    keyed as (
    insert into saga_key (scope, user_id, key, saga_id, fingerprint, fingerprint_version)
    select i.key_scope, i.key_user, coalesce(i.key, i.gid), i.id, i.fingerprint, i.fingerprint_version
    from i join begun on begun.id = i.id
    where i.key_scope is not null and {keys_where}
    {on_conflict}),
    told as (
    insert into saga_event (saga_id, changes)
    select i.id, i.changes from i join begun on begun.id = i.id where i.changes is not null)"
        ),
    };
    BatchStatement::new(&format!(
        "
    with {rows},
    begun as (
    insert into saga (id, definition, definition_version, user_id, amount, product_wanted, input, started, outputs,
                      status, direction, error, timeline, idempotency_key, gid, secret_hash, begin_nonce, owner_node,
                      owner_incarnation, epoch, attention, attention_stays, attention_at, deadline_at, created_at,
                      ended_at)
    select i.id, i.definition, i.version, i.user_id, i.cents::numeric / 100, i.product, i.input, i.started, i.outputs,
           case when i.has_ended then 'COMPENSATED' else 'PENDING' end,
           case when i.has_ended then 'compensating' else 'forward' end,
           i.error, i.timeline, i.key, i.gid, i.secret_hash, i.nonce, $1::varchar, $2::uuid, i.epoch,
           i.attention, i.attention_stays, case when i.attention is not null then statement_timestamp() end,
           statement_timestamp() + i.deadline_ms * interval '1 millisecond',
           statement_timestamp() - i.age_us * interval '1 microsecond',
           case when i.has_ended then statement_timestamp() end
    from i, node_lease l
    where l.node_id = $1::varchar and l.incarnation = $2::uuid and l.expires_at > clock_timestamp()
      and i.decided_by > clock_timestamp()
      and i.decided_by < clock_timestamp() + 2 * $3::bigint * interval '1 millisecond'
    {on_conflict}
    returning id, coalesce(ended_at, created_at) as at){others}
    select id, at from begun"
    ))
}

// Begins that this transaction must undo ($1 ids, $2 the ids with a key): of a saga that exists in another partition,
// and of one whose key another saga holds. A statement sees what was committed before it began, so this one sees the
// end of a saga whose row made way for the begin.
pub(super) const TAKE_BACK: &str = "
    with mine as materialized (
        select id from saga where id = any($1) and xmin = pg_current_xact_id()::xid),
    back as materialized (
        select id from mine
        where exists (select from saga s where s.id = mine.id and s.xmin <> pg_current_xact_id()::xid)
           or id = any($2) and not exists (select from saga_key k where k.saga_id = mine.id)),
    gone as (delete from saga s using back where s.id = back.id and s.xmin = pg_current_xact_id()::xid),
    untold as (
        delete from saga_event e using back
        where e.saga_id = back.id and e.transaction = pg_current_xact_id())
    select id from back";

// Owner and end are tested in a form that no index can serve: `saga_open_of_owner` would be scanned for every running
// saga, while the primary key finds the rows of the batch.
const OWNED: &str = "s.id = i.id and s.owner_incarnation is not distinct from $1 and s.epoch = i.epoch
      and coalesce(s.ended_at, 'infinity') = 'infinity'";

// COMPLETED only against a row that never turned back and carries no cancel. An end removes the saga from the attention
// list, unless its mark stays. With an end without changes, the row itself contains them.
pub(super) static END: LazyLock<BatchStatement> = LazyLock::new(|| end_statement(Columns::Few));
pub(super) static END_WITH_ALL: LazyLock<BatchStatement> = LazyLock::new(|| end_statement(Columns::All));

fn end_statement(columns: Columns) -> BatchStatement {
    let told = match columns {
        Columns::Few => "",
        Columns::All => concat!(
            ",
    told as (
    insert into saga_event (saga_id, changes, begins)
    select id, changes, begins from (
        select id, ",
            pending!("e"),
            " as changes, true as begins from gone e where changes is not null and tells_begin
        union all
        select id, changes, false from gone where changes is not null) told
    order by begins desc
    on conflict (saga_id) where begins do nothing)"
        ),
    };
    BatchStatement::new(&format!(
        "
    with {rows},
    gone as (
    delete from saga_open s using i
    where {OWNED} and i.status not in ('PENDING', 'COMPENSATING')
      and (i.status <> 'COMPLETED' or (s.direction = 'forward' and s.cancel_requested_at is null))
    returning s.*, i.status as now_status, i.direction as now_direction, i.error as now_error, i.started as now_started,
              i.outputs as now_outputs, i.timeline as now_timeline, i.attention as now_attention,
              i.attention_stays as now_stays, i.changes, i.tells_begin),
    ended as (
    insert into saga ({kept}, status, direction, error, started, outputs, timeline, attention, attention_at, attention_stays,
                      turned_at, ended_at, ended_transaction, ended_position)
    select {kept}, now_status, coalesce(now_direction, direction), coalesce(now_error, error), now_started, now_outputs,
           now_timeline, case when now_stays then now_attention when attention_stays then attention end,
           case when attention_stays or now_stays then coalesce(attention_at, statement_timestamp()) end,
           attention_stays or now_stays,
           case when now_direction = 'compensating' then coalesce(turned_at, statement_timestamp()) else turned_at end,
           statement_timestamp(), case when changes is null then pg_current_xact_id() end,
           case when changes is null then nextval('saga_event_position_seq') end
    from gone
    returning id, ended_at){told}
    select id, ended_at from ended",
        rows = rows(2, CHANGE_ROWS, columns),
        kept = kept!(),
    ))
}

// A write that is repeated after an unknown result finds its own status in the row (`was` is the row before this
// statement) and adds no second event.
pub(super) static CHANGE: LazyLock<BatchStatement> = LazyLock::new(|| {
    let [few, others] = CHANGE_ROWS;
    BatchStatement::new(&format!(
        "
    with i as rows($2: {few}, {others}, wake_ms bigint, tells_status bool, marks int, waits_for text),
    changed as (
    update saga_open s
    set status = coalesce(i.status, s.status), direction = coalesce(i.direction, s.direction),
        error = coalesce(i.error, s.error), started = i.started, outputs = i.outputs, timeline = i.timeline,
        attention = case when s.attention_stays and not i.attention_stays then s.attention
                         when s.attention_until_write then i.attention
                         else coalesce(i.attention, s.attention) end,
        attention_at = case when i.attention is not null then coalesce(s.attention_at, statement_timestamp())
                            when s.attention_until_write and not s.attention_stays then null
                            else s.attention_at end,
        attention_stays = s.attention_stays or i.attention_stays, attention_until_write = false,
        turned_at = case when i.direction = 'compensating' then coalesce(s.turned_at, statement_timestamp())
                         else s.turned_at end,
        wake_at = clock_timestamp() + i.wake_ms * interval '1 millisecond', deaths = 0,
        failed_marks = coalesce(i.marks, s.failed_marks), waits_for = i.waits_for, woken = false
    from i
    where {OWNED}
    returning s.id, s.cancel_requested_at is not null as cancel_requested, i.changes, i.tells_begin, i.status,
              i.tells_status, s.created_at),
    told as (
    insert into saga_event (saga_id, changes, begins)
    select id, changes, begins from (
        select id, {pending} as changes, true as begins from changed c where changes is not null and tells_begin
        union all
        select c.id, c.changes, false from changed c
        where c.changes is not null
          and case when c.tells_status then c.status <> (select was.status from saga_open was where was.id = c.id)
                   else true end) told
    order by begins desc
    on conflict (saga_id) where begins do nothing)
    select id, statement_timestamp(), cancel_requested from changed",
        pending = pending!("c")
    ))
});
