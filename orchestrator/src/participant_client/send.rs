//! One attempt over HTTP.

use std::time::{Duration, SystemTime};

use chrono::Utc;
use common::db;
use common::http::{HeaderName, HeaderValue, unindexed};
use common::http::{TraceContext, trace_header};
use common::wire;
use http_body_util::Full;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use tokio::time::Instant;

use super::Arguments;
use super::breaker::Health;
use super::connection::{Connection, NoAnswer, Outgoing};
use super::judgement::{Reply, classify, retry_after, unknown};
use saga_engine::definition::Method;
use saga_engine::outcome::{Failure, Outcome, Sent};
use saga_engine::trace;
use saga_engine::world::Call;

/// Makes a call, and returns the outcome and the participant's health. `since` is the time of the request: the timeout
/// includes the time in the queue.
pub(super) async fn send(to: &Arguments, call: &Call, since: Instant) -> (Outcome, Health) {
    let left = call.timeout.saturating_sub(since.elapsed());
    if left.is_zero() {
        let outcome = unknown(
            Failure::timeout(&to.service),
            "the timeout passed before the call was sent",
            Duration::ZERO,
            Sent::Nothing,
        );
        return (outcome, Health::NotAsked);
    }
    let outcome = attempt(to, call, left).await;
    let health = match outcome {
        Outcome::Done(_) | Outcome::Undone(..) | Outcome::Refused(_) => Health::Answered,
        Outcome::Unknown(_) => Health::Failed,
    };
    (outcome, health)
}

/// If nothing was sent because a replica does not answer, the same attempt tries another replica.
async fn attempt(to: &Arguments, call: &Call, left: Duration) -> Outcome {
    let give_up = Instant::now() + left;
    let mut others = to.replicas.len().saturating_sub(1);
    loop {
        let chosen = to.replicas.next();
        let outcome = ask(chosen.connection(), to, call, give_up).await;
        let nobody_there = matches!(&outcome, Outcome::Unknown(unknown) if unknown.sent == Sent::Nothing);
        if nobody_there {
            chosen.rest();
        }
        if !nobody_there || others == 0 || Instant::now() >= give_up {
            return outcome;
        }
        others -= 1;
    }
}

/// Calls one replica, and records the call in the saga's trace.
async fn ask(connection: &Connection, to: &Arguments, call: &Call, give_up: Instant) -> Outcome {
    let step = trace::of_call(&to.tracer, call);
    let part = step.child();
    let began = step.sampled.then(SystemTime::now);
    let (outcome, status) = exchange(connection, to, call, give_up, part).await;
    if let Some(began) = began {
        trace::record_attempt(&to.tracer, &part, call, began, &outcome, status);
    }
    outcome
}

/// Returns the status of the answer too, if there is one.
async fn exchange(
    connection: &Connection,
    to: &Arguments,
    call: &Call,
    give_up: Instant,
    part: TraceContext,
) -> (Outcome, Option<u16>) {
    let unavailable =
        |detail: &str, sent| (unknown(Failure::unavailable(&to.service), detail, Duration::ZERO, sent), None);
    let head = match Head::of(to, call, part) {
        Ok(head) => head,
        Err(reason) => return unavailable(&reason, Sent::Nothing),
    };
    match connection.ask(|| head.request(call), give_up).await {
        Ok(answered) => {
            let header = |name| answered.headers().get(name).and_then(|value| value.to_str().ok());
            let reply = Reply {
                status: answered.status().as_u16(),
                decision: header(wire::SAGA_DECISION),
                action: header(wire::SAGA_ACTION),
                retry_after: header("retry-after").map_or(Duration::ZERO, |text| retry_after(text, Utc::now())),
                body: answered.body(),
            };
            (classify(&to.service, call, &reply), Some(reply.status))
        }
        Err(NoAnswer::NotSent(reason)) => unavailable(&reason, Sent::Nothing),
        Err(NoAnswer::Lost(reason)) => unavailable(&reason, Sent::Maybe),
        Err(NoAnswer::Late) => {
            (unknown(Failure::timeout(&to.service), "no answer in time", Duration::ZERO, Sent::Maybe), None)
        }
    }
}

/// The parts of a request that are the same each time it is sent.
struct Head {
    uri: Uri,
    saga_id: HeaderValue,
    step: HeaderValue,
    traceparent: HeaderValue,
    bearer: Option<HeaderValue>,
    timelines: Option<HeaderValue>,
}

impl Head {
    fn of(to: &Arguments, call: &Call, part: TraceContext) -> Result<Head, String> {
        let uri = to.replicas.base().at(&call.request.path).map_err(|error| error.to_string())?;
        let saga_id = HeaderValue::try_from(call.saga_id.to_string()).map_err(|error| error.to_string())?;
        Ok(Head {
            uri,
            saga_id: unindexed(saga_id),
            step: HeaderValue::try_from(&*call.step).map_err(|error| error.to_string())?,
            traceparent: unindexed(trace_header(&part)),
            bearer: to.bearer.clone(),
            timelines: timelines(),
        })
    }

    fn request(&self, call: &Call) -> Outgoing {
        let mut request = Outgoing::new(Full::from(call.request.body.clone().unwrap_or_default()));
        *request.method_mut() = match call.request.method {
            Method::Get => hyper::Method::GET,
            Method::Post => hyper::Method::POST,
            Method::Put => hyper::Method::PUT,
            Method::Patch => hyper::Method::PATCH,
            Method::Delete => hyper::Method::DELETE,
        };
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.reserve(9);
        headers.insert(SAGA_ID, self.saga_id.clone());
        headers.insert(SAGA_STEP, self.step.clone());
        headers.insert(SAGA_ATTEMPT, HeaderValue::from(call.attempt));
        headers.insert(SAGA_EPOCH, HeaderValue::from(call.epoch));
        headers.insert(TRACEPARENT, self.traceparent.clone());
        if call.request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(bearer) = &self.bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        if let Some(timelines) = &self.timelines {
            headers.insert(DATABASE_TIMELINE, timelines.clone());
        }
        request
    }
}

/// Returns the timelines of the databases of this process, for participants that have not heard of a failover.
fn timelines() -> Option<HeaderValue> {
    let known: Vec<String> = db::timelines().iter().map(ToString::to_string).collect();
    (!known.is_empty()).then(|| HeaderValue::try_from(known.join(", ")).ok()).flatten()
}

const DATABASE_TIMELINE: HeaderName = HeaderName::from_static(wire::DATABASE_TIMELINE);
const SAGA_ID: HeaderName = HeaderName::from_static(wire::SAGA_ID);
const SAGA_STEP: HeaderName = HeaderName::from_static(wire::SAGA_STEP);
const SAGA_ATTEMPT: HeaderName = HeaderName::from_static(wire::SAGA_ATTEMPT);
const SAGA_EPOCH: HeaderName = HeaderName::from_static(wire::SAGA_EPOCH);
const TRACEPARENT: HeaderName = HeaderName::from_static(wire::TRACEPARENT);
