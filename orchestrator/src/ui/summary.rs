//! `GET /ui/api/summary`: how many sagas stand how, and how fast and how slowly they ended lately.
//!
//! It is read from the saga log, so it is the same at every replica, and costs the same with a thousand sagas and with a
//! million: what runs and what needs attention has indexes of its own, the rates look at the newest ends only, and the
//! number of all that ever ended is counted while it is small and estimated from then on. All who look share one answer
//! a second.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::http::{ApiError, Request, Response, StatusCode, with_body};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Ui;
use crate::api::unreadable;
use crate::store::overview::{self, Overview};

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer.
#[derive(Default)]
pub(super) struct Cache(Mutex<Option<(Instant, Vec<u8>)>>);

/// The system in numbers.
#[derive(Serialize, ToSchema)]
#[schema(as = Summary)]
pub(super) struct SummaryView {
    /// By the clock of the database.
    #[serde(with = "common::wire::rfc3339")]
    now: DateTime<Utc>,
    /// Running forward.
    pending: i64,
    /// Turned back, not undone yet.
    compensating: i64,
    /// Could not be undone yet; goes on being retried.
    failed: i64,
    /// Those that a person should look at.
    attention: i64,
    /// Whether all of those four were counted; each is counted up to 10,000.
    standing_is_exact: bool,
    /// How the others ended.
    ended: EndedView,
    /// The last minutes in seconds, oldest first; seconds in which nothing ended are left out.
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
    /// Whether they were counted; estimated from the statistics of the database if not.
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
    /// Time from its acceptance to its end, of the slowest of the quicker half, in milliseconds.
    p50_ms: f64,
    /// Of the slowest of the quickest 90 %.
    p90_ms: f64,
    /// Of the slowest of the quickest 99 %.
    p99_ms: f64,
}

pub(super) async fn show(ui: Ui, _: Request) -> Result<Response, ApiError> {
    // Held while it is read, so that all others wait for the one answer.
    let mut cache = ui.summary.0.lock().await;
    if let Some((at, body)) = cache.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        let _ = at;
        return Ok(with_body(StatusCode::OK, "application/json", body.clone()));
    }
    let read = ui.desk.saga_log.read_list(|connection| Box::pin(overview::overview(connection)));
    let view = view(read.await.map_err(unreadable)?);
    let body = serde_json::to_vec(&view).map_err(|error| ApiError::internal(error.to_string()))?;
    *cache = Some((Instant::now(), body.clone()));
    Ok(with_body(StatusCode::OK, "application/json", body))
}

fn view(overview: Overview) -> SummaryView {
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
