//! A saga as a trace: spans of the saga, its steps, and each attempt.
//!
//! ```text
//! saga ─┬─ POST /saga/transaction          the client's request, unless it belongs to a trace of its client
//!       ├─ commit saga-log                 each write
//!       ├─ step charge ── attempt charge ── POST /payments/ (payments) ── commit payments
//!       └─ undo charge ── attempt charge ── …
//! ```
//! The trace id is the saga's id, and the span ids of the saga and its steps are derived from it, so all owners of a
//! saga record one trace without knowing of each other. These spans are recorded when the saga ends, by its last owner,
//! from the timeline of all owners.

use std::borrow::Cow;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use foundation::trace_context::{SAGA, TraceContext, span_id_of};
use foundation::traces::{Attribute, Span, SpanKind, Status as Ended, Tracer, attribute};

use crate::log::SagaLog;
use crate::outcome::{Outcome, Sent, Unknown};
use crate::running::RunningSaga;
use crate::world::{Call, Purpose};
use crate::{SagaId, Status};

/// Returns the trace context of the saga's span.
pub fn of_saga(tracer: &Tracer, id: SagaId) -> TraceContext {
    of_part(tracer, id, || SAGA.into())
}

/// Returns the trace context of the span of the call's step, or of its compensation.
pub fn of_call(tracer: &Tracer, call: &Call) -> TraceContext {
    of_part(tracer, call.saga_id, || span_name(operation_kind(call), &call.step).into())
}

fn of_part(tracer: &Tracer, id: SagaId, name: impl FnOnce() -> Cow<'static, str>) -> TraceContext {
    let trace_id = id.0.as_u128();
    let sampled = tracer.samples(trace_id);
    // In a trace that is not sampled the span ids name nothing, and no hash is computed for them.
    TraceContext { trace_id, span_id: if sampled { span_id_of(id.0, &name()) } else { 0 }, sampled }
}

/// The exchange over HTTP of an attempt.
pub struct Exchange {
    /// When it began.
    pub began: SystemTime,
    /// The method.
    pub method: String,
    /// The URL, without secrets.
    pub url: String,
    /// Host of the URL.
    pub host: String,
    /// Port of the URL.
    pub port: u16,
    /// The status of the answer; `None` without one.
    pub status: Option<u16>,
    /// The version of HTTP of the answer, such as `2`.
    pub version: Option<&'static str>,
}

/// Records the span of one attempt, which ends now.
pub fn record_attempt(tracer: &Tracer, part: &TraceContext, call: &Call, outcome: &Outcome, exchange: Exchange) {
    let step = of_call(tracer, call);
    tracer.record(part, || {
        let (name, status) = match outcome {
            Outcome::Done(_) | Outcome::Undone(..) => ("done", Ended::Ok),
            Outcome::Refused(failure) => ("refused", Ended::error(failure.to_string())),
            Outcome::Unknown(unknown) => ("unknown", Ended::error(unknown.detail.clone())),
        };
        let mut attributes = vec![
            attribute("saga.id", call.saga_id.to_string()),
            attribute("saga.step", call.step.to_string()),
            attribute("saga.attempt", i64::from(call.attempt)),
            attribute("saga.epoch", i64::from(call.epoch)),
            attribute("saga.outcome", name),
            attribute("peer.service", call.participant.to_string()),
            attribute("http.request.method", exchange.method),
            attribute("url.full", exchange.url),
            attribute("server.address", exchange.host),
            attribute("server.port", i64::from(exchange.port)),
        ];
        attributes.extend(exchange.status.map(|status| attribute("http.response.status_code", i64::from(status))));
        attributes.extend(exchange.version.map(|version| attribute("network.protocol.version", version)));
        attributes.extend(error_type(outcome, exchange.status).map(|name| attribute("error.type", name)));
        Span {
            name: format!("attempt {}", call.step).into(),
            kind: SpanKind::Client,
            parent: Some(step.span_id),
            began: exchange.began,
            ended: SystemTime::now(),
            attributes,
            links: Vec::new(),
            status,
        }
    });
}

