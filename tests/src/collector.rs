//! An OpenTelemetry collector on loopback: stores the received spans and shows them as a tree.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use common::config::ConfigSource;
use common::http::openapi::Description;
use common::http::{Access, ApiError, Draining, HttpService, Request, Routes, StatusCode, serve, with_body};
use common::traces::Tracer;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A received span.
#[derive(Clone, Debug)]
pub struct Span {
    /// The service that sent it.
    pub service: String,
    /// Its trace, in hexadecimal digits.
    pub trace_id: String,
    /// Its id.
    pub id: String,
    /// The id of its parent; empty at the root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `Ok`, `Error` or `Unset`.
    pub status: String,
    /// The reason of a failure.
    pub message: String,
    /// Its other attributes.
    pub attributes: BTreeMap<String, String>,
    /// The traces and spans that it is linked to.
    pub links: Vec<(String, String)>,
    /// Its start and end, in nanoseconds since 1970.
    pub time: (u64, u64),
}

/// The collector.
pub struct Collector {
    /// The value for `telemetry.otlp_endpoint`.
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
    _end: DropGuard,
}

impl Collector {
    /// Starts a collector.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address: SocketAddr = listener.local_addr().expect("a bound listener has an address");
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = spans.clone();
        let describe = || Description::new("takeTraces", "Takes traces");
        let routes = Routes::new("collector").post("/v1/traces", Access::Public, describe, move |request: Request| {
            let taken = take(&request);
            let kept = kept.clone();
            async move {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(taken?);
                Ok(with_body(StatusCode::OK, "application/x-protobuf", Vec::new()))
            }
        });
        let source = ConfigSource::embedded("bench").with("http.body_limit_bytes", 8 * 1024 * 1024);
        let front = HttpService {
            service: "collector",
            routes,
            settings: Arc::new(source.load().expect("the profile is good")),
            health: Arc::new(|| Box::pin(async { Vec::new() })),
            draining: Draining::default(),
            tracer: Tracer::off(),
        };
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(serve(front, Arc::new(listener), end.clone())));
        Self { endpoint: format!("http://{address}"), spans, _end: end.drop_guard() }
    }

    /// Returns all spans received so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the received spans of one trace.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == trace_id);
        spans
    }
}

fn take(request: &Request) -> Result<Vec<Span>, ApiError> {
    let sent = ExportTraceServiceRequest::decode(request.body.clone());
    let sent = sent.map_err(|error| ApiError::malformed(error.to_string()))?;
    let mut spans = Vec::new();
    for of_service in sent.resource_spans {
        let resource = attributes(of_service.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for span in of_service.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let status = span.status.unwrap_or_default();
            spans.push(Span {
                service: service.clone(),
                trace_id: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                status: match status.code() {
                    SpanStatus::Ok => "Ok",
                    SpanStatus::Error => "Error",
                    SpanStatus::Unset => "Unset",
                }
                .to_owned(),
                message: status.message,
                attributes: attributes(span.attributes),
                links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
                time: (span.start_time_unix_nano, span.end_time_unix_nano),
            });
        }
    }
    Ok(spans)
}

fn attributes(given: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    given.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Shows spans as an indented tree, sorted by start, with durations.
pub fn as_tree(spans: &[Span]) -> String {
    let mut spans: Vec<&Span> = spans.iter().collect();
    spans.sort_by_key(|span| span.time);
    let begin = spans.iter().map(|span| span.time.0).min().unwrap_or_default();
    let ids: Vec<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let mut tree = String::new();
    for root in spans.iter().filter(|span| !ids.contains(&span.parent.as_str())) {
        show(&spans, root, 0, begin, &mut tree);
    }
    tree
}

fn show(spans: &[&Span], span: &Span, depth: usize, begin: u64, tree: &mut String) {
    let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let name = format!("{}{}", "  ".repeat(depth), span.name);
    let (at, took) = (ms(span.time.0 - begin), ms(span.time.1 - span.time.0));
    let _ = write!(tree, "{name:<46} {:<13} {at:>8.2} ms {took:>9.2} ms  {:<5}", span.service, span.status);
    for shown in ["saga.attempt", "saga.outcome", "http.response.status_code", "commit.of", "commit.outcome"] {
        if let Some(value) = span.attributes.get(shown) {
            let _ = write!(tree, " {}={value}", shown.rsplit('.').next().unwrap_or(shown));
        }
    }
    let _ = writeln!(tree, "{}{}", if span.message.is_empty() { "" } else { "  " }, span.message);
    for child in spans.iter().filter(|child| child.parent == span.id) {
        show(spans, child, depth + 1, begin, tree);
    }
}
