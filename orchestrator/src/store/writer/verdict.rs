//! Why writes changed nothing: decided after the commit, from the rows in the table. A barrier follows the reads: a
//! verdict must not rest on a row that is lost at a failover.

use std::collections::HashMap;

use common::db::{Bound, Connection};
use common::group_commit::BatchError;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::store::reader::{parse_direction, parse_status};
use saga_engine::SagaId;
use saga_engine::record::{Change, KeyScope, LogWrite, RowState, WriteReport, judge};

const ROWS: &str = "
    select id, owner_incarnation, epoch, status, direction, ended_at, cancel_requested_at is not null, begin_nonce,
           created_at
    from saga where id = any($1)";

const KEY_HOLDERS: &str = "
    with i as (select * from unnest($1::text[], $2::text[], $3::bool[]) as i(user_id, key, is_gid))
    select s.id, s.user_id, s.idempotency_key, false
    from saga s join i on s.user_id = i.user_id and s.idempotency_key = i.key
    union all
    select s.id, s.user_id, s.idempotency_key, false
    from saga s join i on i.user_id is null and not i.is_gid and s.user_id is null and s.idempotency_key = i.key
    union all
    select s.id, null, s.gid, true from saga s join i on i.is_gid and s.gid = i.key";

/// Returns the reason for each item that changed nothing. Without it, an error leaves the whole batch in doubt.
pub(super) async fn verdicts(
    connection: &mut Connection,
    incarnation: Uuid,
    items: &[&LogWrite],
) -> Result<HashMap<SagaId, WriteReport>, BatchError> {
    let ids: Vec<Uuid> = items.iter().map(|item| item.saga_id.0).collect();
    let scoped: Vec<ScopedKey> = items.iter().filter_map(|item| key_of(item)).collect();
    let users: Vec<Option<String>> = scoped.iter().map(|(scope, _)| user_of(scope)).collect();
    let keys: Vec<String> = scoped.iter().map(|(_, key)| key.clone()).collect();
    let are_gids: Vec<bool> = scoped.iter().map(|(scope, _)| *scope == KeyScope::Gid).collect();
    let mut statements = vec![Bound::new(ROWS).with(ids)];
    if !keys.is_empty() {
        statements.push(Bound::new(KEY_HOLDERS).with(users).with(keys).with(are_gids));
    }
    let mut found = connection.query_behind_barrier(&statements).await?.into_iter();
    let rows: HashMap<Uuid, RowState> = found.next().iter().flatten().map(|row| (row.get(0), row_state(row))).collect();
    let holders: HashMap<ScopedKey, SagaId> =
        found.next().iter().flatten().map(|row| (scoped_key(row), SagaId(row.get(0)))).collect();
    let judged = items.iter().map(|item| {
        let report = match (rows.get(&item.saga_id.0), key_of(item).and_then(|key| holders.get(&key))) {
            (None, Some(&holder)) => WriteReport::KeyHeld(holder),
            (row, _) => judge(item, incarnation, row),
        };
        (item.saga_id, report)
    });
    Ok(judged.collect())
}

/// An idempotency key with its scope.
pub(super) type ScopedKey = (KeyScope, String);

/// Returns the key of a begin.
pub(super) fn key_of(item: &LogWrite) -> Option<ScopedKey> {
    let Change::Begin { saga, .. } = &item.change else { return None };
    saga.key.as_ref().map(|key| (key.scope.clone(), key.key.clone()))
}

fn user_of(scope: &KeyScope) -> Option<String> {
    match scope {
        KeyScope::User(user) => Some(user.clone()),
        KeyScope::Sagas | KeyScope::Gid => None,
    }
}

fn scoped_key(row: &Row) -> ScopedKey {
    let scope = match (row.get::<_, Option<String>>(1), row.get(3)) {
        (Some(user), _) => KeyScope::User(user),
        (None, true) => KeyScope::Gid,
        (None, false) => KeyScope::Sagas,
    };
    (scope, row.get(2))
}

fn row_state(row: &Row) -> RowState {
    RowState {
        owner_incarnation: row.get(1),
        epoch: row.get(2),
        status: parse_status(row.get(3)),
        direction: parse_direction(row.get(4)),
        created_at: row.get(8),
        ended_at: row.get(5),
        cancel_requested: row.get(6),
        begin_nonce: row.get(7),
    }
}
