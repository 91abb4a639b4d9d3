//! An OpenTelemetry collector on loopback, for OTLP over HTTP and gRPC: stores the received spans and shows them as a
//! tree.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use common::config::ConfigSource;
use common::http::openapi::Description;
use common::http::{Access, ApiError, Draining, HeaderMap, HttpService, Request, Routes, StatusCode, serve, with_body};
use common::traces::Tracer;
use flate2::read::GzDecoder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use parking_lot::Mutex;
use prost::Message;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codec::CompressionEncoding;

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
    /// Its kind, such as `SERVER`.
    pub kind: String,
    /// Its attributes, each with its type.
    pub attributes: BTreeMap<String, Value>,
    /// The attributes of its resource.
    pub resource: BTreeMap<String, Value>,
    /// The traces and spans that it is linked to.
    pub links: Vec<(String, String)>,
    /// Its start and end, in nanoseconds since 1970.
    pub time: (u64, u64),
}

/// The head of a received request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
}

/// The collector.
pub struct Collector {
    /// The value for `telemetry.otlp_endpoint` with OTLP over HTTP.
    pub endpoint: String,
    /// The value for `telemetry.otlp_endpoint` with gRPC.
    pub grpc_endpoint: String,
    kept: Arc<Kept>,
    _end: DropGuard,
}

#[derive(Default)]
struct Kept {
    spans: Mutex<Vec<Span>>,
    requests: Mutex<Vec<Received>>,
}

impl Kept {
    fn keep(&self, path: String, headers: HeaderMap, sent: ExportTraceServiceRequest) {
        self.requests.lock().push(Received { path, headers });
        self.spans.lock().extend(spans_of(sent));
    }
}

impl Collector {
    /// Starts a collector.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address: SocketAddr = listener.local_addr().expect("a bound listener has an address");
        let kept = Arc::<Kept>::default();
        let describe = || Description::new("takeTraces", "Takes traces");
        let taker = kept.clone();
        let take = move |request: Request| {
            let taken = decode(&request);
            let kept = taker.clone();
            async move {
                kept.keep(request.path, request.headers, taken?);
                Ok(with_body(StatusCode::OK, "application/x-protobuf", Vec::new()))
            }
        };
        let routes = Routes::new("collector").post("/v1/traces", Access::Public, describe, take.clone());
        let describe = || Description::new("takeTracesElsewhere", "Takes traces on a path of their own");
        let routes = routes.post("/of/traces", Access::Public, describe, take);
        let source = ConfigSource::embedded("bench").with("http.body_limit_bytes", 8 * 1024 * 1024);
        let front = HttpService {
            service: "collector",
            routes,
            settings: Arc::new(source.load().expect("the profile is good")),
            health: Arc::new(|| Box::pin(async { Vec::new() })),
            draining: Draining::default(),
            tracer: Tracer::off(),
            calls: None,
        };
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(serve(front, Arc::new(listener), end.clone())));
        let grpc_listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let grpc_address = grpc_listener.local_addr().expect("a bound listener has an address");
        tokio::spawn(end.clone().run_until_cancelled_owned(serve_grpc(grpc_listener, kept.clone())));
        Self {
            endpoint: format!("http://{address}"),
            grpc_endpoint: format!("http://{grpc_address}"),
            kept,
            _end: end.drop_guard(),
        }
    }

    /// Returns all spans received so far.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().clone()
    }

    /// Returns the heads of all requests received so far.
    pub fn requests(&self) -> Vec<Received> {
        self.kept.requests.lock().clone()
    }

    /// Returns the received spans of one trace.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == trace_id);
        spans
    }
}

async fn serve_grpc(listener: TcpListener, kept: Arc<Kept>) {
    let service = TraceServiceServer::new(GrpcCollector(kept)).accept_compressed(CompressionEncoding::Gzip);
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let protocol = auto::Builder::new(TokioExecutor::new()).http2_only();
            let _ = protocol.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

struct GrpcCollector(Arc<Kept>);

#[tonic::async_trait]
impl TraceService for GrpcCollector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let (metadata, _, sent) = request.into_parts();
        self.0.keep("grpc".to_owned(), metadata.into_headers(), sent);
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn decode(request: &Request) -> Result<ExportTraceServiceRequest, ApiError> {
    let mut plain = Vec::new();
    let body = match request.header("content-encoding") {
        Some("gzip") => match GzDecoder::new(&*request.body).read_to_end(&mut plain) {
            Ok(_) => plain.as_slice(),
            Err(error) => return Err(ApiError::malformed(error.to_string())),
        },
        _ => &request.body,
    };
    ExportTraceServiceRequest::decode(body).map_err(|error| ApiError::malformed(error.to_string()))
}

fn spans_of(sent: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_service in sent.resource_spans {
        let resource = attributes(of_service.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").and_then(Value::as_str).unwrap_or_default().to_owned();
        for span in of_service.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let kind = span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_owned();
            let status = span.status.unwrap_or_default();
            spans.push(Span {
                service: service.clone(),
                trace_id: hex(&span.trace_id),
                id: hex(&span.span_id),
                kind,
                resource: resource.clone(),
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
    spans
}

fn attributes(given: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let typed = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => Value::from(text),
        Some(any_value::Value::IntValue(number)) => Value::from(number),
        Some(any_value::Value::BoolValue(flag)) => Value::from(flag),
        Some(any_value::Value::DoubleValue(number)) => Value::from(number),
        other => panic!("an attribute of a type that this system does not use: {other:?}"),
    };
    given.into_iter().map(|pair| (pair.key, typed(pair.value))).collect()
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
