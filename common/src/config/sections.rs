//! One struct a section of `default.toml`. The meaning of each key for an operator is in the comments of that file;
//! here are unit and type. Times are milliseconds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use foundation::supervision::{ActorEntry, Backoff, Budget, ChildSpec, SupervisorSpec};
use secrecy::SecretString;
use serde::Deserialize;

/// Limits of the HTTP front, `[http]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Address that every service listens on.
    pub bind: IpAddr,
    /// Largest request body in bytes; larger ones are answered 413.
    pub body_limit_bytes: usize,
    /// Time limit for a request head, from its first byte to its last, and for a body.
    pub header_timeout_ms: u64,
    /// Time limit for a connection without a request.
    pub idle_timeout_ms: u64,
    /// Time limit for a client that reads nothing of a response.
    pub write_timeout_ms: u64,
    /// Maximum number of open connections of one service.
    pub max_connections: usize,
    /// Maximum number of open connections of one peer that is not a trusted proxy; 0: unlimited.
    pub max_connections_per_peer: usize,
    /// Maximum number of requests in flight in one service; more are answered 503.
    pub max_in_flight: usize,
    /// Maximum number of requests in flight of one client behind a trusted proxy; more are answered 503; 0: unlimited.
    pub max_in_flight_per_client: usize,
    /// How long a service whose stop is announced at `/health/` accepts new work.
    pub drain_delay_ms: u64,
    /// How long a shutdown waits for requests in flight.
    pub drain_grace_ms: u64,
    /// Origins from which browsers may call; empty: CORS is off.
    pub cors_origins: Vec<String>,
    /// Addresses or networks whose `X-Forwarded-For` or `Forwarded` header is trusted.
    pub trusted_proxies: Vec<String>,
}

/// Rate limit of one client, `[rate_limit]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Sustained requests per second; 0: no limit.
    pub per_second: u32,
    /// Requests allowed at once after a pause.
    pub burst: u32,
}

/// Address and database of one service, `[services.<name>]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// TCP port; 0 takes any free port.
    pub port: u16,
    /// Address by which others call it, without a trailing slash; empty: made from bind address and port.
    pub url: String,
    /// URL of the server of its database; empty: that of `database.url`.
    pub database_url: SecretString,
    /// Name of its database.
    pub database: String,
    /// Password of the service's own role, which has the name of its database; empty: log in as the user in the URL.
    pub database_password: SecretString,
}

/// PostgreSQL, `[database]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// URL of the server; empty: the caller provides its own server.
    pub url: SecretString,
    /// Connections of each pool.
    pub pool_size: u32,
    /// Time limit for opening a connection.
    pub connect_timeout_ms: u64,
    /// Time limit of a statement, enforced by the server.
    pub statement_timeout_ms: u64,
    /// How long a start waits for the server to answer.
    pub start_wait_ms: u64,
}

/// Bearer tokens, `[auth]`; empty means not set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// Token for `/debug` and the operator endpoints.
    pub operator_token: SecretString,
    /// Token required from clients, if set.
    pub api_token: SecretString,
    /// Token that participants require for writes, if set; the orchestrator sends it.
    pub service_token: SecretString,
}

/// Logs and traces, `[telemetry]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Filter in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
    /// Format of log lines.
    pub format: LogFormat,
    /// Whether every request is logged at level info.
    pub access_log: bool,
    /// Name of the services in traces and log lines; empty: each has its own.
    pub service_name: String,
    /// Further attributes of the resource of all spans, such as `k8s.pod.name=a,team=b`.
    pub resource_attributes: String,
    /// Where traces are sent to.
    pub traces_exporter: TracesExporter,
    /// OTLP endpoint of all signals, such as `http://otel-collector:4318`; empty: none.
    pub otlp_endpoint: String,
    /// OTLP endpoint of traces, whose path is used as it is; empty: that of all signals.
    pub otlp_traces_endpoint: String,
    /// Protocol of the collector.
    pub otlp_protocol: OtlpProtocol,
    /// Headers of the requests to the collector, such as `authorization=Bearer%20…`.
    pub otlp_headers: SecretString,
    /// Time limit for sending a batch.
    pub otlp_timeout_ms: u64,
    /// Compression of the requests to the collector.
    pub otlp_compression: OtlpCompression,
    /// Which traces are recorded.
    pub traces_sampler: TracesSampler,
    /// Share of the traces that a sampler with a ratio records, from 0 to 1.
    pub otlp_sample_ratio: f64,
}

