//! The HTTP front of every service: routes, errors, limits, tokens, health, metrics, and the accept loop.
//!
//! ```text
//! accept loop (serve) ─► warp filter (front) ─► id, trace ─► route ─► rate ─► token ─► admission ─► body ─► handler
//!   places, time limits    404, 405 + Allow      429     401, 403   503      413           answer or problem
//!   invalid heads          every answer: X-Request-Id, traceparent, metrics by route template
//! ```
//! Why one filter before a table of templates, instead of a filter per route: a router knows the matched template (the
//! label of metrics), knows the methods of a path (`Allow`), and costs the same for the first and the last route.

mod access;
mod access_log;
mod answer;
mod auth;
mod behind_others;
mod body;
mod call;
pub mod calls;
mod client;
mod cors;
mod cross_origin;
pub mod debug;
mod draining;
mod error;
mod event_stream;
mod front;
mod head;
mod headers;
mod health;
mod idempotency_key;
mod metrics;
pub mod negotiation;
pub mod openapi;
pub mod page;
mod rate_limit;
mod request;
mod routes;
mod saga_secret;
mod serve;
mod server;
mod span;
mod transport;
pub mod transport_faults;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

pub use access::Access;
pub use answer::{MAX_ANSWER_BYTES, read_answer};
pub use auth::{bearer, outgoing_bearer};
pub use behind_others::behind_others;
pub(crate) use client::network;
pub use draining::Draining;
pub use error::{ApiError, Because};
pub use event_stream::{SseEvent, byte_stream, event_stream};
pub use foundation::{
    secret::SecretHash,
    trace_context::{PartOf, TraceContext},
};
pub use front::unindexed;
pub use health::{Check, Finding, HealthCheck};
pub use hyper::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
pub use idempotency_key::{Form, IdempotencyKey};
pub use request::{Params, Query, Request};
pub use routes::Routes;
pub use saga_secret::SagaSecret;
pub use serve::serve;
pub use server::server;
pub use span::{trace_header, version_name};
pub use transport::{LocalConnection, Transport};

use crate::config::Settings;
use crate::traces::Tracer;

/// An answer.
pub type Response = warp::reply::Response;

/// The public side of a service. Beside its own routes it gets `/health/`, `/health/live/`, `/metrics`, and
/// `/openapi.json` and `/docs`, which describe all of them. Every path works with and without its trailing slash.
#[derive(Clone)]
pub struct HttpService {
    /// Name of the service in health, metrics and logs.
    pub service: &'static str,
    /// Its routes.
    pub routes: Routes,
    /// Limits and tokens.
    pub settings: Arc<Settings>,
    /// The checks behind `/health/`.
    pub health: HealthCheck,
    /// Set when the service is about to stop.
    pub draining: Draining,
    /// Records the spans of requests.
    pub tracer: Tracer,
    /// The way by which it takes calls of other services, beside messages on one stream (see [`calls`]); `None` if it takes
    /// neither.
    pub calls: Option<Transport>,
}

/// Answers with a JSON body. Bodies are our own types, which always serialize; a serialization error becomes a 500.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    // Large enough for most bodies, so that they take one allocation.
    let mut bytes = Vec::with_capacity(320);
    if let Err(error) = serde_json::to_writer(&mut bytes, body) {
        return ApiError::internal(format!("an answer cannot be serialized: {error}")).into_response();
    }
    with_body(status, "application/json", bytes)
}

/// Answers with a body without a type, which the caller sets.
pub fn with_bytes(body: Bytes) -> Response {
    Response::new(body.into())
}

/// Answers with a body of any type.
pub fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
