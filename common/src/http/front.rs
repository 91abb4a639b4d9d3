//! The one filter: the steps that every request passes, in this order, on any route.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use futures::{FutureExt, Stream};
use hyper::{
    Method, StatusCode,
    body::Body,
    header::{ALLOW, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue},
};
use tokio::sync::Semaphore;
use tracing::{Instrument, debug, debug_span};
use warp::{Filter, filters::BoxedFilter, path::FullPath};

use super::{
    ApiError, Because, Draining, HttpService, Query, Request, Response, TraceContext, access_log,
    auth::{Guard, basic_as_bearer},
    body::{self, Limits},
    client::Clients,
    cors::Cors,
    cross_origin,
    head::{Arrived, Head},
    headers, health, metrics, openapi,
    rate_limit::RateLimit,
    routes::{
        Admission, method_label,
        table::{Endpoint, Found, Table},
    },
    span::{self, Answered, trace_header},
};
use crate::{
    db,
    per_client::PerClient,
    reason,
    telemetry::{self, lines},
    traces::Tracer,
    wire,
};

mod admission;
mod refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static(wire::REQUEST_ID);
const TRACEPARENT: HeaderName = HeaderName::from_static(wire::TRACEPARENT);

/// Seconds after which a request rejected by admission may be retried.
const RETRY_AFTER_S: u64 = 1;

/// Metrics label of requests that match no template.
const UNMATCHED: &str = "unmatched";

/// Creates the filter that passes requests to a pipeline. It never rejects.
pub(super) fn filter(pipeline: Arc<RequestPipeline>) -> BoxedFilter<(Response,)> {
    // The raw query, because warp's own decoding replaces bytes that are not UTF-8.
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Arrived>())
        .and(warp::body::stream())
        .then(move |method, path: FullPath, query, headers, arrived: Option<Arrived>, body| {
            let pipeline = pipeline.clone();
            let path = path.as_str().to_owned();
            let (peer, version, authority) = match arrived {
                Some(Arrived { peer, version, authority }) => (Some(peer), Some(version), authority),
                None => (None, None, None),
            };
            let head = Head { method, path, query, headers, peer, version, authority };
            async move { pipeline.answer(head, body).await }
        })
        .boxed()
}

/// The checks before the handlers of a service.
pub(super) struct RequestPipeline {
    service: &'static str,
    table: Table,
    guard: Arc<Guard>,
    cors: Option<Cors>,
    rate_limit: Option<RateLimit>,
    draining: Draining,
    /// One permit per request in flight.
    at_work: Semaphore,
    clients: Clients,
    /// Requests in flight per client behind a trusted proxy.
    at_work_of: PerClient,
    body: Limits,
    tracer: Tracer,
    access_log: bool,
    /// The most calls of one stream at a time; `None` if the service offers no streams.
    max_calls: Option<usize>,
}

impl RequestPipeline {
    pub(super) fn of(front: HttpService) -> Self {
        // Set up before the endpoints create their counters.
        telemetry::metrics_handle();
        let HttpService { service, routes, settings, health, draining, tracer, calls } = front;
        let routes = routes.merge(health::routes(service, health, draining.clone())).merge(metrics::routes(service));
        let guard = Arc::new(Guard::of(&settings));
        let asked = guard.clone();
        let routes = openapi::with_description(routes, Arc::new(move |access| asked.is_open(access)));
        Self {
            service,
            table: Table::of(routes),
            guard,
            cors: Cors::of(&settings.http.cors_origins),
            rate_limit: RateLimit::of(&settings),
            draining,
            at_work: Semaphore::new(settings.http.max_in_flight.min(Semaphore::MAX_PERMITS)),
            clients: Clients::behind(&settings.http.trusted_proxies),
            at_work_of: PerClient::new(settings.http.max_in_flight_per_client),
            body: Limits {
                bytes: settings.http.body_limit_bytes,
                time: Duration::from_millis(settings.http.header_timeout_ms),
            },
            tracer,
            access_log: settings.telemetry.access_log,
            // More than admission allows, so that a caller above that limit is answered.
            max_calls: calls.map(|_| settings.http.max_in_flight.saturating_mul(2).max(256)),
        }
    }

    /// Returns the most calls of one stream at a time; `None` if the service offers no streams of calls.
    pub(super) fn max_calls(&self) -> Option<usize> {
        self.max_calls
    }

