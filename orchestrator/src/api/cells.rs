//! Cells: systems of their own, each with its services and its databases. The id of a purchase names the cell that made
//! it, so the orchestrators of every cell answer requests about it:
//!
//! ```text
//! request by id ─► own log has the saga? ─ yes ─► answered here
//!                        └ no ─► the id names another cell whose URL is known? ─ no ─► answered here
//!                                    └ yes ─► sent there once (`Saga-Cell-Forwarded`), its answer passed on
//! ```
//! The own log comes first because ids that were made before there were cells have random bits in that place.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use common::config::Settings;
use common::http::{
    ApiError, HeaderMap, HeaderName, HeaderValue, Request, Response, byte_stream, header, read_answer, trace_header,
    with_bytes,
};
use common::ids::{CELLS, cell_of};
use common::reason::with_causes;
use common::wire::{CELL_FORWARDED, FORWARDED_PREFIX, REQUEST_ID, SAGA_SECRET, TRACEPARENT};
use reqwest::Url;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{ApiContext, unreadable};
use crate::events::listener::KEEP_ALIVE;
use crate::store::reader;
use saga_engine::SagaId;

/// `Retry-After` of a cell that cannot be reached, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// Parts of a forwarded event stream that wait for the client.
const BUFFERED_PARTS: usize = 16;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Headers of a request that are passed on: those of the client, and none of the connection or the proxies.
const OF_CLIENT: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::ORIGIN,
    header::USER_AGENT,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static(SAGA_SECRET),
];

/// Headers of an answer that concern one connection (RFC 9110), and the length, which is set anew.
const OF_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// How long another cell's event stream may send nothing.
const LONGEST_SILENCE: Duration = KEEP_ALIVE.saturating_mul(3);

/// The own cell and the way to the others.
pub(crate) struct Cells {
    own: u8,
    urls: BTreeMap<u8, String>,
    http: reqwest::Client,
    /// Time limit for an answer, except the parts of an event stream.
    timeout: Duration,
    /// Cancelled when event streams end.
    closing: CancellationToken,
}

/// The cell named by an id.
pub(super) struct OtherCell {
    id: SagaId,
    cell: u8,
    url: String,
}

impl Cells {
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new(settings: &Settings, closing: CancellationToken) -> Result<Cells, reqwest::Error> {
        let (own, participants) = (settings.orchestrator.cell, &settings.participants);
        let others = (0..CELLS).filter(|cell| *cell != own);
        let urls = others.filter_map(|cell| Some((cell, settings.orchestrator.cell_url(cell)?.to_owned()))).collect();
        let http = common::tls::internal_client()
            .connect_timeout(Duration::from_millis(participants.connect_timeout_ms))
            .build()?;
        Ok(Cells { own, urls, http, timeout: Duration::from_millis(participants.timeout_ms), closing })
    }

    /// Returns the number of the own cell.
    pub(crate) fn own(&self) -> u8 {
        self.own
    }

    /// Returns the cell that a request about this saga may be forwarded to.
    pub(super) fn of(&self, id: SagaId, request: &Request) -> Option<OtherCell> {
        if self.urls.is_empty() || request.headers.contains_key(CELL_FORWARDED) {
            return None;
        }
        let cell = cell_of(id.0)?;
        self.urls.get(&cell).map(|url| OtherCell { id, cell, url: url.clone() })
    }

    async fn forward(&self, request: Request, other: OtherCell) -> Result<Response, ApiError> {
        let OtherCell { id, cell, .. } = other;
        let unreachable = |reason: String| {
            warn!(saga.id = %id, cell, reason, "a request could not be forwarded to its cell");
            let detail = format!("cell {cell}, which has this saga, does not answer; try again");
            ApiError::unavailable(detail, RETRY_AFTER_S).with_transaction_id(id)
        };
        let late = || format!("no answer within {:?}", self.timeout);
        let asked = tokio::time::timeout(self.timeout, self.ask(&request, &other.url)).await;
        let mut answer = asked.map_err(|_| late()).and_then(|answer| answer).map_err(unreachable)?;
        let (status, mut headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        for name in OF_CONNECTION {
            headers.remove(name);
        }
        let is_stream = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let mut response = if is_stream {
            byte_stream(self.pass_on(answer))
        } else {
            let body = tokio::time::timeout(self.timeout, read_answer(reqwest::Body::from(answer))).await;
            with_bytes(body.map_err(|_| late()).and_then(|body| body).map_err(unreachable)?)
        };
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn ask(&self, request: &Request, url: &str) -> Result<reqwest::Response, String> {
        let mut url = Url::parse(&format!("{url}{}", request.path)).map_err(|error| error.to_string())?;
        if !request.query.pairs().is_empty() {
            url.query_pairs_mut().extend_pairs(request.query.pairs());
        }
        // A HEAD is answered like a GET; the front leaves the body out.
        let method = match request.method {
            reqwest::Method::HEAD => reqwest::Method::GET,
            ref method => method.clone(),
        };
        let sent =
            self.http.request(method, url).headers(self.headers(request)).body(request.body.clone()).send().await;
        sent.map_err(|error| with_causes(&error.without_url()))
    }

    fn headers(&self, request: &Request) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in OF_CLIENT {
            for value in request.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        let mut set = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        set(HeaderName::from_static(CELL_FORWARDED), self.own.to_string());
        set(HeaderName::from_static(REQUEST_ID), request.request_id.clone());
        if !request.prefix.is_empty() {
            set(HeaderName::from_static(FORWARDED_PREFIX), request.prefix.clone());
        }
        if let Some(client) = request.client {
            set(FORWARDED_FOR, client.to_string());
        }
        headers.insert(HeaderName::from_static(TRACEPARENT), trace_header(&request.trace));
        headers
    }

    /// Passes the parts of an event stream on until one side ends it, or the other cell falls silent: its host may be lost,
    /// which no packet says. Listeners reconnect by themselves.
    fn pass_on(&self, mut answer: reqwest::Response) -> mpsc::Receiver<Bytes> {
        let (sender, parts) = mpsc::channel(BUFFERED_PARTS);
        let closing = self.closing.clone();
        let pass = async move {
            loop {
                let part = tokio::select! {
                    part = tokio::time::timeout(LONGEST_SILENCE, answer.chunk()) => part,
                    () = sender.closed() => return,
                };
                let Ok(Ok(Some(part))) = part else { return };
                if sender.send(part).await.is_err() {
                    return;
                }
            }
        };
        tokio::spawn(async move { closing.run_until_cancelled(pass).await });
        parts
    }
}

/// Answers a request about a saga: here, or by its cell if only that one has it.
pub(super) async fn answer<Fut>(
    api: ApiContext,
    request: Request,
    id: Option<SagaId>,
    here: impl FnOnce(ApiContext, Request) -> Fut,
) -> Result<Response, ApiError>
where
    Fut: Future<Output = Result<Response, ApiError>>,
{
    let other = id.and_then(|id| api.cells.of(id, &request));
    match other {
        Some(other) if !is_here(&api, other.id).await? => Box::pin(api.cells.forward(request, other)).await,
        _ => here(api, request).await,
    }
}

async fn is_here(api: &ApiContext, id: SagaId) -> Result<bool, ApiError> {
    if api.running.get(id).is_some() {
        return Ok(true);
    }
    api.saga_log.read(move |connection| Box::pin(reader::has(connection, id))).await.map_err(unreadable)
}
