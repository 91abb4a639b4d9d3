//! From a warp request to a handler and back.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use futures::{FutureExt, Stream, StreamExt};
use metrics::{counter, histogram};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use uuid::Uuid;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::request::{Params, Query, decode};
use super::routes::{Access, PathEntry};
use super::trace::TraceContext;
use super::{ApiError, Front, Request, Response};
use crate::{telemetry, wire};

struct Shared {
    service: &'static str,
    router: matchit::Router<PathEntry>,
    front: Front,
    admission: Semaphore,
}

/// Returns the whole front as one filter, which answers everything.
pub fn filter(front: Front) -> BoxedFilter<(Response,)> {
    let routes = front.routes.clone().merge(own_routes(&front));
    let shared = Arc::new(Shared {
        service: front.service,
        router: routes.into_router(),
        admission: Semaphore::new(front.settings.http.max_in_flight),
        front,
    });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, query: String, headers, body| {
            let shared = shared.clone();
            async move { shared.answer(method, path.as_str(), &query, headers, body).await }
        })
        .boxed()
}

/// Health and metrics, which every service has.
fn own_routes(front: &Front) -> super::Routes {
    let service = front.service;
    let (health, draining) = (front.health.clone(), front.draining.clone());
    super::Routes::new(service)
        .get("/health/", Access::Public, move |_| {
            let (health, draining) = (health.clone(), draining.clone());
            async move {
                let checks = health().await;
                let healthy = !draining.is_set() && checks.iter().all(|check| check.result.is_ok());
                let version = env!("CARGO_PKG_VERSION");
                if healthy {
                    let body = json!({ "status": "healthy", "service": service, "version": version });
                    return Ok(super::json(StatusCode::OK, &body));
                }
                let mut shown: serde_json::Map<_, _> = checks
                    .into_iter()
                    .map(|check| (check.name.to_owned(), check.result.err().unwrap_or_else(|| "ok".to_owned()).into()))
                    .collect();
                if draining.is_set() {
                    shown.insert("draining".to_owned(), "this process is about to stop".into());
                }
                let body = json!({ "status": "unhealthy", "service": service, "version": version, "checks": shown });
                Ok(super::json(StatusCode::SERVICE_UNAVAILABLE, &body))
            }
        })
        .get("/health/live/", Access::Public, move |_| async move {
            let body = json!({ "status": "healthy", "service": service, "version": env!("CARGO_PKG_VERSION") });
            Ok(super::json(StatusCode::OK, &body))
        })
        .get("/metrics", Access::Public, |_| async {
            let text = telemetry::metrics_handle().map(|handle| handle.render()).unwrap_or_default();
            Ok(super::with_body(StatusCode::OK, "text/plain; version=0.0.4", text.into_bytes()))
        })
}