    /// Returns whether a stop was announced or has begun.
    pub(super) fn stop_is_announced(&self) -> bool {
        self.draining.is_announced()
    }

    /// Returns the largest body of a request, in bytes.
    pub(super) fn body_limit(&self) -> usize {
        self.body.bytes
    }

    /// Answers a request. Not an `async fn`, which would store all its arguments twice, for every waiting call.
    pub(super) fn answer<S, B>(&self, head: Head, body: S) -> impl Future<Output = Response> + Send + use<'_, S, B>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
        B: Buf + Send,
    {
        let parent = headers::parent(&head.headers);
        let trace = span::begin(&self.tracer, parent);
        let lines = lines::LineContext { service: self.service, trace, saga_id: headers::saga_id(&head.headers) };
        lines::within(lines, self.answer_as_part_of(head, body, parent, trace))
    }

    async fn answer_as_part_of<S, B>(
        &self,
        head: Head,
        body: S,
        parent: Option<TraceContext>,
        trace: TraceContext,
    ) -> Response
    where
        S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
        B: Buf + Send,
    {
        let began = Instant::now();
        let request_id = headers::request_id(&head.headers);
        let found = self.table.find(&head.method, &head.path);
        // Operational requests (health, metrics, debug) are frequent and belong to no trace.
        let is_operational =
            matches!(&found, Found::Endpoint(endpoint, _) if endpoint.route.admission == Admission::Open);
        let seen = if is_operational { None } else { span::seen(&self.tracer, parent, trace, &head, &self.clients) };
        let access = self.logs_access().then(|| access_log::seen(&head, &self.clients));
        let is_head = head.method == Method::HEAD;
        let has_body = body::follows(&head.headers);
        let mut unread = Some(body);
        let method = method_label(&head.method);
        // Kept for the answer, because the handler takes the request.
        let origin = self.cors.as_ref().map(|_| origin(&head.headers));

        let (answer, counted) = match found {
            _ if self.lacks_room(&found, &head) => {
                let full = ApiError::unavailable("too many connections are open; nothing was done", RETRY_AFTER_S);
                (Err(full.because(Because::Connections)), Counted::As(UNMATCHED))
            }
            Found::Endpoint(endpoint, params) => {
                let answer = self.at_endpoint(endpoint, params, head, &mut unread, request_id.clone(), trace).await;
                (answer, Counted::By(endpoint))
            }
            Found::OtherMethods { template, allow } => {
                let answer = match &self.cors {
                    Some(cors) if Cors::is_preflight(&head.method, &head.headers) => {
                        cors.preflight(&head.headers, &allow)
                    }
                    _ => Err(ApiError::method_not_allowed(allow)),
                };
                (answer, Counted::As(template))
            }
            // OPTIONS * asks about the server as a whole (RFC 9110, 9.3.7).
            Found::Nothing if head.method == Method::OPTIONS && head.path == "*" => {
                (Ok(allowed(self.table.methods())), Counted::As(UNMATCHED))
            }
            Found::Unreadable => (Err(ApiError::malformed("the path is not UTF-8")), Counted::As(UNMATCHED)),
            Found::Nothing => {
                let path = &head.path;
                (Err(ApiError::not_found(format!("there is no path {path}"))), Counted::As(UNMATCHED))
            }
        };

        if let Some(body) = unread.filter(|_| has_body) {
            body::discard(Box::pin(body));
        }
        let mut response = answer.unwrap_or_else(|error| {
            error.log(self.service, &request_id);
            error.into_response()
        });
        if let Some(reason) = response.extensions().get() {
            metrics::count_refused(self.service, *reason);
        }
        if is_head {
            drop_body(&mut response);
        }
        let route = match counted {
            Counted::By(endpoint) => endpoint.template(),
            Counted::As(route) => route,
        };
        let answered = Answered { method, route: (route != UNMATCHED).then_some(route), response: &response };
        let trace = span::end(&self.tracer, parent, trace, seen, &answered);
        let is_probe = route == "/metrics/" || route.starts_with("/health/");
        match access.filter(|_| !is_probe) {
            Some(access) => access.log(self.service, &trace, &answered, began.elapsed()),
            None => {
                let status = response.status().as_u16();
                debug!(service = self.service, method, route, status, took = ?began.elapsed(), "answered");
            }
        }
        name(&mut response, request_id, trace);
        let headers = response.headers_mut();
        if let (Some(cors), Some(origin)) = (&self.cors, origin) {
            cors.mark(&origin, headers);
        }
        match counted {
            Counted::By(endpoint) => endpoint.metrics.observe(response.status(), began.elapsed()),
            Counted::As(route) => metrics::count_unmatched(self.service, route, method, response.status()),
        }
        response
    }

