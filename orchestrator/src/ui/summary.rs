//! `GET /ui/api/summary`: sagas by status, and rates and durations of recent ends.
//!
//! It is read from the saga log, so all replicas agree, and it costs the same with a thousand sagas and with a million:
//! unfinished sagas and the attention list have their own indexes, rates use the newest ends only, and the total of
//! ended sagas is counted while it is small and estimated beyond. All clients share one response per second.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::config::Settings;
use common::http::{ApiError, Request, Response, StatusCode, with_body};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Ui;
use crate::api::unreadable;
use crate::participant_client::open_breaker::{OpenBreaker, open_breakers};
use crate::store::overview::{self, Overview};

/// Maximum age of a cached response.
const FRESH: Duration = Duration::from_secs(1);

/// The last response, with its time.
#[derive(Default)]
pub(super) struct Cache(Mutex<Option<(Instant, Vec<u8>)>>);

/// Numbers of the whole system.
#[derive(Serialize, ToSchema)]
#[schema(as = Summary)]
pub(super) struct SummaryView {
    /// Time of the database.
    #[serde(with = "common::wire::rfc3339")]
    now: DateTime<Utc>,
    /// Running forward.
    pending: i64,
    /// Turned back, not undone yet.
    compensating: i64,
    /// Could not be undone yet; still retried.
    failed: i64,
    /// Sagas in the attention list.
    attention: i64,
    /// Whether these four numbers are exact; each is counted up to 10,000.
    standing_is_exact: bool,
    /// Ended sagas by status.
    ended: EndedView,
    /// Whether a purchase that turns back gives its stock back (`checkout.compensate_inventory`).
    stock_is_given_back: bool,
    /// The circuit breakers of this node that are not closed.
    breakers: Vec<OpenBreaker>,
    /// The last minutes by second, oldest first; seconds without an end are omitted.
    seconds: Vec<SecondView>,
}

/// All that ever ended.
#[derive(Serialize, ToSchema)]
#[schema(as = EndedSagas)]
struct EndedView {
    completed: i64,
    compensated: i64,
    /// Settled by hand.
    failed: i64,
    /// Whether they were counted; if not, they are estimated from the database's statistics.
    is_exact: bool,
}

/// One second.
#[derive(Serialize, ToSchema)]
#[schema(as = SummarySecond)]
struct SecondView {
    /// Seconds since 1970.
    at: i64,
    completed: i64,
    compensated: i64,
    /// Settled by hand.
    failed: i64,
    /// Time from acceptance to end in milliseconds: median.
    p50_ms: f64,
    /// 90th percentile.
    p90_ms: f64,
    /// 99th percentile.
    p99_ms: f64,
}

pub(super) async fn show(ui: Ui, _: Request) -> Result<Response, ApiError> {
    // Held during the read, so that concurrent requests share its result.
    let mut cache = ui.summary.0.lock().await;
    if let Some((at, body)) = cache.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        let _ = at;
        return Ok(with_body(StatusCode::OK, "application/json", body.clone()));
    }
    let read = ui.api.saga_log.read_list(|connection| Box::pin(overview::overview(connection)));
    let view = view(read.await.map_err(unreadable)?, open_breakers(&ui.clients), &ui.settings);
    let body = serde_json::to_vec(&view).map_err(|error| ApiError::internal(error.to_string()))?;
    *cache = Some((Instant::now(), body.clone()));
    Ok(with_body(StatusCode::OK, "application/json", body))
}

fn view(overview: Overview, breakers: Vec<OpenBreaker>, settings: &Settings) -> SummaryView {
    let Overview { now, unfinished, attention, ended, seconds } = overview;
    SummaryView {
        now,
        pending: unfinished.pending,
        compensating: unfinished.compensating,
        failed: unfinished.failed,
        attention: attention.sagas,
        standing_is_exact: unfinished.is_exact && attention.is_exact,
        ended: EndedView {
            completed: ended.counts.completed,
            compensated: ended.counts.compensated,
            failed: ended.counts.failed,
            is_exact: ended.is_exact,
        },
        stock_is_given_back: settings.checkout.compensate_inventory,
        breakers,
        seconds: seconds
            .into_iter()
            .map(|second| SecondView {
                at: second.at,
                completed: second.counts.completed,
                compensated: second.counts.compensated,
                failed: second.counts.failed,
                p50_ms: second.quantiles_ms[0],
                p90_ms: second.quantiles_ms[1],
                p99_ms: second.quantiles_ms[2],
            })
            .collect(),
    }
}
