//! `GET /ui/api/recent?minutes=`: the sagas that ended within a range of time. Rates and durations by intervals of it,
//! those of the whole, and the reasons of the sagas that turned back.
//!
//! It reads the newest ends only, so it costs the same with a thousand sagas and with a million. All clients share one
//! response per range for a while.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::http::{ApiError, Request, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Ui;
use super::cached::Cached;
use crate::api::unreadable;
use crate::store::recent::{self, Interval, Reason, Recent};

/// A range of time that ends now.
#[derive(Clone, Copy)]
pub(super) struct Range {
    /// As a parameter: its minutes.
    pub(super) name: &'static str,
    minutes: i32,
    interval_s: i32,
    /// Maximum age of a cached response.
    fresh: Duration,
}

pub(super) const RANGES: [Range; 3] = [
    Range { name: "5", minutes: 5, interval_s: 5, fresh: Duration::from_secs(1) },
    Range { name: "60", minutes: 60, interval_s: 60, fresh: Duration::from_secs(5) },
    Range { name: "1440", minutes: 1_440, interval_s: 1_200, fresh: Duration::from_secs(30) },
];

/// The last response for each range.
pub(super) type Cache = [Cached; RANGES.len()];

/// The sagas that ended within a range of time.
#[derive(Serialize, ToSchema)]
#[schema(as = Recent)]
pub(super) struct RecentView {
    /// Time of the database.
    #[serde(with = "common::wire::rfc3339")]
    now: DateTime<Utc>,
    /// Length of the range.
    minutes: i32,
    /// Length of an interval in seconds.
    interval_s: i32,
    /// Time of the oldest end that was read, if there were more in the range; null if all were read.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    since: Option<DateTime<Utc>>,
    /// The whole range; null without an end in it.
    #[schema(required)]
    all: Option<IntervalView>,
    /// The intervals, oldest first; those without an end are omitted.
    intervals: Vec<IntervalView>,
    /// Why sagas turned back, the most frequent first. Numbers in a reason are shown as `…`.
    reasons: Vec<ReasonView>,
}

/// Sagas that ended within an interval.
#[derive(Serialize, ToSchema)]
#[schema(as = RecentInterval)]
struct IntervalView {
    /// Its start, in seconds since 1970.
    at: i64,
    completed: i64,
    compensated: i64,
    /// Settled by hand.
    failed: i64,
    /// Time from acceptance to end in milliseconds: half of the sagas were at most this slow.
    p50_ms: f64,
    /// 90th percentile.
    p90_ms: f64,
    /// 99th percentile.
    p99_ms: f64,
}

/// Sagas that turned back for one reason.
#[derive(Serialize, ToSchema)]
#[schema(as = RecentReason)]
struct ReasonView {
    reason: String,
    sagas: i64,
    /// Time of the latest of them.
    #[serde(with = "common::wire::rfc3339")]
    last_at: DateTime<Utc>,
}

pub(super) async fn show(ui: Ui, request: Request) -> Result<Response, ApiError> {
    let name = request.query.get("minutes").unwrap_or(RANGES[0].name);
    let Some(index) = RANGES.iter().position(|range| range.name == name) else {
        let message = format!("expected one of {}", RANGES.map(|range| range.name).join(", "));
        return Err(ApiError::bad_field_422("minutes", message));
    };
    let range = RANGES[index];
    let make = async {
        let Range { minutes, interval_s, .. } = range;
        let read =
            ui.api.saga_log.read_list(move |connection| Box::pin(recent::recent(connection, minutes, interval_s)));
        Ok(view(range, read.await.map_err(unreadable)?))
    };
    ui.recent[index].answer(range.fresh, make).await
}

fn view(range: Range, recent: Recent) -> RecentView {
    let Recent { now, since, all, intervals, reasons } = recent;
    let reason = |Reason { reason, sagas, last_at }| ReasonView { reason, sagas, last_at };
    RecentView {
        now,
        minutes: range.minutes,
        interval_s: range.interval_s,
        since,
        all: all.map(interval),
        intervals: intervals.into_iter().map(interval).collect(),
        reasons: reasons.into_iter().map(reason).collect(),
    }
}

fn interval(interval: Interval) -> IntervalView {
    let Interval { at, counts, quantiles_ms: [p50_ms, p90_ms, p99_ms] } = interval;
    let (completed, compensated, failed) = (counts.completed, counts.compensated, counts.failed);
    IntervalView { at, completed, compensated, failed, p50_ms, p90_ms, p99_ms }
}