    /// Returns whether requests are logged: by the settings, and by the filter.
    pub(super) fn logs_access(&self) -> bool {
        self.access_log && access_log::is_wanted()
    }

    async fn at_endpoint<S, B>(
        &self,
        endpoint: &Endpoint,
        params: super::Params,
        head: Head,
        unread: &mut Option<S>,
        request_id: String,
        trace: TraceContext,
    ) -> Result<Response, ApiError>
    where
        S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
        B: Buf + Send,
    {
        let client = head.peer.map(|peer| self.clients.of(peer, &head.headers));
        self.limit_rate(endpoint, client, &head.headers)?;
        cross_origin::check(&head.method, &head.headers, head.authority.as_ref(), self.cors.as_ref())?;
        let access = endpoint.route.access_for(&head.query);
        if endpoint.route.basic {
            self.guard.check(access, &basic_as_bearer(&head.headers))?
        } else {
            self.guard.check(access, &head.headers)?
        }
        self.hear_of_timelines(&head);
        let _share = self.share(endpoint, client, &head.headers)?;
        let _at_work = self.admit(endpoint)?;
        let query = Query::parse(&head.query).ok_or_else(|| ApiError::malformed("the query is not UTF-8"))?;
        let body = match unread.take() {
            Some(body) => body::without_byte_order_mark(body::read(body, &head.headers, self.body).await?),
            None => Bytes::new(),
        };
        let span = debug_span!(
            "request",
            service = self.service,
            route = endpoint.template(),
            request.id = %request_id,
            trace_id = format_args!("{:032x}", trace.trace_id)
        );
        let request = Request {
            prefix: headers::prefix(&head.headers),
            path: head.path,
            method: head.method,
            params,
            query,
            headers: head.headers,
            body,
            request_id,
            trace,
            client: client.map(|client| client.address),
            guard: self.guard.clone(),
            without_secret: endpoint.route.exceptions.without_secret,
        };
        let handler = &endpoint.route.handler;
        let handled = AssertUnwindSafe(async { handler(request).await }.instrument(span)).catch_unwind().await;
        handled.unwrap_or_else(|panic| {
            Err(ApiError::internal(format!("a handler panicked: {}", reason::of_panic(&*panic))))
        })
    }
}

impl RequestPipeline {
    /// Reads the timelines of the database that another service has seen. Without a service token, only this machine
    /// and trusted proxies are believed.
    fn hear_of_timelines(&self, head: &Head) {
        let Some(known) = headers::text(&head.headers, wire::DATABASE_TIMELINE) else { return };
        let is_near =
            || head.peer.is_none_or(|peer| peer.address.is_loopback() || self.clients.is_trusted(peer.address));
        if self.guard.is_service(&head.headers).unwrap_or_else(is_near) {
            known.split(',').filter_map(|timeline| timeline.trim().parse().ok()).for_each(db::hear_of);
        }
    }
}

/// Adds request id and trace context to an answer.
fn name(response: &mut Response, request_id: String, trace: TraceContext) {
    let headers = response.headers_mut();
    headers.insert(TRACEPARENT, unindexed(trace_header(&trace)));
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, unindexed(id));
    }
}

/// Keeps a unique header value out of HTTP/2's compression table of the connection, where it would evict values that
/// repeat.
pub fn unindexed(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// The metrics by which a request is counted.
enum Counted<'a> {
    By(&'a Endpoint),
    As(&'static str),
}

/// Keeps only the `Origin` header.
fn origin(headers: &HeaderMap) -> HeaderMap {
    let origin = hyper::header::ORIGIN;
    headers.get(&origin).map(|value| (origin, value.clone())).into_iter().collect()
}

/// Answers an OPTIONS request with the allowed methods.
fn allowed(methods: HeaderValue) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, methods);
    response
}

/// Turns the answer to a GET into one to a HEAD: the same length, without the body.
fn drop_body(response: &mut Response) {
    let length = response.body().size_hint().exact();
    if let Some(length) = length
        && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    *response.body_mut() = Default::default();
}
