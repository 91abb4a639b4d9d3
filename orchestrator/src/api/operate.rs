//! Operations on a saga that was started: cancel, retry, resolve; the attention list; and the release of a hold. Each
//! is one conditional update, whichever node owns the saga.

use chrono::{DateTime, Utc};
use common::http::{ApiError, Request, Response, StatusCode, json, page};
use common::wire::requests::ResolveRequest;
use serde::Serialize;
use smol_str::SmolStr;
use utoipa::ToSchema;
use uuid::Uuid;

use super::secret::{self, ReadFrom};
use super::view::SagaView;
use super::{ApiContext, list, saga_id, unknown, unreadable};
use crate::store::flags::{self, After, Attention, Flagged, Resolved};
use crate::store::hold;
use crate::store::reader::id_of;
use saga_engine::coordinator::CoordinatorMsg;
use saga_engine::hold::Hold;
use saga_engine::recovery::RecoveryMsg;
use saga_engine::stored::{Resolution, StoredSaga};
use saga_engine::{SagaId, Status};

/// A saga with a cancel or retry request.
#[derive(Serialize, ToSchema)]
#[schema(as = AskedOfSaga)]
pub(super) struct Asked {
    transaction_id: SagaId,
    status: Status,
    message: &'static str,
}

pub(super) async fn cancel(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let id = saga_id(&request)?;
    secret::check_saga(&api, &request, id, ReadFrom::Reserve).await?;
    let cancel = || async {
        let flagged = api.saga_log.read_in_reserve(move |connection| Box::pin(flags::cancel(connection, id))).await;
        flagged.map_err(unreadable)
    };
    let status = set(id, unknown::find(&api, id, cancel).await?)?;
    // Saves the wait until the owner's next heartbeat reads the flag.
    let _ = api.coordinator.cast(CoordinatorMsg::Cancel(id));
    let message = "Cancel requested: completed steps are being reverted";
    Ok(json(StatusCode::ACCEPTED, &Asked { transaction_id: id, status, message }))
}

pub(super) async fn retry(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let id = saga_id(&request)?;
    let retry = || async {
        let flagged = api.saga_log.read_in_reserve(move |connection| Box::pin(flags::retry(connection, id))).await;
        flagged.map_err(unreadable)
    };
    let status = set(id, unknown::find(&api, id, retry).await?)?;
    let _ = api.recovery.cast(RecoveryMsg::LookNow);
    let message = "Retry requested: the saga is retried now";
    Ok(json(StatusCode::ACCEPTED, &Asked { transaction_id: id, status, message }))
}

/// Result of a release.
#[derive(Serialize, ToSchema)]
pub(super) struct Released {
    /// Whether there was a hold.
    released: bool,
    /// Time when the hold began.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    held_since: Option<DateTime<Utc>>,
    /// Reason of the hold.
    #[schema(required)]
    reason: Option<String>,
}

pub(super) async fn release(api: ApiContext, _: Request) -> Result<Response, ApiError> {
    let was = api.saga_log.read_in_reserve(move |connection| Box::pin(hold::release(connection))).await;
    let was = was.map_err(unreadable)?;
    let released = was.is_some();
    let (held_since, reason) = was.map(|Hold { since, reason }| (since, reason)).unzip();
    Ok(json(StatusCode::OK, &Released { released, held_since, reason }))
}

fn set(id: SagaId, flagged: Flagged) -> Result<Status, ApiError> {
    match flagged {
        Flagged::Set(status) => Ok(status),
        Flagged::HasEnded(status) => {
            Err(ApiError::conflict(format!("the saga has ended: {status}")).with_transaction_id(id))
        }
    }
}

/// Result of a retry of the whole attention list.
#[derive(Serialize, ToSchema)]
pub(super) struct Woken {
    /// Number of sagas that are retried now.
    woken: u64,
}

pub(super) async fn retry_all(api: ApiContext, _: Request) -> Result<Response, ApiError> {
    // Not in the reserve that recovery uses: the update may cover many rows.
    let woken = api.saga_log.read(move |connection| Box::pin(flags::retry_all(connection))).await;
    let woken = woken.map_err(unreadable)?;
    let _ = api.recovery.cast(RecoveryMsg::LookNow);
    Ok(json(StatusCode::ACCEPTED, &Woken { woken }))
}

/// A saga that a person has settled.
#[derive(Serialize, ToSchema)]
#[schema(as = Resolution)]
pub(super) struct ResolutionView {
    transaction_id: SagaId,
    status: Status,
    #[serde(with = "common::wire::rfc3339")]
    resolved_at: DateTime<Utc>,
    note: String,
    /// Name of the person who settled it, if it was given.
    #[schema(required)]
    by: Option<String>,
}

