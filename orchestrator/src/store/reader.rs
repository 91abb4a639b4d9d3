//! Reads one saga of the saga log, by id or by idempotency key.

use std::time::Duration;

use common::db::Connection;
use common::http::SecretHash;
use common::ids::{ProductId, UserId};
use common::money::Money;
use common::reason::with_causes;
use smol_str::SmolStr;
use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;
use tracing::warn;

use crate::checkout::Order;
use crate::store::row_text;
use crate::store::writer::columns_of;
use saga_engine::definition::Input;
use saga_engine::failed::{Marks, WokenBy};
use saga_engine::log::Direction;
use saga_engine::record::{Fingerprint, KeyScope};
use saga_engine::stored::{ReadRow, Resolution, StoredSaga, UnreadableRow};
use saga_engine::takeover::LeftBy;
use saga_engine::{SagaId, Status};

/// The columns of [`from_row`], in its order; `s` is the table. No value makes an expression fail: the statement would
/// fail for all rows. Only the newest 100 takeovers are read, for sagas that are claimed over and over.
macro_rules! columns {
    () => {
        "s.id, s.definition, s.definition_version, s.user_id, s.amount::text, s.product_wanted, s.outputs,
         s.status::text, s.direction::text, s.error, s.timeline, s.epoch, s.deaths, s.cancel_requested_at is not null,
         case when isfinite(s.deadline_at)
              then greatest(0, extract(epoch from s.deadline_at - clock_timestamp()) * 1000)::bigint end,
         s.created_at, s.ended_at, s.attention,
         case when s.epoch > 1 then
             (select json_agg(t order by t.epoch)::text
              from (select node, epoch, at, unowned_ms from saga_takeover where saga_id = s.id
                    order by epoch desc limit 100) t) end,
         s.failed_marks, s.woken, s.input, s.started, s.secret_hash, s.resolved_at, s.resolved_note, s.resolved_by"
    };
}
pub(crate) use columns;

/// The columns that a saga keeps when its row moves at its end.
macro_rules! kept {
    () => {
        "id, definition, definition_version, user_id, amount, product_wanted, input, idempotency_key, gid, secret_hash,
         begin_nonce, owner_node, owner_incarnation, epoch, cancel_requested_at, retry_requested_at, deadline_at,
         created_at, failed_marks, woken"
    };
}
pub(crate) use kept;

const BY_ID: &str = concat!("select ", columns!(), " from saga s where s.id = $1");

/// The order of lists, for API descriptions. Ids sort by time, so it is the primary key backwards.
pub(crate) const NEWEST_FIRST: &str = "Newest first is by transaction id, that is, by the clock of the node that \
    accepted the saga: if a clock was set back, or clocks differ, a later saga can be listed below an earlier one. The order of sagas never changes.";
const SECRET: &str = "select secret_hash from saga where id = $1";
const HAS: &str = "select exists (select from saga where id = $1)";
const BY_KEY: &str = concat!(
    "select ",
    columns!(),
    ", k.fingerprint, k.fingerprint_version from saga_key k join saga s on s.id = k.saga_id
      where k.key = $1 and k.user_id = $2 and k.scope = $3"
);

/// Reads one saga.
///
/// # Errors
/// The error of the database.
pub async fn by_id(connection: &mut Connection, id: SagaId) -> Result<Option<ReadRow>, tokio_postgres::Error> {
    Ok(connection.query_opt(BY_ID, &[&id.0]).await?.as_ref().map(from_row))
}

/// Tells whether the log has a saga.
///
/// # Errors
/// The error of the database.
pub async fn has(connection: &mut Connection, id: SagaId) -> Result<bool, tokio_postgres::Error> {
    Ok(connection.query_one(HAS, &[&id.0]).await?.get(0))
}

/// Reads the hash of the client's secret for a saga; `None` if there is no such saga.
///
/// # Errors
/// The error of the database.
pub async fn secret_of(
    connection: &mut Connection,
    id: SagaId,
) -> Result<Option<Result<Option<SecretHash>, UnreadableRow>>, tokio_postgres::Error> {
    let row = connection.query_opt(SECRET, &[&id.0]).await?;
    Ok(row.map(|row| value(&row, 0).and_then(secret).map_err(|reason| UnreadableRow { id, epoch: 0, reason })))
}

/// A saga that was started with a key.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The saga.
    pub saga: StoredSaga,
    /// The hash of its order; `None` if the row holds none.
    pub fingerprint: Option<Fingerprint>,
}

/// Finds the saga that holds a key of a scope.
///
/// # Errors
/// The error of the database.
pub async fn by_key(
    connection: &mut Connection,
    scope: &KeyScope,
    key: &str,
) -> Result<Option<Result<KeyHolder, UnreadableRow>>, tokio_postgres::Error> {
    let (scope, user_id) = columns_of(scope);
    let row = connection.query_opt(BY_KEY, &[&key, &user_id, &scope]).await?;
    Ok(row.map(|row| {
        let hash: Option<Vec<u8>> = row.get("fingerprint");
        let fingerprint = hash.map(|hash| Fingerprint { version: row.get("fingerprint_version"), hash });
        from_row(&row).map(|saga| KeyHolder { saga, fingerprint })
    }))
}

