//! One struct a section of `default.toml`. What each key means to an operator is said there, in its comment;
//! here stands the unit and the type. Times are milliseconds.

use std::collections::BTreeMap;
use std::net::IpAddr;

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
    /// How long a client may take from the first byte of a head to its last, and for a body.
    pub header_timeout_ms: u64,
    /// How long a connection may be open without a request.
    pub idle_timeout_ms: u64,
    /// How long a client may take nothing of an answer.
    pub write_timeout_ms: u64,
    /// Open connections of one service.
    pub max_connections: usize,
    /// Open connections of one peer that is no trusted proxy; 0: any number.
    pub max_connections_per_peer: usize,
    /// Requests at work at once in one service; more are answered 503.
    pub max_in_flight: usize,
    /// Requests at work at once of one client behind a trusted proxy; more are answered 503; 0: any number.
    pub max_in_flight_per_client: usize,
    /// How long a stop waits for requests at work.
    pub drain_grace_ms: u64,
    /// Origins that browsers may call from; empty: CORS is off.
    pub cors_origins: Vec<String>,
    /// Addresses or networks whose `X-Forwarded-For` or `Forwarded` is believed.
    pub trusted_proxies: Vec<String>,
}

/// Limits of one client, `[rate_limit]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Requests a second in the long run; 0: no limit.
    pub per_second: u32,
    /// Requests at once after a pause.
    pub burst: u32,
}

/// Where one service lives, `[services.<name>]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// TCP port; 0 takes any free one.
    pub port: u16,
    /// Address by which others call it, without a trailing slash. Made from bind address and port when left empty.
    pub url: String,
    /// Name of its database.
    pub database: String,
    /// Password of its own role, which bears the name of its database; empty: it logs in as the user of `database.url`.
    pub database_password: SecretString,
}

/// PostgreSQL, `[database]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// URL of the server; empty: the caller has one of its own.
    pub url: SecretString,
    /// Connections of each pool.
    pub pool_size: u32,
    /// Wait for a connection.
    pub connect_timeout_ms: u64,
    /// Longest statement, enforced by the server.
    pub statement_timeout_ms: u64,
    /// How long a start waits for the server to answer.
    pub start_wait_ms: u64,
}

/// Bearer tokens, `[auth]`; empty means not set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// Opens `/debug` and the operator endpoints.
    pub operator_token: SecretString,
    /// Asked of clients when set.
    pub api_token: SecretString,
    /// Asked by participants for writes when set; the orchestrator sends it.
    pub service_token: SecretString,
}

/// Logs and traces, `[telemetry]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Filter in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
    /// Form of a log line.
    pub format: LogFormat,
    /// Where traces go, by OTLP over HTTP, such as `http://otel-collector:4318`; empty: nowhere.
    pub otlp_endpoint: String,
    /// How much of the traces that begin here is recorded, from 0 to 1.
    pub otlp_sample_ratio: f64,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The threads of a process, `[runtime]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeSettings {
    /// Threads that the services of a process share; 0: [`RuntimeSettings::threads`] decides.
    pub worker_threads: usize,
}

impl RuntimeSettings {
    /// Returns how many threads so many services of one process share where it may use so many processors.
    ///
    /// What one thread does costs less than what several do, which wake and wait for each other. A service alone has one
    /// for every four processors: of five on a machine none needs all of it. All in one process have one for every two:
    /// the database needs the others.
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
    /// Items in one transaction.
    pub max_batch: usize,
    /// Items that may wait.
    pub max_queue: usize,
}

/// What the health check asks for, `[health]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSettings {
    /// How long a batch may be under way before the writer counts as broken.
    pub writer_stalled_ms: u64,
}

/// Restart budgets, `[supervision]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisionSettings {
    /// Restarts within `within_ms` before a supervisor gives up.
    pub max_restarts: u32,
    /// Window of the budget.
    pub within_ms: u64,
    /// Wait before the first restart.
    pub backoff_min_ms: u64,
    /// Longest wait before a restart.
    pub backoff_max_ms: u64,
}