pub(super) async fn resolve(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let id = saga_id(&request)?;
    let ResolveRequest { note, by } = request.json(ApiError::bad_fields_422)?;
    let resolve = || {
        let (note, by) = (note.clone(), by.clone());
        let read = api.saga_log.read_in_reserve(move |connection| {
            Box::pin(async move { flags::resolve(connection, id, &note, by.as_deref()).await })
        });
        async { read.await.map_err(unreadable) }
    };
    match unknown::find(&api, id, resolve).await? {
        Resolved::Recorded(status, Resolution { at, note, by }) => {
            Ok(json(StatusCode::OK, &ResolutionView { transaction_id: id, status, resolved_at: at, note, by }))
        }
        Resolved::RunsForward => {
            let detail = "the saga runs forward, so there is nothing to settle yet: cancel it first";
            Err(ApiError::conflict(detail).with_transaction_id(id))
        }
        Resolved::NotInAttention(status) => {
            let detail = format!("the saga is {status} and not in the attention list");
            Err(ApiError::conflict(detail).with_transaction_id(id))
        }
    }
}

/// A page of the attention list.
#[derive(Serialize, ToSchema)]
#[schema(as = AttentionPage)]
pub(super) struct Page {
    /// Number of sagas on all pages, counted up to 10,000.
    total: i64,
    /// `false` if there are more sagas than the total; omitted if it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_is_exact: Option<bool>,
    transactions: Vec<AttentionView>,
    /// Sagas of this page whose rows cannot be read.
    unreadable: Vec<UnreadableView>,
    /// Cursor of the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A saga in the attention list.
#[derive(Serialize, ToSchema)]
#[schema(as = SagaInAttention)]
pub(super) struct AttentionView {
    #[serde(flatten)]
    saga: SagaView,
    /// Name of its definition.
    #[schema(value_type = String)]
    definition: SmolStr,
    /// Version of its definition.
    version: i32,
    attention: AttentionReason,
}

/// A saga in the attention list whose row cannot be read.
#[derive(Serialize, ToSchema)]
#[schema(as = UnreadableSaga)]
pub(super) struct UnreadableView {
    transaction_id: SagaId,
    reason: String,
    #[serde(with = "common::wire::rfc3339")]
    since: DateTime<Utc>,
}

/// Why the saga is in the attention list.
#[derive(Serialize, ToSchema)]
#[schema(as = Attention)]
struct AttentionReason {
    reason: String,
    #[serde(with = "common::wire::rfc3339")]
    since: DateTime<Utc>,
    age_seconds: i64,
    /// The step whose compensation is not confirmed, or else the step that failed last.
    #[schema(required)]
    step: Option<String>,
    attempts: u32,
    #[schema(required)]
    last_error: Option<String>,
    /// Time of the next retry, if the saga sleeps until then.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    next_try_at: Option<DateTime<Utc>>,
}

pub(super) async fn attention(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let part = page::Page::of(&request.query, read_cursor).map_err(ApiError::bad_fields_422)?;
    let (after, rows) = (After(part.cursor), part.rows());
    let (total, mut rows) = api
        .saga_log
        .read_list(move |connection| Box::pin(flags::attention(connection, after, rows)))
        .await
        .map_err(unreadable)?;
    let next_cursor = part.cut(&mut rows, |last| format!("{}_{}", last.since.timestamp_micros(), id_of(&last.saga)));
    let now = api.world.now();
    let (mut transactions, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for Attention { saga, reason, since, next_try } in rows {
        match saga {
            Ok(saga) => transactions.push(view(saga, api.cells.own(), Mark { reason, since, next_try }, now)),
            Err(row) => unreadable.push(UnreadableView { transaction_id: row.id, reason, since }),
        }
    }
    let (total, total_is_exact) = list::shown(total);
    Ok(json(StatusCode::OK, &Page { total, total_is_exact, transactions, unreadable, next_cursor }))
}

/// A mark of the attention list.
struct Mark {
    reason: String,
    since: DateTime<Utc>,
    next_try: Option<DateTime<Utc>>,
}

fn view(saga: StoredSaga, cell: u8, mark: Mark, now: DateTime<Utc>) -> AttentionView {
    let Mark { reason, since, next_try } = mark;
    // Compensations run backwards: the last step whose compensation is not confirmed, or whose repeat by a later owner
    // is not confirmed, is the one that blocks.
    let undo = saga.timeline.iter().rev().find_map(|step| {
        let undo = step.compensation.as_ref().filter(|undo| undo.error.is_some() || undo.finished_at.is_none())?;
        Some((step.step.to_string(), undo.attempts, undo.error.clone()))
    });
    let failed = || {
        let step = saga.timeline.iter().find(|step| step.error.is_some())?;
        Some((step.step.to_string(), step.attempts, step.error.clone()))
    };
    let (step, attempts, last_error) = match undo.or_else(failed) {
        Some((step, attempts, error)) => (Some(step), attempts, error),
        None => (None, 0, None),
    };
    let age_seconds = (now - since).num_seconds().max(0);
    let attention = AttentionReason { reason, since, age_seconds, step, attempts, last_error, next_try_at: next_try };
    let (definition, version) = (saga.definition.clone(), saga.definition_version);
    AttentionView { saga: SagaView::of_row(saga, cell), definition, version, attention }
}

fn read_cursor(text: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let (micros, id) = text.split_once('_')?;
    let since = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    Some((since, id.parse().ok()?))
}
