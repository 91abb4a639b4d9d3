//! `GET /ui/api/attention`: the attention list by causes, with the sums of their amounts.
//!
//! Many sagas often have one cause, such as a participant that is unavailable. The sagas themselves are pages of
//! `/saga/attention`.

use chrono::{DateTime, Utc};
use common::http::{ApiError, Request, Response, StatusCode, json};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Ui;
use crate::api::unreadable;
use crate::store::flags::{self, Cause};
use crate::store::lists::COUNTED;

/// The attention list by causes.
#[derive(Serialize, ToSchema)]
#[schema(as = AttentionCauses)]
pub(super) struct CausesView {
    /// The node's time.
    #[serde(with = "common::wire::rfc3339")]
    now: DateTime<Utc>,
    /// Number of sagas in the list, counted up to 10,000.
    sagas: i64,
    /// Whether there are no more.
    is_exact: bool,
    /// The causes, the one that waits longest first.
    causes: Vec<CauseView>,
}

/// Sagas that have a definition and a reason in common.
#[derive(Serialize, ToSchema)]
#[schema(as = AttentionCause)]
struct CauseView {
    definition: String,
    version: i32,
    reason: String,
    /// Number of the sagas.
    sagas: i64,
    /// Sum of their amounts; null if they have none.
    #[schema(required, value_type = Option<f64>)]
    #[serde(serialize_with = "as_amount")]
    amount: Option<i64>,
    /// Time when the first of them entered the list.
    #[serde(with = "common::wire::rfc3339")]
    since: DateTime<Utc>,
    /// Time of the first retry; null if none of them sleeps.
    #[serde(with = "common::wire::rfc3339::option")]
    #[schema(required)]
    next_try_at: Option<DateTime<Utc>>,
}

pub(super) async fn show(ui: Ui, _: Request) -> Result<Response, ApiError> {
    let read = ui.api.saga_log.read_list(|connection| Box::pin(flags::attention_causes(connection)));
    let causes = read.await.map_err(unreadable)?;
    let sagas: i64 = causes.iter().map(|cause| cause.sagas).sum();
    let is_exact = sagas <= COUNTED;
    let causes = causes.into_iter().map(view).collect();
    let now = ui.api.world.now();
    Ok(json(StatusCode::OK, &CausesView { now, sagas: sagas.min(COUNTED), is_exact, causes }))
}

fn view(cause: Cause) -> CauseView {
    let Cause { definition, version, reason, sagas, cents, since, next_try } = cause;
    CauseView { definition, version, reason, sagas, amount: cents, since, next_try_at: next_try }
}

/// Writes cents as a number with two decimals, whatever their sum.
fn as_amount<S: Serializer>(cents: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(cents) = cents else { return serializer.serialize_none() };
    let digits = format!("{}.{:02}", cents / 100, cents % 100);
    RawValue::from_string(digits).map_err(serde::ser::Error::custom)?.serialize(serializer)
}
