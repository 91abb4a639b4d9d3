//! Calls to one participant: an actor that owns the HTTP clients, keeps the number of calls in flight within bounds, and
//! lets compensations go first.
//!
//! The judgement of an answer ([`classify`]) is pure, and strict: only a recorded decision refuses, only a readable 2xx is
//! done, everything else is unknown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::config::Settings;
use common::http::trace::TraceContext;
use common::http::{HeaderValue, outgoing_bearer};
use common::supervision::{ActorCard, ChildSpec, Handle, child};
use common::wire;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::error;

use crate::saga::definition::{Method, Outputs};
use crate::saga::outcome::{Failure, Outcome, Retry, Sent, Unknown};
use crate::world::{Answer, Call, Purpose};

/// A call and where its outcome goes.
pub(crate) struct Calling {
    /// What to ask.
    pub(crate) call: Call,
    /// Where the outcome goes.
    pub(crate) answer: Answer<Outcome>,
    /// When it was asked for: waiting in line counts.
    pub(crate) since: Instant,
}

/// What a client hears.
pub(crate) enum ClientMsg {
    /// Make this call.
    Call(Box<Calling>),
    /// A call has ended.
    Finished,
}

struct Client;

#[derive(Clone)]
struct Arguments {
    card: Arc<ActorCard>,
    service: &'static str,
    http: Vec<reqwest::Client>,
    base: String,
    bearer: Option<HeaderValue>,
    limit: usize,
    limit_for_actions: usize,
}

struct State {
    arguments: Arguments,
    shown: Arc<Shown>,
    next: usize,
    actions: VecDeque<Box<Calling>>,
    compensations: VecDeque<Box<Calling>>,
}

#[derive(Default)]
struct Shown {
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
}

/// Makes the client of a participant.
///
/// # Errors
/// If no HTTP client can be made.
pub(crate) fn client(
    card: Arc<ActorCard>,
    handle: Handle<ClientMsg>,
    service: &'static str,
    settings: &Settings,
) -> Result<ChildSpec, reqwest::Error> {
    let participants = &settings.participants;
    let http = (0..participants.connections.max(1))
        .map(|_| {
            reqwest::Client::builder()
                .http2_prior_knowledge()
                .tcp_nodelay(true)
                .connect_timeout(Duration::from_millis(participants.connect_timeout_ms))
                .build()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let arguments = Arguments {
        card: card.clone(),
        service,
        http,
        base: settings.service(service).url.clone(),
        bearer: outgoing_bearer(&settings.auth),
        limit: participants.max_concurrent,
        limit_for_actions: participants.max_concurrent.saturating_sub(participants.reserved_for_compensations).max(1),
    };
    Ok(child(card, handle, move || (Client, arguments.clone())))
}

impl Actor for Client {
    type Msg = ClientMsg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<ClientMsg>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        let shown = Arc::new(Shown::default());
        let (state, depth, base) = (shown.clone(), shown.clone(), arguments.base.clone());
        arguments.card.set_state(
            move || serde_json::json!({ "url": base, "in_flight": state.in_flight.load(Ordering::Relaxed) }),
        );
        arguments.card.set_queue_depth(move || depth.waiting.load(Ordering::Relaxed));
        Ok(State { arguments, shown, next: 0, actions: VecDeque::new(), compensations: VecDeque::new() })
    }

    async fn handle(
        &self,
        me: ActorRef<ClientMsg>,
        message: ClientMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.card.handled();
        match message {
            ClientMsg::Call(calling) => match calling.call.purpose {
                Purpose::Action { .. } => state.actions.push_back(calling),
                Purpose::Compensation => state.compensations.push_back(calling),
            },
            ClientMsg::Finished => {
                state.shown.in_flight.fetch_sub(1, Ordering::Relaxed);
            }
        }
        send_waiting(&me, state);
        Ok(())
    }
}

/// Sends what waits, compensations first, as far as the limits allow.
fn send_waiting(me: &ActorRef<ClientMsg>, state: &mut State) {
    loop {
        let in_flight = state.shown.in_flight.load(Ordering::Relaxed);
        let next = match in_flight {
            _ if in_flight >= state.arguments.limit => None,
            _ if in_flight >= state.arguments.limit_for_actions => state.compensations.pop_front(),
            _ => state.compensations.pop_front().or_else(|| state.actions.pop_front()),
        };
        state.shown.waiting.store(state.actions.len() + state.compensations.len(), Ordering::Relaxed);
        let Some(calling) = next else { return };
        state.shown.in_flight.fetch_add(1, Ordering::Relaxed);
        state.next = (state.next + 1) % state.arguments.http.len();
        let http = state.arguments.http[state.next].clone();
        let (arguments, me) = (state.arguments.clone(), me.clone());
        tokio::spawn(async move {
            let Calling { call, answer, since } = *calling;
            answer.give(make(&http, &arguments, &call, since).await);
            let _ = me.cast(ClientMsg::Finished);
        });
    }
}

async fn make(http: &reqwest::Client, to: &Arguments, call: &Call, since: Instant) -> Outcome {
    let left = call.timeout.saturating_sub(since.elapsed());
    if left.is_zero() {
        return unknown(
            Failure::timeout(to.service),
            "its time was up before it was sent",
            Duration::ZERO,
            Sent::Nothing,
        );
    }
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
    .header(
        wire::TRACEPARENT,
        TraceContext { trace_id: call.saga_id.0.as_u128(), ..TraceContext::start() }.to_header(),
    );
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
            classify(to.service, call, &reply)
        }
        Err(error) => {
            let failure = match error.is_timeout() && !error.is_connect() {
                true => Failure::timeout(to.service),
                false => Failure::unavailable(to.service),
            };
            let sent = if error.is_connect() { Sent::Nothing } else { Sent::Maybe };
            unknown(failure, &describe(&error), Duration::ZERO, sent)
        }
    }
}

fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// An answer, as far as it is judged.
struct Reply<'a> {
    status: u16,
    decision: Option<&'a str>,
    retry_after: Option<&'a str>,
    body: &'a [u8],
}

/// What a participant's bodies may say.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    r#type: Option<String>,
    detail: Option<String>,
    message: Option<String>,
    error: Option<String>,
    status: serde_json::Value,
}

fn classify(service: &str, call: &Call, reply: &Reply<'_>) -> Outcome {
    let said: Option<Said> = serde_json::from_slice(reply.body).ok();
    let unreadable =
        || unknown(Failure::unavailable(service), "a 2xx that is not the participant's", Duration::ZERO, Sent::Maybe);
    match (reply.status, call.purpose) {
        (200..=299, Purpose::Action { .. }) => match (call.read)(reply.body) {
            Ok(outputs) => Outcome::Done(outputs),
            Err(_) => unreadable(),
        },
        (200..=299, Purpose::Compensation) => match said.is_some_and(|said| said.status.is_string()) {
            true => Outcome::Done(Outputs::default()),
            false => unreadable(),
        },
        (409, Purpose::Action { .. }) if reply.decision == Some(wire::REFUSED) => {
            let said = said.unwrap_or_default();
            let message = said.error.or(said.message).unwrap_or_else(|| "refused".to_owned());
            Outcome::Refused(Failure::refused(409, service, &message))
        }
        (404, Purpose::Action { refusal: Some(refusal) })
            if said.as_ref().is_some_and(|said| said.r#type.as_deref() == Some(refusal)) =>
        {
            let detail = said.and_then(|said| said.detail).unwrap_or_default();
            Outcome::Refused(Failure::refused(404, service, &detail))
        }
        (429 | 500..=599, _) => {
            let seconds = reply.retry_after.and_then(|text| text.parse().ok()).unwrap_or(0);
            let detail = format!("{service} answered {}", reply.status);
            unknown(Failure::unavailable(service), &detail, Duration::from_secs(seconds), Sent::Maybe)
        }
        (status, _) => {
            error!(saga.id = %call.saga_id, step = call.step, service, status, "a participant answered what it never should");
            let retry = if status == 422 { Retry::NeverAndRaise } else { Retry::Never };
            let detail = format!("{service} answered {status}");
            Outcome::Unknown(Unknown { failure: Failure::unavailable(service), detail, retry, sent: Sent::Maybe })
        }
    }
}

fn unknown(failure: Failure, detail: &str, retry_after: Duration, sent: Sent) -> Outcome {
    Outcome::Unknown(Unknown { failure, detail: detail.to_owned(), retry: Retry::After(retry_after), sent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::SagaId;
    use crate::saga::definition::Request;

    fn call(purpose: Purpose) -> Call {
        Call {
            saga_id: SagaId(uuid::Uuid::nil()),
            epoch: 1,
            step: "charge",
            participant: "payments",
            purpose,
            attempt: 1,
            request: Request { method: Method::Get, path: "/".into(), body: None },
            read: |body| serde_json::from_slice::<serde_json::Value>(body).map(|_| Outputs::one("payment_id", "1")),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn only_a_recorded_decision_refuses_and_only_a_readable_2xx_is_done() {
        let action = Purpose::Action { refusal: None };
        let read = Purpose::Action { refusal: Some("product-not-found") };
        let undo = Purpose::Compensation;
        type Case = (&'static str, Purpose, u16, Option<&'static str>, &'static str, &'static str);
        let cases: &[Case] = &[
            ("done", action, 200, None, r#"{"payment_id":1}"#, "done"),
            ("html 200", action, 200, None, "<html>", "again"),
            ("refused", action, 409, Some("refused"), r#"{"message":"no money"}"#, "409: payments conflict: no money"),
            ("409 of something else", action, 409, None, r#"{"message":"no"}"#, "never"),
            ("404 of something else", action, 404, None, "{}", "never"),
            (
                "product not there",
                read,
                404,
                None,
                r#"{"type":"product-not-found","detail":"Product 7 not found"}"#,
                "404: payments conflict: Product 7 not found",
            ),
            ("path not there", read, 404, None, r#"{"type":"about:blank"}"#, "never"),
            ("html 502", action, 502, None, "<html>", "again"),
            ("busy", action, 503, None, "{}", "again"),
            ("other contents", action, 422, None, "{}", "raise"),
            ("undone", undo, 200, None, r#"{"status":"compensated"}"#, "done"),
            ("html 200 to an undo", undo, 200, None, "<html>", "again"),
            ("an undo is never refused", undo, 409, Some("refused"), "{}", "never"),
        ];
        for (name, purpose, status, decision, body, expected) in cases {
            let reply = Reply { status: *status, decision: *decision, retry_after: None, body: body.as_bytes() };
            let shown = match classify("payments", &call(*purpose), &reply) {
                Outcome::Done(_) => "done".to_owned(),
                Outcome::Refused(failure) => failure.to_string(),
                Outcome::Unknown(unknown) => match unknown.retry {
                    Retry::After(_) => "again".to_owned(),
                    Retry::Never => "never".to_owned(),
                    Retry::NeverAndRaise => "raise".to_owned(),
                },
            };
            assert_eq!(shown, *expected, "{name}");
        }
    }
}
