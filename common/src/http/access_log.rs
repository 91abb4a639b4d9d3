//! The access log: a line at level info for each request but those of health and metrics, with the target `access`. It has
//! no query, no body, and of the headers only the trace and the client's address, since the others may have secrets.

use std::net::IpAddr;
use std::time::Duration;

use hyper::body::Body;
use tracing::{Level, enabled, info};

use super::TraceContext;
use super::client::Clients;
use super::head::Head;
use super::span::{Answered, start_of};

/// Data of a request for its line, kept while the handler owns the request.
pub(super) struct RequestLine {
    /// `None` if the head could not be parsed.
    pub(super) path: Option<String>,
    pub(super) client: Option<IpAddr>,
}

/// Returns whether the filter lets the lines through.
pub(super) fn is_wanted() -> bool {
    enabled!(target: "access", Level::INFO)
}

/// Extracts the data of the line.
pub(super) fn seen(head: &Head, clients: &Clients) -> RequestLine {
    RequestLine { path: Some(start_of(&head.path)), client: head.peer.map(|peer| clients.address(peer, &head.headers)) }
}

impl RequestLine {
    /// Logs the line. A streamed answer has no size yet, and its duration ends with its head.
    pub(super) fn log(self, service: &str, trace: &TraceContext, answered: &Answered<'_>, took: Duration) {
        let Answered { method, route, response } = *answered;
        let status = response.status().as_u16();
        info!(
            target: "access",
            service,
            method,
            path = self.path,
            route,
            status,
            duration_ms = took.as_micros() as f64 / 1_000.0,
            client = self.client.map(tracing::field::display),
            bytes = response.body().size_hint().exact(),
            trace_id = format_args!("{:032x}", trace.trace_id),
            span_id = format_args!("{:016x}", trace.span_id),
            "answered"
        );
    }
}