/// Returns the class of the error of an attempt: the status of the answer, or why there is none. An outcome that the saga
/// counts as done is no error, whatever its status.
fn error_type(outcome: &Outcome, status: Option<u16>) -> Option<Cow<'static, str>> {
    match (outcome, status) {
        (Outcome::Done(_) | Outcome::Undone(..), _) => None,
        (_, Some(status)) if status >= 400 => Some(status.to_string().into()),
        (Outcome::Unknown(Unknown { sent: Sent::Nothing, .. }), None) => Some("not_sent".into()),
        (Outcome::Unknown(unknown), None) if unknown.failure.is_timeout() => Some("timeout".into()),
        (Outcome::Refused(_) | Outcome::Unknown(_), _) => Some("no_valid_answer".into()),
    }
}

/// Records the spans of a saga that has ended, and of its steps.
pub fn record(tracer: &Tracer, saga: &RunningSaga, log: &SagaLog, status: Status, now: DateTime<Utc>) {
    let part = of_saga(tracer, saga.id);
    if !part.sampled {
        return;
    }
    tracer.record(&part, || Span {
        name: format!("saga {}", saga.definition.name).into(),
        kind: SpanKind::Internal,
        parent: None,
        began: saga.created_at.into(),
        ended: now.into(),
        attributes: vec![
            attribute("saga.id", saga.id.to_string()),
            attribute("saga.status", status.as_str()),
            attribute("saga.definition", format!("{}/{}", saga.definition.name, saga.definition.version)),
            attribute("saga.epoch", i64::from(saga.epoch)),
        ],
        links: Vec::new(),
        status: match log.cause() {
            _ if status == Status::Completed => Ended::Ok,
            cause => Ended::error(cause.map(ToString::to_string).unwrap_or_default()),
        },
    });
    let record_step =
        |operation_kind, step: &str, times: (Option<DateTime<Utc>>, Option<DateTime<Utc>>), told: StepFacts<'_>| {
            let (Some(began), ended) = times else { return };
            let name = span_name(operation_kind, step);
            let step = TraceContext { span_id: span_id_of(saga.id.0, &name), ..part };
            tracer.record(&step, || Span {
                name: name.into(),
                kind: SpanKind::Internal,
                parent: Some(part.span_id),
                began: began.into(),
                ended: ended.unwrap_or(now).into(),
                attributes: told.attributes(),
                links: Vec::new(),
                status: match told.state {
                    "done" | "compensated" => Ended::Ok,
                    _ => Ended::error(told.error.unwrap_or(told.state).to_owned()),
                },
            });
        };
    for view in log.timeline() {
        let (participant, attempts) = (&*view.participant, view.attempts);
        let told = StepFacts { participant, attempts, state: &view.action, error: view.error.as_deref() };
        record_step(OperationKind::Do, &view.step, (view.started_at, view.finished_at), told);
        if let Some(undoing) = &view.compensation {
            let state = if undoing.finished_at.is_some() { "compensated" } else { "compensating" };
            let told = StepFacts { participant, attempts: undoing.attempts, state, error: undoing.error.as_deref() };
            record_step(OperationKind::Undo, &view.step, (undoing.started_at, undoing.finished_at), told);
        }
    }
}

/// Attributes of the span of a step or its compensation.
struct StepFacts<'a> {
    participant: &'a str,
    attempts: u32,
    state: &'a str,
    error: Option<&'a str>,
}

impl StepFacts<'_> {
    fn attributes(&self) -> Vec<Attribute> {
        vec![
            attribute("peer.service", self.participant.to_owned()),
            attribute("saga.step.state", self.state.to_owned()),
            attribute("saga.step.attempts", i64::from(self.attempts)),
        ]
    }
}

#[derive(Clone, Copy)]
enum OperationKind {
    Do,
    Undo,
}

fn operation_kind(call: &Call) -> OperationKind {
    match call.purpose {
        Purpose::Action { .. } => OperationKind::Do,
        Purpose::Compensation => OperationKind::Undo,
    }
}

fn span_name(operation_kind: OperationKind, step: &str) -> String {
    match operation_kind {
        OperationKind::Do => format!("step {step}"),
        OperationKind::Undo => format!("undo {step}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_saga_have_the_same_ids_in_every_process() {
        let id = uuid::uuid!("0190a8c4-1b2d-7f3e-8a9b-0c1d2e3f4a5b");
        let ids = ["saga", "step charge", "undo charge", "step create"].map(|part| span_id_of(id, part));
        assert_eq!(
            ids[0], 9_720_589_942_809_587_274,
            "another version of the program records other spans of the same saga"
        );
        let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
