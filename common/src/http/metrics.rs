//! `GET /metrics`, and the metrics of each request.

use std::{sync::OnceLock, time::Duration};

use ::metrics::{Counter, Histogram, counter, gauge, histogram};
use hyper::{Method, StatusCode};

use super::{
    Access, Response, Routes,
    error::Reason,
    openapi::{Description, EVERY_SERVICE, schema},
    routes::Admission,
    with_body,
};
use crate::{
    build::{Build, VERSION, build},
    telemetry::{self, Metric, MetricKind},
};

const REQUESTS: &str = "ecommerce_http_requests_total";
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const SECONDS: &str = "ecommerce_http_request_seconds";
const REFUSED: &str = "ecommerce_http_refused_total";
const BUILD: &str = "ecommerce_build_info";

/// The statuses whose counter handles are cached: all common ones.
const KEPT: [u16; 12] = [200, 202, 400, 401, 404, 409, 413, 422, 500, 502, 503, 504];

const METRICS: [Metric; 4] = [
    (MetricKind::Counter, REQUESTS, "Requests answered, by service, route template, method and status."),
    (MetricKind::Histogram, SECONDS, "Time from a request's headers to its answer, by service and route template."),
    (MetricKind::Counter, REFUSED, "Requests answered with a problem instead of a result, by service and reason."),
    (MetricKind::Gauge, BUILD, "1, with the service, its version, and the revision and day of its build as labels."),
];

/// Returns the route.
pub(super) fn routes(service: &'static str) -> Routes {
    telemetry::describe(&METRICS);
    let Build { revision, date } = build();
    gauge!(BUILD, "service" => service, "version" => VERSION, "revision" => revision, "date" => date).set(1.0);
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

/// Counts a request that was refused. A lookup by labels is no loss here: an answer with a result pays nothing.
pub(super) fn count_refused(service: &'static str, Reason(reason): Reason) {
    counter!(REFUSED, "service" => service, "reason" => reason).increment(1);
}

/// Counts a request that matched no endpoint.
pub(super) fn count_unmatched(service: &'static str, route: &'static str, method: &'static str, status: StatusCode) {
    requests(service, route, method, status).increment(1);
}

fn requests(service: &'static str, route: &'static str, method: &'static str, status: StatusCode) -> Counter {
    let status = status.as_str().to_owned();
    counter!(REQUESTS, "service" => service, "route" => route, "method" => method, "status" => status)
}