/// Reads a row of [`columns`].
///
/// # Errors
/// [`UnreadableRow`] for a value that this program does not write: no decision rests on a guess. An unreadable timeline
/// is not an error: it is only displayed, and reads as empty.
pub(crate) fn from_row(row: &Row) -> ReadRow {
    let (id, epoch) = (SagaId(row.get(0)), row.get(11));
    read(row).map_err(|reason| UnreadableRow { id, epoch, reason })
}

fn read(row: &Row) -> Result<StoredSaga, String> {
    let outputs: String = value(row, 6)?;
    let remaining_ms: Option<i64> = value(row, 14)?;
    Ok(StoredSaga {
        id: SagaId(value(row, 0)?),
        definition: value::<String>(row, 1)?.into(),
        definition_version: value(row, 2)?,
        input: match value::<Option<String>>(row, 21)? {
            Some(input) => serde_json::from_str(&input).map(Input::new).map_err(|error| format!("input: {error}"))?,
            None => order(row)?.to_input(),
        },
        started: match value::<Option<String>>(row, 22)? {
            Some(started) => started.split(',').map(SmolStr::new).collect(),
            None => Vec::new(),
        },
        secret: secret(value(row, 23)?)?,
        outputs: serde_json::from_str(&outputs).map_err(|error| format!("outputs: {error}"))?,
        status: parse_status(&value::<String>(row, 7)?),
        direction: parse_direction(&value::<String>(row, 8)?),
        error: value(row, 9)?,
        timeline: row_text::to_steps(&value::<String>(row, 10)?),
        epoch: value(row, 11)?,
        deaths: value(row, 12)?,
        cancel_requested: value(row, 13)?,
        remaining: match remaining_ms {
            Some(ms) => Duration::from_millis(u64::try_from(ms).unwrap_or(0)),
            None => return Err("deadline_at: it is infinite".to_owned()),
        },
        created_at: value(row, 15)?,
        ended_at: value(row, 16)?,
        attention: value(row, 17)?,
        resolution: resolution(row),
        takeovers: match value::<Option<String>>(row, 18)? {
            Some(takeovers) => serde_json::from_str(&takeovers).unwrap_or_default(),
            None => Vec::new(),
        },
        marks: Marks {
            count: u32::try_from(value::<i32>(row, 19)?).unwrap_or(0),
            woken_by: if value(row, 20)? { WokenBy::Confirmation } else { WokenBy::Time },
        },
        left_by: LeftBy::Loss,
    })
}

/// Only displayed, so a value that cannot be read is left out.
fn resolution(row: &Row) -> Option<Resolution> {
    let at = value::<Option<_>>(row, 24).ok()??;
    let text = |column| value::<Option<String>>(row, column).ok().flatten();
    Some(Resolution { at, note: text(25).unwrap_or_default(), by: text(26) })
}

fn secret(hash: Option<Vec<u8>>) -> Result<Option<SecretHash>, String> {
    let read = |hash: Vec<u8>| {
        let length = hash.len();
        hash.try_into().map(SecretHash).map_err(|_| format!("secret_hash: it has {length} bytes, not 32"))
    };
    hash.map(read).transpose()
}

fn order(row: &Row) -> Result<Order, String> {
    let user: String = value(row, 3)?;
    let amount: String = value(row, 4)?;
    let product: Option<String> = value(row, 5)?;
    Ok(Order {
        user_id: UserId::parse(&user).map_err(|error| format!("user_id: {error}"))?,
        product_id: match product {
            Some(id) => Some(ProductId::parse(&id).map_err(|error| format!("product_wanted: {error}"))?),
            None => None,
        },
        amount: Money::parse(&amount).map_err(|error| format!("amount: {error}"))?,
    })
}

fn value<T: FromSqlOwned>(row: &Row, index: usize) -> Result<T, String> {
    row.try_get(index).map_err(|error| with_causes(&error))
}

/// Returns the id of a row of a list.
pub(crate) fn id_of(row: &ReadRow) -> SagaId {
    match row {
        Ok(saga) => saga.id,
        Err(unreadable) => unreadable.id,
    }
}

/// Drops the rows of a list that cannot be read, with a log line each.
pub(crate) fn readable(rows: Vec<ReadRow>) -> Vec<StoredSaga> {
    rows.into_iter().filter_map(if_readable).collect()
}

/// Returns a row that can be read; logs any other.
pub(crate) fn if_readable(row: ReadRow) -> Option<StoredSaga> {
    let row = row.inspect_err(
        |row| warn!(saga.id = %row.id, reason = row.reason, "a row that cannot be read was left out of a list"),
    );
    row.ok()
}

/// Reads a status column. The column's domain allows no other value.
pub(crate) fn parse_status(text: &str) -> Status {
    Status::parse(text).expect("the domain allows only these")
}

/// Reads a direction column. The column's domain allows no other value.
pub(crate) fn parse_direction(text: &str) -> Direction {
    match text {
        "forward" => Direction::Forward,
        _ => Direction::Compensating,
    }
}
