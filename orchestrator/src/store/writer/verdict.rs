//! Why writes changed nothing: decided after the commit, from the rows in the table. A barrier follows the reads: a
//! verdict must not rest on a row that is lost at a failover.

use std::collections::HashMap;

use common::db::{Bound, Connection};
use common::group_commit::BatchError;
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::columns_of;
use crate::store::reader::{parse_direction, parse_status};
use saga_engine::SagaId;
use saga_engine::record::{Change, KeyScope, LogWrite, RowState, WriteReport, judge};

const ROWS: &str = "
    select id, owner_incarnation, epoch, status, direction, ended_at, cancel_requested_at is not null, begin_nonce,
           created_at
    from saga where id = any($1)";

const KEY_HOLDERS: &str = "
    select k.saga_id, k.scope, k.user_id, k.key
    from saga_key k join unnest($1::text[], $2::text[], $3::text[]) as i(scope, user_id, key)
        on k.key = i.key and k.user_id = i.user_id and k.scope = i.scope";

/// Returns the reason for each item that changed nothing. Without it, an error leaves the whole batch in doubt.
pub(super) async fn verdicts(
    connection: &mut Connection,
    incarnation: Uuid,
    items: &[&LogWrite],
) -> Result<HashMap<SagaId, WriteReport>, BatchError> {
    let ids: Vec<Uuid> = items.iter().map(|item| item.saga_id.0).collect();
    let scoped: Vec<ScopedKey> = items.iter().filter_map(|item| key_of(item)).collect();
    let (scopes, users): (Vec<&str>, Vec<&str>) = scoped.iter().map(|(scope, _)| columns_of(scope)).unzip();
    let keys: Vec<&str> = scoped.iter().map(|(_, key)| key.as_str()).collect();
    let mut statements = vec![Bound::new(ROWS).with(ids)];
    if !keys.is_empty() {
        statements.push(Bound::new(KEY_HOLDERS).with(scopes).with(users).with(keys));
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

fn scoped_key(row: &Row) -> ScopedKey {
    let scope = match row.get(1) {
        "user" => KeyScope::User(row.get(2)),
        "gid" => KeyScope::Gid,
        _ => KeyScope::Sagas,
    };
    (scope, row.get(3))
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
