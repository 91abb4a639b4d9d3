//! One attempt over HTTP.

use std::time::{Duration, SystemTime};

use chrono::Utc;
use common::http::calls::OutgoingRequest;
use common::http::{TraceContext, version_name};
use common::redaction::redacted_url;
use common::wire;
use tokio::time::Instant;

use super::Arguments;
use super::breaker::Health;
use super::connection::{Connection, MAX_ANSWER_BYTES, NoAnswer, TooLong};
use super::headers::headers;
use super::judgement::{Reply, away, judge, retry_after, unknown};
use saga_engine::definition::Method;
use saga_engine::outcome::{Failure, Outcome, Sent};
use saga_engine::trace::{self, Exchange};
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
    attempt(to, call, left).await
}

/// If nothing was sent because a replica does not answer, the same attempt tries another replica.
async fn attempt(to: &Arguments, call: &Call, left: Duration) -> (Outcome, Health) {
    let give_up = Instant::now() + left;
    let mut others = to.replicas.len().saturating_sub(1);
    loop {
        let chosen = to.replicas.next();
        let Exchanged { outcome, health, .. } = ask(chosen.connection(), to, call, give_up).await;
        let was_sent = !matches!(&outcome, Outcome::Unknown(unknown) if unknown.sent == Sent::Nothing);
        if was_sent || health == Health::NotAsked {
            return (outcome, health);
        }
        chosen.rest();
        if others == 0 || Instant::now() >= give_up {
            return (outcome, health);
        }
        others -= 1;
    }
}

/// Calls one replica, and records the call in the saga's trace.
async fn ask(connection: &Connection, to: &Arguments, call: &Call, give_up: Instant) -> Exchanged {
    let step = trace::of_call(&to.tracer, call);
    let part = step.child();
    let began = step.sampled.then(SystemTime::now);
    let exchanged = exchange(connection, to, call, give_up, part).await;
    if let Some(began) = began {
        let exchange = trace_of(to, call, began, exchanged.answered);
        trace::record_attempt(&to.tracer, &part, call, &exchanged.outcome, exchange);
    }
    exchanged
}

/// The result of asking one replica.
struct Exchanged {
    outcome: Outcome,
    health: Health,
    answered: Option<Answered>,
}

/// Status and version of an answer.
type Answered = (u16, hyper::Version);

fn trace_of(to: &Arguments, call: &Call, began: SystemTime, answered: Option<Answered>) -> Exchange {
    let base = to.replicas.base();
    let url = base.at(&call.request.path).map(|url| url.to_string()).unwrap_or_else(|_| call.request.path.clone());
    Exchange {
        began,
        method: http_method(call.request.method).to_string(),
        url: redacted_url(&url),
        host: base.host().to_owned(),
        port: base.port(),
        status: answered.map(|(status, _)| status),
        version: answered.and_then(|(_, version)| version_name(version)),
    }
}

async fn exchange(
    connection: &Connection,
    to: &Arguments,
    call: &Call,
    give_up: Instant,
    part: TraceContext,
) -> Exchanged {
    let of = |outcome: Outcome, answered| Exchanged { health: Health::of(&outcome), outcome, answered };
    let unavailable =
        |detail: &str, sent| of(unknown(Failure::unavailable(&to.service), detail, Duration::ZERO, sent), None);
    match connection.ask(|| request(to, call, &part), give_up).await {
        Ok(answered) => {
            let header = |name| answered.headers().get(name).and_then(|value| value.to_str().ok());
            let reply = Reply {
                status: answered.status().as_u16(),
                decision: header(wire::SAGA_DECISION),
                action: header(wire::SAGA_ACTION),
                retry_after: header("retry-after").map_or(Duration::ZERO, |text| retry_after(text, Utc::now())),
                body: answered.body(),
            };
            let is_whole = answered.extensions().get::<TooLong>().is_none();
            if !is_whole && !to.judging.is_decided_by_head(&call.purpose, reply.status, reply.decision) {
                return unavailable(&format!("the answer is longer than {MAX_ANSWER_BYTES} bytes"), Sent::Maybe);
            }
            of(judge(&to.judging, &to.service, call, &reply), Some((reply.status, answered.version())))
        }
        Err(NoAnswer::Away(reason)) => of(away(&to.service, &reason), None),
        // It says nothing about the participant, whose breaker is for other sagas too.
        Err(NoAnswer::NoRequest(reason)) => {
            Exchanged { health: Health::NotAsked, ..unavailable(&reason, Sent::Nothing) }
        }
        Err(NoAnswer::NotSent(reason)) => unavailable(&reason, Sent::Nothing),
        Err(NoAnswer::Lost(reason)) => unavailable(&reason, Sent::Maybe),
        Err(NoAnswer::Late) => {
            of(unknown(Failure::timeout(&to.service), "no answer in time", Duration::ZERO, Sent::Maybe), None)
        }
    }
}

/// Returns the method of HTTP.
pub(crate) fn http_method(method: Method) -> hyper::Method {
    match method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
        Method::Put => hyper::Method::PUT,
        Method::Patch => hyper::Method::PATCH,
        Method::Delete => hyper::Method::DELETE,
    }
}

/// Makes the request of a call.
fn request(to: &Arguments, call: &Call, part: &TraceContext) -> Result<OutgoingRequest, String> {
    Ok(OutgoingRequest {
        method: http_method(call.request.method),
        target: to.replicas.base().target(&call.request.path).map_err(|error| error.to_string())?,
        headers: headers(to, call, part)?,
        body: call.request.body.clone().unwrap_or_default().into(),
    })
}
