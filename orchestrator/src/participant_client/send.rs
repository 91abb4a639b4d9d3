//! One attempt over HTTP.

use std::time::{Duration, SystemTime};

use common::http::trace::TraceContext;
use common::reason::with_causes;
use common::wire;
use tokio::time::Instant;

use super::Arguments;
use super::breaker::Health;
use super::judgement::{Reply, classify, unknown};
use crate::saga::definition::Method;
use crate::saga::outcome::{Failure, Outcome, Sent};
use crate::saga::trace;
use crate::world::Call;

/// Makes a call, and says what it tells of the participant. `since` is when it was asked for: waiting in line counts.
pub(super) async fn send(to: &Arguments, call: &Call, since: Instant) -> (Outcome, Health) {
    let left = call.timeout.saturating_sub(since.elapsed());
    if left.is_zero() {
        let outcome =
            unknown(Failure::timeout(to.service), "its time was up before it was sent", Duration::ZERO, Sent::Nothing);
        return (outcome, Health::NotAsked);
    }
    let outcome = attempt(to, call, left).await;
    let health = match outcome {
        Outcome::Done(_) | Outcome::Refused(_) => Health::Answered,
        Outcome::Unknown(_) => Health::Failed,
    };
    (outcome, health)
}

/// Where nothing could be sent because nobody is there, another replica is asked in the same attempt.
async fn attempt(to: &Arguments, call: &Call, left: Duration) -> Outcome {
    let give_up = Instant::now() + left;
    let mut others = to.replicas.len().saturating_sub(1);
    loop {
        let (replica, http) = to.replicas.next();
        let left = give_up.saturating_duration_since(Instant::now());
        let outcome = ask(&http, to, call, left).await;
        let nobody_there = matches!(&outcome, Outcome::Unknown(unknown) if unknown.sent == Sent::Nothing);
        if nobody_there {
            replica.rest();
        }
        if !nobody_there || others == 0 || Instant::now() >= give_up {
            return outcome;
        }
        others -= 1;
    }
}

/// Asks one replica, and records that as a part of the saga's trace.
async fn ask(http: &reqwest::Client, to: &Arguments, call: &Call, left: Duration) -> Outcome {
    let step = trace::of_call(&to.tracer, call);
    let part = step.child();
    let began = step.sampled.then(SystemTime::now);
    let (outcome, status) = exchange(http, to, call, left, part).await;
    if let Some(began) = began {
        trace::record_attempt(&to.tracer, &part, call, began, &outcome, status);
    }
    outcome
}

/// Returns the status of the answer too, if there was one.
async fn exchange(
    http: &reqwest::Client,
    to: &Arguments,
    call: &Call,
    left: Duration,
    part: TraceContext,
) -> (Outcome, Option<u16>) {
    let url = format!("{}{}", to.base, call.request.path);
    let mut request = match call.request.method {
        Method::Get => http.get(url),
        Method::Post => http.post(url),
        Method::Delete => http.delete(url),
    }
    .timeout(left)
    .header(wire::SAGA_ID, call.saga_id.to_string())
    .header(wire::SAGA_STEP, call.step)
    .header(wire::SAGA_ATTEMPT, call.attempt)
    .header(wire::SAGA_EPOCH, call.epoch)
    .header(wire::TRACEPARENT, part.to_header());
    if let Some(body) = &call.request.body {
        request = request.header("content-type", "application/json").body(body.clone());
    }
    if let Some(bearer) = &to.bearer {
        request = request.header("authorization", bearer);
    }
    let answered = async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (decision, retry_after) = (header(wire::SAGA_DECISION), header("retry-after"));
        let body = response.bytes().await?;
        Ok::<_, reqwest::Error>((status, decision, retry_after, body))
    };
    match answered.await {
        Ok((status, decision, retry_after, body)) => {
            let reply =
                Reply { status, decision: decision.as_deref(), retry_after: retry_after.as_deref(), body: &body };
            (classify(to.service, call, &reply), Some(status))
        }
        Err(error) => {
            let failure = match error.is_timeout() && !error.is_connect() {
                true => Failure::timeout(to.service),
                false => Failure::unavailable(to.service),
            };
            let sent = if error.is_connect() { Sent::Nothing } else { Sent::Maybe };
            (unknown(failure, &with_causes(&error), Duration::ZERO, sent), None)
        }
    }
}
