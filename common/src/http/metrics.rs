//! `GET /metrics`, and the metrics of each request.

use std::{sync::OnceLock, time::Duration};

use ::metrics::{Counter, Histogram, counter, histogram};
use hyper::{Method, StatusCode};

use super::{
    Access, Response, Routes,
    openapi::{Description, EVERY_SERVICE, schema},
    routes::Admission,
    with_body,
};
use crate::telemetry::{self, Metric, MetricKind};

const REQUESTS: &str = "http_requests_total";
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const SECONDS: &str = "http_request_seconds";

/// The statuses whose counter handles are cached: all common ones.
const KEPT: [u16; 12] = [200, 202, 400, 401, 404, 409, 413, 422, 500, 502, 503, 504];

const METRICS: [Metric; 2] = [
    (MetricKind::Counter, REQUESTS, "Requests answered, by service, route template, method and status."),
    (MetricKind::Histogram, SECONDS, "Time from a request's headers to its answer, by service and route template."),
];

/// Returns the route.
pub(super) fn routes(service: &'static str) -> Routes {
    telemetry::describe(&METRICS);
    Routes::new(service).route(
        Method::GET,
        "/metrics/",
        Access::Public,
        Admission::Open,
        describe,
        async |_| Ok(show()),
    )
}

fn describe() -> Description {
    Description::new("metrics", "Metrics for Prometheus").tag(EVERY_SERVICE).answer_of(
        200,
        MEDIA_TYPE,
        schema::string(),
        "The metrics of the process, in the Prometheus text format.",
    )
}

fn show() -> Response {
    with_body(StatusCode::OK, MEDIA_TYPE, telemetry::scrape())
}

/// The counters and the histogram of an endpoint. Looking them up by labels for every request would cost more than the
/// rest of the front.
pub(super) struct EndpointMetrics {
    service: &'static str,
    route: &'static str,
    method: &'static str,
    seconds: Histogram,
    requests: [OnceLock<Counter>; KEPT.len()],
}

impl EndpointMetrics {
    pub(super) fn new(service: &'static str, route: &'static str, method: &'static str) -> Self {
        let seconds = histogram!(SECONDS, "service" => service, "route" => route);
        Self { service, route, method, seconds, requests: Default::default() }
    }

    /// Counts an answered request.
    pub(super) fn observe(&self, status: StatusCode, took: Duration) {
        self.seconds.record(took);
        match KEPT.iter().position(|kept| *kept == status.as_u16()) {
            Some(place) => self.requests[place].get_or_init(|| self.counter(status)).increment(1),
            None => self.counter(status).increment(1),
        }
    }

    fn counter(&self, status: StatusCode) -> Counter {
        requests(self.service, self.route, self.method, status)
    }
}

/// Counts a request that matched no endpoint.
pub(super) fn count_unmatched(service: &'static str, route: &'static str, method: &'static str, status: StatusCode) {
    requests(service, route, method, status).increment(1);
}

fn requests(service: &'static str, route: &'static str, method: &'static str, status: StatusCode) -> Counter {
    let status = status.as_str().to_owned();
    counter!(REQUESTS, "service" => service, "route" => route, "method" => method, "status" => status)
}
