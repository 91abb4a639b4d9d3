//! Answers to requests that do not reach the routes because of an invalid head.

use hyper::{
    Method, Request,
    header::{HeaderMap, HeaderValue},
};

use super::{RequestPipeline, UNMATCHED, name};
use crate::http::{ApiError, Response, head, metrics, request, routes::method_label, span};

impl RequestPipeline {
    /// Answers a request that must not reach the routes. The routes rely on a path, and CONNECT has none.
    pub(in crate::http) fn check_head<B>(&self, request: &Request<B>) -> Option<Response> {
        let refused = match *request.method() {
            Method::CONNECT => Err(ApiError::no_tunnels(self.table.methods())),
            _ => head::check(request),
        };
        let error = refused.err()?;
        Some(self.refuse(method_label(request.method()), request.headers(), error))
    }

    /// Answers a head that could not be parsed.
    pub(in crate::http) fn refuse_head(&self, error: ApiError) -> Response {
        self.refuse("other", &HeaderMap::<HeaderValue>::new(), error)
    }

    fn refuse(&self, method: &'static str, headers: &HeaderMap, error: ApiError) -> Response {
        metrics::count_unmatched(self.service, UNMATCHED, method, error.status());
        metrics::count_refused(self.service, error.reason());
        let trace = span::begin(&self.tracer, request::parent(headers));
        let mut response = error.into_response();
        name(&mut response, request::request_id(headers), trace);
        response
    }
}
