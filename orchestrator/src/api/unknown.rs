//! Sagas that are not in the log: 404 once it is certain that they never will be, until then 503 with the time by which
//! that is decided. A saga that was ever in the log is always found there. The read before a 404 has
//! a barrier behind it, so that no server gives one that has been replaced by its standby.

use chrono::{DateTime, Utc};
use common::http::ApiError;

use super::{ApiContext, unconfirmed, unreadable};
use crate::store::decided::{self, Decided};
use saga_engine::SagaId;

/// Reads a saga from the log. If the first read finds nothing, it reads again once the absence is decided.
pub(super) async fn find<T, Read, Reading>(api: &ApiContext, id: SagaId, read: Read) -> Result<T, ApiError>
where
    Read: Fn() -> Reading,
    Reading: Future<Output = Result<Option<T>, ApiError>>,
{
    if let Some(found) = read().await? {
        return Ok(found);
    }
    until_decided(api, id).await?;
    read().await?.ok_or_else(|| not_found(id))
}

pub(super) fn not_found(id: SagaId) -> ApiError {
    ApiError::not_found(format!("there is no saga {id}"))
}

/// Returns if the log has such a saga after all, or if no node can have made its id.
///
/// # Errors
/// 404 if it is decided that there is none; until then 503 with the time by which it is decided.
pub(super) async fn until_decided(api: &ApiContext, id: SagaId) -> Result<(), ApiError> {
    // Nodes only make ids that carry a time, so there is nothing to wait for.
    let Some(decided_by) = id.decided_by(api.begin_limit) else { return Ok(()) };
    let look = api.saga_log.read(move |connection| Box::pin(decided::look(connection, decided_by)));
    let look = look.await.map_err(unreadable)?;
    match decided::judge(decided_by, look) {
        Decided::Yes => match api.replicated.state(id).await.map_err(unconfirmed(id))? {
            Some(_) => Ok(()),
            None => Err(not_found(id)),
        },
        Decided::By(time) => Err(undecided(id, time, look.now)),
    }
}

/// 503: it is not known whether the log holds the saga or will hold it.
pub(super) fn in_doubt(api: &ApiContext, id: SagaId) -> ApiError {
    let now = api.clock.now();
    undecided(id, id.decided_by(api.begin_limit).unwrap_or(now), now)
}

fn undecided(id: SagaId, decided_by: DateTime<Utc>, now: DateTime<Utc>) -> ApiError {
    let detail = "it is not known whether this saga was accepted; its status shows it, for certain from decided_by on";
    let wait_ms = u64::try_from((decided_by - now).num_milliseconds()).unwrap_or(0);
    ApiError::unavailable(detail, wait_ms.div_ceil(1_000).max(1)).with_transaction_id(id).with_decided_by(decided_by)
}