impl TelemetrySettings {
    /// Returns the URL that spans are sent to; `None`: traces are off.
    pub fn traces_url(&self) -> Option<String> {
        let base = self.otlp_endpoint.trim_end_matches('/');
        let default = match (self.traces_exporter, self.otlp_protocol) {
            (TracesExporter::None, _) => return None,
            (TracesExporter::Unset, _) => "",
            (TracesExporter::Otlp, OtlpProtocol::HttpProtobuf) => "http://localhost:4318",
            (TracesExporter::Otlp, OtlpProtocol::Grpc) => "http://localhost:4317",
        };
        let base = if base.is_empty() { default } else { base };
        match (self.otlp_traces_endpoint.as_str(), base, self.otlp_protocol) {
            ("", "", _) => None,
            ("", base, OtlpProtocol::HttpProtobuf) => Some(format!("{base}/v1/traces")),
            ("", base, OtlpProtocol::Grpc) => Some(base.to_owned()),
            (given, ..) => Some(given.to_owned()),
        }
    }
}

/// Where traces are sent to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TracesExporter {
    /// To the collector, if an endpoint is set.
    #[serde(rename = "")]
    Unset,
    /// To the collector; without an endpoint, to that of this machine.
    Otlp,
    /// Nowhere.
    None,
}

/// Protocol of the collector.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP over HTTP, protobuf.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// OTLP over gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// Compression of the requests to the collector.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OtlpCompression {
    /// None.
    None,
    /// gzip.
    Gzip,
}

/// Which traces are recorded. The samplers with a parent follow the caller of a request where it has a trace.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum TracesSampler {
    AlwaysOn,
    AlwaysOff,
    #[serde(rename = "traceidratio")]
    TraceIdRatio,
    #[serde(rename = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    #[serde(rename = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    #[serde(rename = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Worker threads of a process, `[runtime]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeSettings {
    /// Threads shared by the services of a process; 0: [`RuntimeSettings::threads`] decides.
    pub worker_threads: usize,
}

impl RuntimeSettings {
    /// Returns the number of worker threads for a process with this many services and processors.
    ///
    /// One thread costs less than several, which wake and wait for each other. A service alone in its process gets one
    /// thread for every four processors, since none of five services on a machine needs all of it. All services in one
    /// process get one thread for every two processors: the database needs the others.
    pub fn threads(&self, processors: usize, services: usize) -> usize {
        match (self.worker_threads, services) {
            (0, ..=1) => (processors / 4).max(1),
            (0, _) => (processors / 2).max(1),
            (given, _) => given,
        }
    }
}

/// Bounds of a group-commit writer, `[group_commit]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupCommitSettings {
    /// Maximum number of items in one transaction.
    pub max_batch: usize,
    /// Capacity of the queue, in items.
    pub max_queue: usize,
}

/// Health check, `[health]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSettings {
    /// How long a batch may take before the writer counts as broken.
    pub writer_stalled_ms: u64,
}

/// Restart budgets, `[supervision]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisionSettings {
    /// Restarts within `within_ms` before a supervisor gives up.
    pub max_restarts: u32,
    /// Window of the restart budget.
    pub within_ms: u64,
    /// Wait before the first restart.
    pub backoff_min_ms: u64,
    /// Longest wait before a restart.
    pub backoff_max_ms: u64,
}

impl SupervisionSettings {
    /// Creates a supervisor with this budget and back-off.
    pub fn supervisor(&self, entry: Arc<ActorEntry>, children: Vec<ChildSpec>) -> SupervisorSpec {
        let budget = Budget { max_restarts: self.max_restarts, within: Duration::from_millis(self.within_ms) };
        let backoff = Backoff {
            min: Duration::from_millis(self.backoff_min_ms),
            max: Duration::from_millis(self.backoff_max_ms),
        };
        SupervisorSpec { entry, budget, backoff, children }
    }
}

/// Sagas, leases and takeover, `[orchestrator]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrchestratorSettings {
    /// Identity of this node; empty: a new one for each process.
    pub node_id: String,
    /// Whether all sagas are put on hold at start.
    pub hold: bool,
    /// Maximum number of running sagas; more are answered 503.
    pub max_running: usize,
    /// How long a client waits before it is answered 202.
    pub wait_limit_ms: u64,
    /// How long after its id was made a saga may begin; the same on all nodes.
    pub begin_limit_ms: u64,
    /// Age at which an unfinished saga starts to compensate.
    pub deadline_ms: u64,
    /// Validity of a lease.
    pub lease_ms: u64,
    /// Interval of lease renewals; less than half the lease.
    pub heartbeat_ms: u64,
    /// Age of an unconfirmed compensation at which its saga enters the attention list.
    pub attention_after_ms: u64,
    /// Attempts of a compensation after which its saga enters the attention list.
    pub attention_after_attempts: u32,
    /// Sagas claimed in one statement.
    pub takeover_batch: u32,
    /// Deaths of a saga's own actor without progress before the saga needs attention.
    pub max_claims: u32,
    /// Interval of the sweeps for sagas without an actor.
    pub sweep_ms: u64,
    /// Time without progress after which a running saga is reported as stalled.
    pub stalled_after_ms: u64,
    /// Longest wait of a step's event for a write of its saga, before it is written on its own.
    pub event_flush_ms: u64,
    /// Interval at which the events table is polled.
    pub event_poll_ms: u64,
    /// Age at which events are pruned.
    pub events_keep_ms: u64,
    /// Maximum number of event listeners; more are answered 503.
    pub max_event_listeners: usize,
    /// Maximum number of event listeners of one client; more are answered 503; 0: unlimited.
    pub max_event_listeners_per_client: usize,
    /// Days from a saga's end until its details are cleared; 0: never.
    pub retention_days: u32,
    /// Time from a saga's end until its idempotency key is released, where retention is on.
    pub key_keep_ms: u64,
    /// How long a shutdown lets running sagas finish.
    pub grace_ms: u64,
    /// Number of this cell, below 64.
    pub cell: u8,
    /// The cells by number.
    pub cells: BTreeMap<String, CellSettings>,
}