impl Shared {
    async fn answer<B: Buf>(
        &self,
        method: Method,
        path: &str,
        query: &str,
        headers: HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Response {
        let started = Instant::now();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let request_id = text(wire::REQUEST_ID)
            .filter(|id| !id.is_empty() && id.len() <= 128)
            .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        let trace =
            text(wire::TRACEPARENT).and_then(TraceContext::parse).map_or_else(TraceContext::start, TraceContext::child);
        let is_head = method == Method::HEAD;
        let label = method.as_str().to_owned();
        let (route, answer) = self.dispatch(method, path, query, headers, body, &request_id, trace).await;
        let mut response = answer.unwrap_or_else(ApiError::into_response);
        if is_head {
            *response.body_mut() = Bytes::new().into();
        }
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(wire::REQUEST_ID, value);
        }
        if let Ok(value) = HeaderValue::from_str(&trace.to_header()) {
            response.headers_mut().insert(wire::TRACEPARENT, value);
        }
        let status = response.status().as_u16().to_string();
        counter!("http_requests_total", "service" => self.service, "route" => route, "method" => label, "status" => status)
            .increment(1);
        histogram!("http_request_seconds", "service" => self.service, "route" => route)
            .record(started.elapsed().as_secs_f64());
        response
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of one request, taken apart once")]
    async fn dispatch<B: Buf>(
        &self,
        method: Method,
        path: &str,
        query: &str,
        headers: HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
        request_id: &str,
        trace: TraceContext,
    ) -> (&'static str, Result<Response, ApiError>) {
        const NO_ROUTE: &str = "none";
        let bare = match path.trim_end_matches('/') {
            "" => "/",
            bare => bare,
        };
        let Ok(found) = self.router.at(bare) else {
            return (NO_ROUTE, Err(ApiError::not_found(format!("there is nothing at {path}"))));
        };
        let entry = found.value;
        let route = entry.template;
        let Some(endpoint) = entry.endpoint(&method) else {
            return (route, Err(ApiError::method_not_allowed(entry.allow())));
        };
        let answer = async {
            self.authorise(endpoint.access, &headers)?;
            let is_write = method != Method::GET && method != Method::HEAD;
            if is_write && self.front.draining.is_set() {
                return Err(ApiError::unavailable("this process is about to stop; ask another one", 1));
            }
            let _admitted = match endpoint.access {
                Access::Public | Access::Operator => None,
                Access::Client | Access::Service => Some(
                    self.admission
                        .try_acquire()
                        .map_err(|_| ApiError::unavailable("too many requests are in flight", 1))?,
                ),
            };
            let params = found.params.iter().map(|(name, value)| Ok((name.to_owned(), decode(value)?)));
            let params = Params(params.collect::<Result<_, ApiError>>()?);
            let request = Request {
                path: path.to_owned(),
                params,
                query: Query::parse(query)?,
                body: self.read_body(&headers, body).await?,
                request_id: request_id.to_owned(),
                trace,
                prefix: prefix(&headers),
                method,
                headers,
            };
            let handled = AssertUnwindSafe((endpoint.handler)(request)).catch_unwind().await;
            handled.unwrap_or_else(|_| Err(ApiError::internal(format!("the handler of {route} panicked"))))
        };
        (route, answer.await)
    }

    fn authorise(&self, access: Access, headers: &HeaderMap) -> Result<(), ApiError> {
        let auth = &self.front.settings.auth;
        // The first is the door's own; where it is not set, the door is open. The others belong to who may do more.
        let tokens: &[&SecretString] = match access {
            Access::Public => return Ok(()),
            Access::Client => &[&auth.api_token, &auth.service_token],
            Access::Service => &[&auth.service_token],
            Access::Operator => &[&auth.operator_token],
        };
        if !is_set(tokens[0]) {
            let is_off = access == Access::Operator && self.front.settings.is_production();
            return match is_off {
                true => Err(ApiError::forbidden("operator endpoints are off: set auth.operator_token")),
                false => Ok(()),
            };
        }
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(ApiError::unauthorized)?;
        match tokens.iter().any(|token| is_set(token) && is_equal(given, token)) {
            true => Ok(()),
            false => Err(ApiError::forbidden("this token does not open this endpoint")),
        }
    }

    async fn read_body<B: Buf>(
        &self,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Result<Bytes, ApiError> {
        let limit = self.front.settings.http.body_limit_bytes;
        let announced =
            headers.get("content-length").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        if announced.is_some_and(|length: u64| length > limit as u64) {
            return Err(ApiError::too_large(limit));
        }
        let mut read = BytesMut::new();
        let mut body = std::pin::pin!(body);
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk.map_err(|_| ApiError::malformed("the body ended early"))?;
            if read.len() + chunk.remaining() > limit {
                return Err(ApiError::too_large(limit));
            }
            while chunk.has_remaining() {
                let part = chunk.chunk().len();
                read.extend_from_slice(chunk.chunk());
                chunk.advance(part);
            }
        }
        Ok(read.freeze())
    }
}

fn is_set(token: &SecretString) -> bool {
    !token.expose_secret().is_empty()
}

fn is_equal(given: &str, token: &SecretString) -> bool {
    given.as_bytes().ct_eq(token.expose_secret().as_bytes()).into()
}

/// Returns a prefix that is safe to put before links.
fn prefix(headers: &HeaderMap) -> String {
    let given = headers.get(wire::FORWARDED_PREFIX).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_safe = given.starts_with('/')
        && !given.starts_with("//")
        && given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    if is_safe { given.trim_end_matches('/').to_owned() } else { String::new() }
}

/// The error of a service that always answers.
pub(super) type Never = Infallible;
