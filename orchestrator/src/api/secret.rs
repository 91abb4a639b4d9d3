//! `Saga-Secret`: a saga that was started with one answers only to requests that have it, or to operators. To all others
//! it does not exist.

use common::http::{ApiError, Request, SecretHash};

use super::{ApiContext, unknown, unreadable, unreadable_row};
use crate::store::reader;
use saga_engine::SagaId;

/// Checks whether a request may touch this saga.
///
/// # Errors
/// See [`Request::present_secret`].
pub(super) fn check(request: &Request, id: SagaId, stored: Option<&SecretHash>) -> Result<(), ApiError> {
    request.present_secret(id.0, stored, || unknown::not_found(id))
}

/// The connection that reads the secret of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadFrom {
    /// Any server that has the row, a standby too.
    AnyServer,
    /// The reserve, where a cancel does not wait for other reads.
    Reserve,
}

/// As [`check`], for a saga that is not read otherwise.
///
/// # Errors
/// Also 404 and 503 as [`unknown::find`].
pub(super) async fn check_saga(
    api: &ApiContext,
    request: &Request,
    id: SagaId,
    from: ReadFrom,
) -> Result<(), ApiError> {
    if let Some(saga) = api.running.get(id) {
        return check(request, id, saga.secret.as_ref());
    }
    let in_reserve = || async {
        let row = api.saga_log.read_in_reserve(move |connection| Box::pin(reader::secret_of(connection, id))).await;
        row.map_err(unreadable)
    };
    let shown = match from {
        ReadFrom::AnyServer => {
            let read = api.saga_log.read_for_display(move |connection| Box::pin(reader::secret_of(connection, id)));
            read.await.map_err(unreadable)?
        }
        ReadFrom::Reserve => None,
    };
    let stored = match shown {
        Some(stored) => stored,
        None => unknown::find(api, id, in_reserve).await?,
    };
    check(request, id, stored.map_err(unreadable_row)?.as_ref())
}
