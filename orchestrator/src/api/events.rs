//! `GET /saga/events[?saga=ID]`: the changes of all sagas, or of one, as server-sent events.

use common::fields::FieldError;
use common::http::{ApiError, Request, Response, event_stream};
use uuid::Uuid;

use super::secret::{self, ReadFrom};
use super::{ApiContext, cells, unknown, unreadable};
use crate::events::listener::{ListenError, Wanted};
use crate::store::event_id::EventId;
use saga_engine::SagaId;

/// Sent by browsers when they reconnect.
const HEADER: &str = "Last-Event-ID";
/// Names the only saga whose events are sent.
pub(super) const SAGA: &str = "saga";
/// For clients that cannot set a header.
const PARAMETER: &str = "last_event_id";

/// `Retry-After` of a refused listener, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// The stream of one purchase may be that of another cell; the stream of all purchases is that of this cell.
pub(super) async fn of_any_cell(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let id = read(&request)?.saga;
    cells::answer(api, request, id, listen).await
}

async fn listen(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let wanted = read(&request)?;
    if let Some(id) = wanted.saga {
        secret::check_saga(&api, &request, id, ReadFrom::AnyServer).await?;
    }
    let mut listening = api.events.listen(wanted).await;
    if let Err(ListenError::NoSaga(id)) = listening {
        unknown::until_decided(&api, id).await?;
        listening = api.events.listen(wanted).await;
    }
    Ok(event_stream(listening.map_err(refused)?))
}

fn read(request: &Request) -> Result<Wanted, ApiError> {
    let mut errors = Vec::new();
    let mut bad = |field: &str, message: &str| errors.push(FieldError::new(field, message));
    let mut wanted = Wanted { client: request.client, ..Wanted::default() };
    if let Some(text) = request.query.get(SAGA) {
        match text.parse::<Uuid>() {
            Ok(id) => wanted.saga = Some(SagaId(id)),
            Err(_) => bad(SAGA, "expected a UUID"),
        }
    }
    // The header wins: a reconnecting browser repeats the parameter of its first request, and its last event is in the
    // header.
    let header = request.headers.get(HEADER).map(|value| (HEADER, value.to_str().unwrap_or("\u{fffd}")));
    let given = header.or_else(|| request.query.get(PARAMETER).map(|text| (PARAMETER, text)));
    if let Some((field, text)) = given.filter(|(_, text)| !text.is_empty()) {
        match text.parse::<EventId>() {
            Ok(id) => wanted.after = Some(id),
            Err(error) => bad(field, &error.to_string()),
        }
    }
    if errors.is_empty() { Ok(wanted) } else { Err(ApiError::bad_fields_422(errors)) }
}

fn refused(error: ListenError) -> ApiError {
    match error {
        ListenError::NoSaga(_) => ApiError::not_found(error.to_string()),
        ListenError::Unreadable(error) => unreadable(error),
        ListenError::Closing | ListenError::Full | ListenError::ClientFull | ListenError::Down => {
            ApiError::unavailable(error.to_string(), RETRY_AFTER_S)
        }
    }
}