impl OrchestratorSettings {
    /// Returns the URL of a cell's orchestrators, without a trailing slash; `None` if it is not set.
    pub fn cell_url(&self, cell: u8) -> Option<&str> {
        let url = self.cells.get(&cell.to_string())?.url.trim_end_matches('/');
        (!url.is_empty()).then_some(url)
    }
}

/// One cell, `[orchestrator.cells.<number>]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSettings {
    /// Address of its orchestrators; empty: no request is forwarded there.
    pub url: String,
}

/// The dashboard, `[ui]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UiSettings {
    /// Whether it shows supervision trees and failure settings of all services.
    pub services: bool,
    /// Address of a trace in a viewer, with `{trace_id}` in place of the trace id; empty: pages have no link to it.
    pub trace_url: String,
    /// Replicas of each service by name; none: the addresses of its host name.
    pub replicas: BTreeMap<String, Vec<String>>,
}

/// Calls to participants, `[participants]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParticipantSettings {
    /// Time limit for opening a connection.
    pub connect_timeout_ms: u64,
    /// Time limit of one attempt.
    pub timeout_ms: u64,
    /// Maximum number of calls in flight per participant.
    pub max_concurrent: usize,
    /// How many of `max_concurrent` are reserved for compensations.
    pub reserved_for_compensations: usize,
    /// HTTP/2 connections to each address of a participant.
    pub connections: usize,
    /// Interval of DNS lookups of a participant's name.
    pub resolve_ms: u64,
    /// Consecutive failed calls of an operation that open its circuit breaker; 0: never.
    pub breaker_failures: u32,
    /// How long a circuit breaker stays open before a probe.
    pub breaker_pause_ms: u64,
    /// Parked sagas resumed per second.
    pub breaker_wakes_per_second: u32,
    /// Maximum number of calls in flight per operation for sagas that are already FAILED.
    pub failed_compensations: usize,
}

/// Retry policies, `[retry]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrySettings {
    /// For actions.
    pub action: RetryPolicy,
    /// For compensations.
    pub compensation: RetryPolicy,
    /// For compensations of sagas that are already FAILED.
    pub failed: BackoffPolicy,
}

/// Back-off of calls that are retried for ever, `[retry.failed]`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct BackoffPolicy {
    /// Shortest back-off.
    pub backoff_min_ms: u64,
    /// Longest back-off.
    pub backoff_max_ms: u64,
}

/// Attempts and back-off of calls, `[retry.*]`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Total number of attempts; 0: for ever (compensations only).
    pub attempts: u32,
    /// First back-off, before jitter.
    pub backoff_min_ms: u64,
    /// Longest back-off, before jitter.
    pub backoff_max_ms: u64,
}

/// The protocol of DTM's clients, `[dtm]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DtmSettings {
    /// Whether the orchestrator speaks it.
    pub enabled: bool,
    /// Prefixes of the URLs that branches may have.
    pub allowed_urls: Vec<String>,
    /// The longest wait between two attempts, in milliseconds.
    pub backoff_max_ms: u64,
}

/// Sagas of users, `[sagas]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SagasSettings {
    /// Whether a client may send the steps of a saga with its request.
    pub inline: bool,
}

/// The saga, `[checkout]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckoutSettings {
    /// Whether a compensating saga returns stock too.
    pub compensate_inventory: bool,
}

/// The catalog service, `[catalog]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogSettings {
    /// Age at which the products in memory are read again.
    pub refresh_ms: u64,
}

/// The inventory service, `[inventory]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventorySettings {
    /// Stock of a product that inventory has not seen before.
    pub initial_stock: i32,
    /// Stock at which a product counts as running out in the metrics.
    pub low_stock: i32,
}
