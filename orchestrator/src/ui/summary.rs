//! `GET /ui/api/summary`: sagas by status, and facts about this node that the pages show.
//!
//! It is read from the saga log, so all replicas agree, and it costs the same with a thousand sagas and with a million:
//! unfinished sagas and the attention list have their own indexes, and the total of ended sagas is counted while it is
//! small and estimated beyond. All clients share one response per second.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::config::Settings;
use common::http::{ApiError, Request, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Ui;
use crate::api::unreadable;
use crate::participant_client::open_breaker::{OpenBreaker, open_breakers};
use crate::store::overview::{self, Overview};

/// Maximum age of a cached response.
const FRESH: Duration = Duration::from_secs(1);

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
    /// Address of a trace in a viewer, with `{trace_id}` in place of the trace id (`ui.trace_url`); null if not set.
    #[schema(required)]
    trace_url: Option<String>,
    /// The circuit breakers of this node that are not closed.
    breakers: Vec<OpenBreaker>,
    /// The hold on all sagas; null if there is none.
    #[schema(required)]
    hold: Option<HoldView>,
}

/// A hold on all sagas: none begins and none is recovered.
#[derive(Serialize, ToSchema)]
#[schema(as = Hold)]
struct HoldView {
    /// Time from which it is in force.
    #[serde(with = "common::wire::rfc3339")]
    since: DateTime<Utc>,
    /// The operator's reason.
    reason: String,
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

pub(super) async fn show(ui: Ui, _: Request) -> Result<Response, ApiError> {
    let make = async {
        let read = ui.api.saga_log.read_list(|connection| Box::pin(overview::overview(connection)));
        let hold = ui.api.lease.hold().map(|hold| HoldView { since: hold.since, reason: hold.reason });
        Ok(view(read.await.map_err(unreadable)?, open_breakers(&ui.clients), hold, &ui.settings))
    };
    ui.summary.answer(FRESH, make).await
}

fn view(overview: Overview, breakers: Vec<OpenBreaker>, hold: Option<HoldView>, settings: &Settings) -> SummaryView {
    let Overview { now, unfinished, attention, ended } = overview;
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
        trace_url: Some(settings.ui.trace_url.clone()).filter(|url| !url.is_empty()),
        breakers,
        hold,
    }
}
