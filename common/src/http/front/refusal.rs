//! Answers to requests that do not reach the routes because of an invalid head.

use std::time::Duration;

use hyper::{
    Method, Request,
    header::{HeaderMap, HeaderValue},
};

use super::{RequestPipeline, UNMATCHED, name};
use crate::http::{
    ApiError, Response,
    access_log::RequestLine,
    head::{self, Arrived},
    headers, metrics,
    routes::{OTHER_METHOD, method_label},
    span::{self, Answered},
};

impl RequestPipeline {
    /// Answers a request that must not reach the routes. The routes rely on a path, and CONNECT has none.
    pub(in crate::http) fn check_head<B>(&self, request: &Request<B>) -> Option<Response> {
        let refused = match *request.method() {
            Method::CONNECT => Err(ApiError::no_tunnels(self.table.methods())),
            _ => head::check(request),
        };
        let error = refused.err()?;
        let client = request.extensions().get().map(|arrived: &Arrived| arrived.peer);
        let line = RequestLine {
            path: Some(span::start_of(request.uri().path())),
            client: client.map(|peer| self.clients.address(peer, request.headers())),
        };
        Some(self.refuse(method_label(request.method()), request.headers(), line, error))
    }

    /// Answers a head that could not be parsed.
    pub(in crate::http) fn refuse_head(&self, error: ApiError) -> Response {
        let line = RequestLine { path: None, client: None };
        self.refuse(OTHER_METHOD, &HeaderMap::<HeaderValue>::new(), line, error)
    }

    fn refuse(&self, method: &'static str, headers: &HeaderMap, line: RequestLine, error: ApiError) -> Response {
        metrics::count_unmatched(self.service, UNMATCHED, method, error.status());
        metrics::count_refused(self.service, error.reason());
        let trace = span::begin(&self.tracer, headers::parent(headers));
        let mut response = error.into_response();
        if self.logs_access() {
            line.log(self.service, &trace, &Answered { method, route: None, response: &response }, Duration::ZERO);
        }
        name(&mut response, headers::request_id(headers), trace);
        response
    }
}
