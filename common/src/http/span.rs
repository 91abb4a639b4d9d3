//! The span of a request, for the trace of its client or calling service.

use std::time::SystemTime;

use hyper::header::{HeaderMap, HeaderValue};

use super::{PartOf, Response, TraceContext, request::text};
use crate::{
    traces::{Attribute, Span, SpanKind, Status, Tracer, attribute},
    wire,
};

/// Begins this service's span: part of the client's trace if there is one, else of a new one.
pub(super) fn begin(tracer: &Tracer, parent: Option<TraceContext>) -> TraceContext {
    match parent {
        Some(parent) => parent.child(),
        None => {
            let started = TraceContext::start();
            TraceContext { sampled: tracer.samples(started.trace_id), ..started }
        }
    }
}

/// Data of a request for its span, kept while the handler owns the request.
pub(super) struct RequestFacts {
    began: SystemTime,
    saga: Vec<Attribute>,
}

/// Extracts the data if tracing is on. A request that starts a saga is recorded as part of that saga's trace.
pub(super) fn seen(tracer: &Tracer, headers: &HeaderMap) -> Option<RequestFacts> {
    const KNOWN: [(&str, &str); 4] = [
        (wire::SAGA_ID, "saga.id"),
        (wire::SAGA_STEP, "saga.step"),
        (wire::SAGA_ATTEMPT, "saga.attempt"),
        (wire::SAGA_EPOCH, "saga.epoch"),
    ];
    tracer.is_on().then(|| {
        let given = KNOWN.into_iter().filter_map(|(header, name)| {
            let value = text(headers, header)?;
            // Untrusted input, so its length is limited.
            Some(attribute(name, value.chars().take(MAX_CHARS).collect::<String>()))
        });
        RequestFacts { began: SystemTime::now(), saga: given.collect() }
    })
}

/// Maximum length kept of a header, which is untrusted input.
const MAX_CHARS: usize = 64;

/// The result of a request.
pub(super) struct Answered<'a> {
    pub(super) method: &'static str,
    pub(super) route: &'static str,
    pub(super) response: &'a Response,
}

/// Records the span, and returns the trace context that the request ended up with.
pub(super) fn end(
    tracer: &Tracer,
    parent: Option<TraceContext>,
    trace: TraceContext,
    seen: Option<RequestFacts>,
    answered: Answered<'_>,
) -> TraceContext {
    let began_something = answered
        .response
        .extensions()
        .get::<PartOf>()
        .copied()
        .map(|PartOf { trace_id, span_id }| TraceContext { trace_id, span_id, sampled: tracer.samples(trace_id) });
    let (trace, parent, link) = match (parent, began_something) {
        (None, Some(of)) => (TraceContext { span_id: trace.span_id, ..of }, Some(of.span_id), None),
        (parent, link) => (trace, parent.map(|parent| parent.span_id), link),
    };
    let Some(RequestFacts { began, saga }) = seen else { return trace };
    tracer.record(&trace, || {
        let Answered { method, route, response } = answered;
        let status = response.status();
        let mut attributes = vec![
            attribute("http.request.method", method),
            attribute("http.route", route),
            attribute("http.response.status_code", i64::from(status.as_u16())),
        ];
        attributes.extend(saga);
        Span {
            name: format!("{method} {route}").into(),
            kind: SpanKind::Server,
            parent,
            began,
            ended: SystemTime::now(),
            attributes,
            links: link.into_iter().collect(),
            status: match status.is_server_error() {
                true => Status::error(status.canonical_reason().unwrap_or_default()),
                false => Status::Unset,
            },
        }
    });
    trace
}

/// Returns the `traceparent` header of a span.
pub fn trace_header(span: &TraceContext) -> HeaderValue {
    HeaderValue::from_bytes(&span.to_header()).expect("hexadecimal digits and dashes make a header")
}