/// Sagas, leases and takeover, `[orchestrator]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrchestratorSettings {
    /// Identity of this node; empty: a new one for each process.
    pub node_id: String,
    /// Whether all sagas are put on hold at its start.
    pub hold: bool,
    /// Sagas that run at once; more are answered 503.
    pub max_running: usize,
    /// How long a client waits before it gets 202.
    pub wait_limit_ms: u64,
    /// How long after its id was made a saga may begin; the same on all nodes.
    pub begin_limit_ms: u64,
    /// Age at which a saga that is not done turns back.
    pub deadline_ms: u64,
    /// Validity of a lease.
    pub lease_ms: u64,
    /// Interval of lease renewals; less than half the lease.
    pub heartbeat_ms: u64,
    /// Age of an unconfirmed compensation at which a person is asked.
    pub attention_after_ms: u64,
    /// Attempts of a compensation after which a person is asked.
    pub attention_after_attempts: u32,
    /// Sagas claimed in one statement.
    pub takeover_batch: u32,
    /// Deaths of a saga's own actor without progress before it goes to attention.
    pub max_claims: u32,
    /// Interval of searches for sagas without an actor.
    pub sweep_ms: u64,
    /// Silence of a running saga after which it is called stalled.
    pub stalled_after_ms: u64,
    /// Longest wait of an event that nobody awaits.
    pub event_flush_ms: u64,
    /// Interval at which events are looked for.
    pub event_poll_ms: u64,
    /// Age at which events are pruned.
    pub events_keep_ms: u64,
    /// Listeners at once; more are answered 503.
    pub max_event_listeners: usize,
    /// Listeners at once of one client; more are answered 503; 0: any number.
    pub max_event_listeners_per_client: usize,
    /// Days from a saga's end until its details are cleared; 0: never.
    pub retention_days: u32,
    /// Time from a saga's end until its idempotency key is released, where retention is on.
    pub key_keep_ms: u64,
    /// How long a stop lets running sagas finish.
    pub grace_ms: u64,
}

/// The dashboard, `[ui]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UiSettings {
    /// Whether it gathers supervision trees and failure settings of all services.
    pub services: bool,
    /// Replicas of each service by name; none: the addresses of its host.
    pub replicas: BTreeMap<String, Vec<String>>,
}

/// Calls to participants, `[participants]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParticipantSettings {
    /// Limit for opening a connection.
    pub connect_timeout_ms: u64,
    /// Limit of one attempt.
    pub timeout_ms: u64,
    /// Calls in flight per participant.
    pub max_concurrent: usize,
    /// How many of `max_concurrent` only compensations may use.
    pub reserved_for_compensations: usize,
    /// HTTP/2 connections to each address of a participant.
    pub connections: usize,
    /// Whether participants in the same process are called without a socket.
    pub in_process: bool,
    /// Interval at which a participant's name is looked up.
    pub resolve_ms: u64,
    /// Failed calls of an operation in a row that open its circuit breaker; 0: never.
    pub breaker_failures: u32,
    /// How long it stays open before a probe.
    pub breaker_pause_ms: u64,
    /// Parked sagas that come back each second.
    pub breaker_wakes_per_second: u32,
    /// Calls in flight per operation for sagas that are FAILED already.
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
    /// For compensations of sagas that are FAILED already.
    pub failed: BackoffPolicy,
}

/// How soon something is tried again that is tried for ever, `[retry.failed]`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct BackoffPolicy {
    /// Shortest back-off.
    pub backoff_min_ms: u64,
    /// Longest back-off.
    pub backoff_max_ms: u64,
}

/// How often and how soon a call is tried again, `[retry.*]`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all; 0: for ever (compensations only).
    pub attempts: u32,
    /// First back-off, before jitter.
    pub backoff_min_ms: u64,
    /// Longest back-off, before jitter.
    pub backoff_max_ms: u64,
}

/// The saga, `[checkout]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckoutSettings {
    /// Whether a saga that turns back gives stock back too.
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
    /// Stock of a product that inventory has not seen.
    pub initial_stock: i32,
}
