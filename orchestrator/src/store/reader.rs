//! Reads the saga log: one saga, the list, what is unfinished.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::db::Connection;
use common::ids::{ProductId, UserId};
use common::money::Money;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::saga::definition::{Order, Outputs};
use crate::saga::log::{Direction, StepView};
use crate::saga::takeover::{LeftBy, Takeover};
use crate::saga::{SagaId, Status};
use crate::store::row_text;

/// A saga as its row holds it.
#[derive(Clone, Debug)]
pub struct StoredSaga {
    /// Its id.
    pub id: SagaId,
    /// The name of its definition.
    pub definition: String,
    /// The version of its definition.
    pub definition_version: i32,
    /// What was ordered.
    pub order: Order,
    /// What the steps gave.
    pub outputs: Outputs,
    /// Its status.
    pub status: Status,
    /// Its direction.
    pub direction: Direction,
    /// Why it turned back.
    pub error: Option<String>,
    /// The steps as people see them.
    pub timeline: Vec<StepView>,
    /// The owner's epoch.
    pub epoch: i32,
    /// How often it was claimed since its last awaited write.
    pub claims: i32,
    /// Whether a cancel was asked for.
    pub cancel_requested: bool,
    /// How much of its time is left, by the database's clock.
    pub remaining: Duration,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it ended, if it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why a person should look, if one should.
    pub attention: Option<String>,
    /// How it came to other owners, the newest last.
    pub takeovers: Vec<Takeover>,
    /// How its last owner left it; known to claims only.
    pub left_by: LeftBy,
}

/// The columns of [`StoredSaga::from_row`], in its order; `s` is the table. Of a saga whose claims never end, the newest
/// takeovers are enough.
macro_rules! columns {
    () => {
        "s.id, s.definition, s.definition_version, s.user_id, (s.amount * 100)::bigint, s.product_wanted, s.outputs,
         s.status, s.direction, s.error, s.timeline, s.epoch, s.claims, s.cancel_requested_at is not null,
         greatest(0, extract(epoch from s.deadline_at - clock_timestamp()) * 1000)::bigint, s.created_at, s.ended_at,
         s.attention,
         case when s.epoch > 1 then
             (select json_agg(t order by t.epoch)::text
              from (select node, epoch, at, unowned_ms from saga_takeover where saga_id = s.id
                    order by epoch desc limit 100) t) end"
    };
}
pub(crate) use columns;

const BY_ID: &str = concat!("select ", columns!(), " from saga s where s.id = $1");

// Ids sort by time, so "newest first" is the primary key backwards.
const LIST: &str = concat!(
    "select ",
    columns!(),
    " from saga s
      where ($1::text is null or s.status = $1) and ($2::text is null or s.user_id = $2)
        and ($3::uuid is null or s.id < $3)
      order by s.id desc limit $4"
);

const BY_KEY: &str =
    concat!("select ", columns!(), ", s.fingerprint from saga s where s.user_id = $1 and s.idempotency_key = $2");

const COUNT: &str = "
    select count(*) from saga s where ($1::text is null or s.status = $1) and ($2::text is null or s.user_id = $2)";

/// Which sagas a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these.
    pub status: Option<Status>,
    /// Only this user's.
    pub user_id: Option<UserId>,
    /// Only those older than this one.
    pub before: Option<Uuid>,
    /// At most so many.
    pub limit: i64,
}

/// Reads one saga.
///
/// # Errors
/// What the database says.
pub async fn by_id(connection: &mut Connection, id: SagaId) -> Result<Option<StoredSaga>, tokio_postgres::Error> {
    Ok(connection.query_opt(BY_ID, &[&id.0]).await?.as_ref().map(StoredSaga::from_row))
}

/// A saga that was started with a key.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The saga.
    pub saga: StoredSaga,
    /// The hash of what it was started with.
    pub fingerprint: Vec<u8>,
}

/// Finds the saga that a user's `Idempotency-Key` stands for.
///
/// # Errors
/// What the database says.
pub async fn by_key(
    connection: &mut Connection,
    user_id: &UserId,
    key: &str,
) -> Result<Option<KeyHolder>, tokio_postgres::Error> {
    let row = connection.query_opt(BY_KEY, &[&user_id.as_str(), &key]).await?;
    Ok(row.map(|row| KeyHolder {
        saga: StoredSaga::from_row(&row),
        fingerprint: row.get::<_, Option<Vec<u8>>>("fingerprint").unwrap_or_default(),
    }))
}

/// Reads a page of sagas, newest first, and how many there are on all pages.
///
/// # Errors
/// What the database says.
pub async fn list(
    connection: &mut Connection,
    filter: &Filter,
) -> Result<(i64, Vec<StoredSaga>), tokio_postgres::Error> {
    let status = filter.status.map(Status::as_str);
    let user_id = filter.user_id.as_ref().map(UserId::as_str);
    let total = connection.query_one(COUNT, &[&status, &user_id]).await?.get(0);
    let rows = connection.query(LIST, &[&status, &user_id, &filter.before, &filter.limit]).await?;
    Ok((total, rows.iter().map(StoredSaga::from_row).collect()))
}

impl StoredSaga {
    /// Reads a row of [`columns`]. What the writer wrote is what is there: a value that does not parse was not written
    /// by this program, and shows as empty rather than hiding the saga.
    pub(crate) fn from_row(row: &Row) -> StoredSaga {
        let user: &str = row.get(3);
        let product: Option<&str> = row.get(5);
        let outputs: &str = row.get(6);
        let timeline: &str = row.get(10);
        let remaining_ms: i64 = row.get(14);
        let takeovers: Option<&str> = row.get(18);
        StoredSaga {
            id: SagaId(row.get(0)),
            definition: row.get(1),
            definition_version: row.get(2),
            order: Order {
                user_id: UserId::parse(user).expect("the column holds what UserId::parse let through"),
                product_id: product.and_then(|id| ProductId::parse(id).ok()),
                amount: Money::from_cents(row.get(4)).expect("the column holds what Money::parse let through"),
            },
            outputs: serde_json::from_str(outputs).unwrap_or_default(),
            status: parse_status(row.get(7)),
            direction: parse_direction(row.get(8)),
            error: row.get(9),
            timeline: row_text::to_steps(timeline),
            epoch: row.get(11),
            claims: row.get(12),
            cancel_requested: row.get(13),
            remaining: Duration::from_millis(u64::try_from(remaining_ms).unwrap_or(0)),
            created_at: row.get(15),
            ended_at: row.get(16),
            attention: row.get(17),
            takeovers: takeovers.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            left_by: LeftBy::Loss,
        }
    }
}

/// Reads a status column. The table's check constraint allows no other.
pub(crate) fn parse_status(text: &str) -> Status {
    Status::parse(text).expect("the check constraint allows only these")
}

/// Reads a direction column. The table's check constraint allows no other.
pub(crate) fn parse_direction(text: &str) -> Direction {
    match text {
        "forward" => Direction::Forward,
        _ => Direction::Compensating,
    }
}
