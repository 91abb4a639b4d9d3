//! The headers of a call: those of its step, and over them those of the orchestrator.

use std::fmt::Display;

use common::db;
use common::http::{HeaderName, HeaderValue, TraceContext, trace_header, unindexed};
use common::wire;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use saga_definitions::is_reserved_header;

use super::Arguments;
use super::judgement::Judging;
use saga_engine::world::{Call, Purpose};

const DATABASE_TIMELINE: HeaderName = HeaderName::from_static(wire::DATABASE_TIMELINE);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(wire::IDEMPOTENCY_KEY);
const SAGA_ID: HeaderName = HeaderName::from_static(wire::SAGA_ID);
const SAGA_STEP: HeaderName = HeaderName::from_static(wire::SAGA_STEP);
const SAGA_ATTEMPT: HeaderName = HeaderName::from_static(wire::SAGA_ATTEMPT);
const SAGA_EPOCH: HeaderName = HeaderName::from_static(wire::SAGA_EPOCH);
const TRACEPARENT: HeaderName = HeaderName::from_static(wire::TRACEPARENT);

/// Makes the headers of a call, each name once.
///
/// # Errors
/// The header that cannot be sent, and why.
pub(super) fn headers(
    to: &Arguments,
    call: &Call,
    part: &TraceContext,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut headers = Vec::with_capacity(10 + call.request.headers.len());
    if call.request.body.is_some() {
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    }
    for (name, value) in &call.request.headers {
        let (name, value) = of_step(name, value)?;
        headers.retain(|(other, _)| *other != name);
        headers.push((name, value));
    }
    let saga_id = call.saga_id.to_string();
    let undo = if call.purpose == Purpose::Compensation { ":undo" } else { "" };
    let key = [&*saga_id, ":", &call.step, undo].concat();
    headers.push((SAGA_ID, unindexed(value(&SAGA_ID, saga_id)?)));
    headers.push((IDEMPOTENCY_KEY, unindexed(value(&IDEMPOTENCY_KEY, key)?)));
    headers.push((SAGA_STEP, value(&SAGA_STEP, call.step.to_string())?));
    headers.push((SAGA_ATTEMPT, HeaderValue::from(call.attempt)));
    headers.push((SAGA_EPOCH, HeaderValue::from(call.epoch)));
    headers.push((TRACEPARENT, unindexed(trace_header(part))));
    if let Some(bearer) = &to.bearer {
        headers.push((AUTHORIZATION, bearer.clone()));
    }
    // The databases of this process concern our own services alone.
    if let (Judging::Own, Some(timelines)) = (&to.judging, timelines()) {
        headers.push((DATABASE_TIMELINE, timelines));
    }
    Ok(headers)
}

fn of_step(name: &str, text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|error| refused(name, error))?;
    if is_reserved_header(parsed.as_str()) {
        return Err(refused(name, "a step may not set it"));
    }
    let text = value(&parsed, text.to_owned())?;
    Ok((parsed, text))
}

/// Values are visible ASCII, spaces and tabs; other bytes mean something else to each server.
fn value(name: &HeaderName, text: String) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text).map_err(|error| refused(name.as_str(), error))
}

fn refused(name: &str, reason: impl Display) -> String {
    format!("the header {name:?} cannot be sent: {reason}")
}

/// Returns the timelines of the databases of this process, for participants that have not heard of a failover.
fn timelines() -> Option<HeaderValue> {
    let known: Vec<String> = db::timelines().iter().map(ToString::to_string).collect();
    (!known.is_empty()).then(|| HeaderValue::try_from(known.join(", ")).ok()).flatten()
}
