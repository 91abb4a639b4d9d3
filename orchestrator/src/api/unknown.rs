//! Sagas that the log does not hold: 404 once it is certain that it never will, 503 with the time by which that is known
//! until then. Of any saga that once was in the log the answer is what the log holds.

use chrono::{DateTime, Utc};
use common::http::ApiError;

use super::{Desk, unreadable};
use crate::store::decided::{self, Decided};
use saga_engine::SagaId;

/// Reads what the log holds of a saga; a second time, once that is the last word, where the first has found nothing.
pub(super) async fn find<T, Read, Reading>(desk: &Desk, id: SagaId, read: Read) -> Result<T, ApiError>
where
    Read: Fn() -> Reading,
    Reading: Future<Output = Result<Option<T>, ApiError>>,
{
    if let Some(found) = read().await? {
        return Ok(found);
    }
    until_decided(desk, id).await?;
    read().await?.ok_or_else(|| ApiError::not_found(format!("there is no saga {id}")))
}

/// Returns once a look at the log is the last word on whether there is such a saga.
///
/// # Errors
/// The answer where it is not: 503 with the time from which on it may be.
pub(super) async fn until_decided(desk: &Desk, id: SagaId) -> Result<(), ApiError> {
    // No node makes ids of another kind.
    let Some(decided_by) = id.decided_by(desk.begin_limit) else { return Ok(()) };
    let look = desk.saga_log.read(move |connection| Box::pin(decided::look(connection, decided_by)));
    let look = look.await.map_err(unreadable)?;
    match decided::judge(decided_by, look) {
        Decided::Yes => Ok(()),
        Decided::By(time) => Err(undecided(id, time, look.now)),
    }
}

/// Answers that it is not known whether the log holds a saga or will.
pub(super) fn in_doubt(desk: &Desk, id: SagaId) -> ApiError {
    let now = desk.clock.now();
    undecided(id, id.decided_by(desk.begin_limit).unwrap_or(now), now)
}

fn undecided(id: SagaId, decided_by: DateTime<Utc>, now: DateTime<Utc>) -> ApiError {
    let detail = "it is not known whether this purchase was accepted; from decided_by on its status tells";
    let wait_ms = u64::try_from((decided_by - now).num_milliseconds()).unwrap_or(0);
    ApiError::unavailable(detail, wait_ms.div_ceil(1_000).max(1)).with_transaction_id(id).with_decided_by(decided_by)
}
