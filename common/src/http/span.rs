//! The span of a request, for the trace of its client or calling service.

use std::time::SystemTime;

use foundation::trace_context::{SAGA, span_id_of};
use hyper::Version;
use hyper::header::HeaderValue;
use uuid::Uuid;

use super::{
    PartOf, Response, TraceContext,
    client::Clients,
    head::Head,
    headers::text,
    routes::{OTHER_METHOD, method_label},
};
use crate::{
    redaction::redacted_query,
    traces::{Attribute, Span, SpanKind, Status, Tracer, attribute},
    wire,
};

/// Begins this service's span: part of the client's trace if there is one, else of a new one.
pub(super) fn begin(tracer: &Tracer, parent: Option<TraceContext>) -> TraceContext {
    match parent {
        Some(parent) => tracer.continue_from(&parent),
        None => {
            let started = TraceContext::start();
            TraceContext { sampled: tracer.samples(started.trace_id), ..started }
        }
    }
}

/// Data of a request for its span, kept while the handler owns the request.
pub(super) struct RequestFacts {
    began: SystemTime,
    attributes: Vec<Attribute>,
}

/// Extracts the data if the span may be recorded. A request without a parent may still join the trace of a saga that it
/// starts.
pub(super) fn seen(
    tracer: &Tracer,
    parent: Option<TraceContext>,
    trace: TraceContext,
    head: &Head,
    clients: &Clients,
) -> Option<RequestFacts> {
    let may_be_recorded = tracer.is_on() && (trace.sampled || parent.is_none());
    may_be_recorded.then(|| RequestFacts { began: SystemTime::now(), attributes: attributes(head, clients) })
}

/// Makes the attributes of the semantic conventions that are known before the answer, and those of the calling saga.
fn attributes(head: &Head, clients: &Clients) -> Vec<Attribute> {
    const SAGA: [(&str, &str); 4] = [
        (wire::SAGA_ID, "saga.id"),
        (wire::SAGA_STEP, "saga.step"),
        (wire::SAGA_ATTEMPT, "saga.attempt"),
        (wire::SAGA_EPOCH, "saga.epoch"),
    ];
    let Head { method, path, query, headers, peer, version, authority } = head;
    let scheme = peer.map_or("http", |peer| clients.scheme(peer, headers));
    let mut attributes = vec![attribute("url.path", start_of(path)), attribute("url.scheme", scheme)];
    if method_label(method) == OTHER_METHOD {
        attributes.push(attribute("http.request.method_original", start_of(method.as_str())));
    }
    if !query.is_empty() {
        attributes.push(attribute("url.query", start_of(&redacted_query(query))));
    }
    let host = authority.clone().or_else(|| text(headers, "host")?.parse().ok());
    if let Some(host) = host {
        let port = host.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        attributes.push(attribute("server.address", start_of(host.host().trim_matches(['[', ']']))));
        attributes.push(attribute("server.port", i64::from(port)));
    }
    attributes.extend(peer.map(|peer| attribute("client.address", clients.address(peer, headers).to_string())));
    attributes.extend(text(headers, "user-agent").map(|agent| attribute("user_agent.original", start_of(agent))));
    let version = version.and_then(version_name);
    attributes.extend(version.map(|version| attribute("network.protocol.version", version)));
    for (header, name) in SAGA {
        let Some(value) = text(headers, header) else { continue };
        let number = value.parse::<i64>().ok().filter(|_| matches!(name, "saga.attempt" | "saga.epoch"));
        attributes.push(match number {
            Some(number) => attribute(name, number),
            None => attribute(name, start_of(value)),
        });
    }
    attributes
}

/// Maximum length kept of a text of a request, which is untrusted input.
const MAX_CHARS: usize = 256;

/// Returns the beginning of an untrusted text.
pub(super) fn start_of(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

/// Returns the version of HTTP as the semantic conventions name it.
pub fn version_name(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// The result of a request.
pub(super) struct Answered<'a> {
    pub(super) method: &'static str,
    /// The template of the route; `None` if there is none.
    pub(super) route: Option<&'static str>,
    pub(super) response: &'a Response,
}

/// Records the span, and returns the trace context that the request ended up with.
pub(super) fn end(
    tracer: &Tracer,
    parent: Option<TraceContext>,
    trace: TraceContext,
    seen: Option<RequestFacts>,
    answered: &Answered<'_>,
) -> TraceContext {
    let saga_id = answered.response.extensions().get().map(|PartOf(id)| *id);
    let of_saga = |id: Uuid, span_id| {
        let trace_id = id.as_u128();
        TraceContext { trace_id, span_id, sampled: tracer.samples(trace_id) }
    };
    let trace = match (parent, saga_id) {
        (None, Some(id)) => of_saga(id, trace.span_id),
        (Some(_), _) | (None, None) => trace,
    };
    let Some(RequestFacts { began, mut attributes }) = seen else { return trace };
    tracer.record(&trace, || {
        let Answered { method, route, response } = *answered;
        let status = response.status();
        // Other methods: the semantic conventions demand `_OTHER` as the attribute and `HTTP` in the span's name.
        let (method, name) = if method == OTHER_METHOD { ("_OTHER", "HTTP") } else { (method, method) };
        attributes.push(attribute("http.request.method", method));
        attributes.extend(route.map(|route| attribute("http.route", route)));
        attributes.push(attribute("http.response.status_code", i64::from(status.as_u16())));
        if status.is_server_error() {
            attributes.push(attribute("error.type", status.as_u16().to_string()));
        }
        // The saga's span id is a hash, computed only for a span that is recorded.
        let saga = saga_id.map(|id| of_saga(id, span_id_of(id, SAGA)));
        let (parent, link) = match (parent, saga) {
            (None, Some(saga)) => (Some(saga.span_id), None),
            (parent, link) => (parent.map(|parent| parent.span_id), link),
        };
        Span {
            name: route.map_or(name.into(), |route| format!("{name} {route}").into()),
            kind: SpanKind::Server,
            parent,
            began,
            ended: SystemTime::now(),
            attributes,
            links: link.into_iter().collect(),
            // The status code says why.
            status: if status.is_server_error() { Status::error("") } else { Status::Unset },
        }
    });
    trace
}

/// Returns the `traceparent` header of a span.
pub fn trace_header(span: &TraceContext) -> HeaderValue {
    HeaderValue::from_bytes(&span.to_header()).expect("hexadecimal digits and dashes make a header")
}
