//! Errors in responses: RFC 9457 problems.
//!
//! A problem explains the fault of the request, or says that the fault is ours. Details of our own faults are logged
//! and never part of the answer.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use hyper::{
    StatusCode,
    header::{ACCEPT_ENCODING, ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::{Response, with_body};
use crate::fields::FieldError;
use crate::wire::{STOPPING, timestamp};

/// An error answer, sent as `application/problem+json`.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Problem>);

#[derive(Clone, Debug)]
struct Problem {
    status: StatusCode,
    /// A relative reference, one per kind of problem, for programs.
    kind: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    transaction_id: Option<String>,
    decided_by: Option<String>,
    extra: Extra,
    because: Option<Because>,
}

/// Why a service is unavailable for a request, in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// Too many connections are open.
    Connections,
    /// Too many requests are in progress.
    Requests,
    /// Too many sagas are running.
    Sagas,
    /// Too many lists are being read.
    Lists,
    /// All sagas are on hold.
    Hold,
    /// The node holds no lease.
    NoLease,
    /// The database cannot be read or written now, or has not confirmed a write.
    Database,
    /// A failure that the settings ask for.
    Simulated,
}

impl Because {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Sagas => "sagas",
            Self::Lists => "lists",
            Self::Hold => "hold",
            Self::NoLease => "no-lease",
            Self::Database => "database",
            Self::Simulated => "simulated",
        }
    }
}

/// Why a request got a problem instead of a result: the label of a metric, carried by the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason(pub(super) &'static str);

/// Data of one kind of problem beyond the common members.
#[derive(Clone, Debug)]
enum Extra {
    None,
    Allow(HeaderValue),
    RetryAfter(u64),
    Authenticate,
    /// Request bodies must be sent without an encoding.
    PlainOnly,
    /// The cause, for the log.
    Cause(String),
}

/// An error (RFC 9457). Members that do not apply are omitted.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    /// Type of the problem, for programs.
    #[serde(rename = "type")]
    kind: &'a str,
    /// Type of the problem in words.
    title: &'a str,
    /// HTTP status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The exact error.
    detail: &'a str,
    /// The invalid fields, if any.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    /// The transaction of the request, if its outcome is worth asking for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    transaction_id: Option<&'a str>,
    /// If it is unknown whether that transaction was accepted: the time from which its status is final.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    decided_by: Option<&'a str>,
}

impl ApiError {
    /// 400: the request cannot be parsed.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", "The request cannot be read", detail)
    }

    /// 400: these fields are invalid. Used by participants.
    pub fn bad_fields_400(errors: Vec<FieldError>) -> Self {
        Self::bad_fields(StatusCode::BAD_REQUEST, errors)
    }

    /// 422: these fields are invalid. Used by the orchestrator.
    pub fn bad_fields_422(errors: Vec<FieldError>) -> Self {
        Self::bad_fields(StatusCode::UNPROCESSABLE_ENTITY, errors)
    }

    /// 400: this field is invalid.
    pub fn bad_field_400(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_fields_400(vec![FieldError::new(field, message)])
    }

    /// 422: this field is invalid.
    pub fn bad_field_422(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::bad_fields_422(vec![FieldError::new(field, message)])
    }

    /// 404: the resource does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 404 with its own problem type, for programs.
    pub fn typed_not_found(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, "Not found", detail)
    }

    /// 405: the path exists without this method; `allow` lists its methods.
    pub fn method_not_allowed(allow: HeaderValue) -> Self {
        let detail = format!("the methods of this path are {}", allow.to_str().unwrap_or_default());
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
            .with(Extra::Allow(allow))
    }

    /// 405 for CONNECT, the one method without a path.
    pub(super) fn no_tunnels(allow: HeaderValue) -> Self {
        let detail = "this server is not a proxy and opens no tunnels";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
            .with(Extra::Allow(allow))
    }

    /// 408: the head did not arrive in time.
    pub(super) fn head_timeout() -> Self {
        let detail = "the head of the request did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", detail)
    }

    /// 408: the body did not arrive in time.
    pub fn body_timeout() -> Self {
        let detail = "the body of the request did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", detail)
    }

    /// 409: the request conflicts with the current state. It is not a recorded decision.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
    }

    /// 413: the body is larger than `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body may have at most {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large", detail)
    }

    /// 414: the target is longer than `limit` bytes.
    pub(super) fn target_too_long(limit: usize) -> Self {
        let detail = format!("path and query may have at most {limit} bytes");
        Self::new(StatusCode::URI_TOO_LONG, "target-too-long", "Target too long", detail)
    }

    /// 431: the headers exceed `limit` bytes, or there are too many of them.
    pub(super) fn headers_too_large(limit: usize) -> Self {
        let detail = format!("a request may have at most 100 headers, with at most {limit} bytes in total");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", "Headers too large", detail)
    }

    /// 501: the transfer coding of the body is unknown.
    pub(super) fn unknown_coding(coding: &str) -> Self {
        let detail = format!("the transfer coding {coding:?} is not supported, only chunked is");
        Self::new(StatusCode::NOT_IMPLEMENTED, "not-implemented", "Not implemented", detail)
    }

    /// 415: the body is not declared as JSON.
    pub fn unsupported_media_type() -> Self {
        let detail = "the body must be JSON: Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported media type", detail)
    }

    /// 415: the body is compressed or otherwise encoded.
    pub fn unsupported_encoding() -> Self {
        let detail = "the body must be sent as it is, without a Content-Encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding", "Unsupported encoding", detail)
            .with(Extra::PlainOnly)
    }

    /// 422: the key of this request was used for a request with other contents.
    pub fn contents_differ(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "contents-differ", "Contents differ", detail)
    }

    /// 401: a token is required and missing.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed", detail).with(Extra::Authenticate)
    }

    /// 403: the token does not open this route, or no token does.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// 429: the client exceeds its rate; it may retry after this many seconds.
    pub fn too_many_requests(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail)
            .with(Extra::RetryAfter(retry_after_s))
    }

    /// 500: the fault is ours. `cause` is only logged.
    pub fn internal(cause: impl Into<String>) -> Self {
        let detail = "an internal error of the service; the X-Request-Id of this answer identifies it in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Internal error", detail)
            .with(Extra::Cause(cause.into()))
    }

    /// 503: temporarily unavailable; a retry makes sense after this many seconds.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", detail)
            .with(Extra::RetryAfter(retry_after_s))
    }

    /// 503: the service is stopping and did nothing; its replacement answers soon.
    pub(super) fn stopping(retry_after_s: u64) -> Self {
        let detail = "the service is stopping; nothing was done";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, STOPPING, "Stopping", detail).with(Extra::RetryAfter(retry_after_s))
    }

    /// Adds the transaction of the request, so that the client can ask for its outcome.
    #[must_use]
    pub fn with_transaction_id(mut self, transaction_id: impl Display) -> Self {
        self.0.transaction_id = Some(transaction_id.to_string());
        self
    }

    /// Adds the time from which it is known whether that transaction was accepted.
    #[must_use]
    pub fn with_decided_by(mut self, time: DateTime<Utc>) -> Self {
        self.0.decided_by = Some(timestamp(time));
        self
    }

    /// Names the reason for the metrics, where the type of the problem does not show it.
    #[must_use]
    pub fn because(mut self, because: Because) -> Self {
        self.0.because = Some(because);
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Returns the text for the client.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Returns the invalid fields; empty for other errors.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// Converts the error into a response.
    pub fn into_response(self) -> Response {
        let problem = &*self.0;
        let body = Body {
            kind: problem.kind,
            title: problem.title,
            status: problem.status.as_u16(),
            detail: &problem.detail,
            errors: &problem.errors,
            transaction_id: problem.transaction_id.as_deref(),
            decided_by: problem.decided_by.as_deref(),
        };
        let bytes = serde_json::to_vec(&body).expect("a struct of strings and numbers serializes");
        let mut response = with_body(problem.status, "application/problem+json", bytes);
        response.extensions_mut().insert(self.reason());
        let headers = response.headers_mut();
        match &problem.extra {
            Extra::None | Extra::Cause(_) => {}
            Extra::Allow(allow) => drop(headers.insert(ALLOW, allow.clone())),
            Extra::RetryAfter(seconds) => drop(headers.insert(RETRY_AFTER, HeaderValue::from(*seconds))),
            Extra::PlainOnly => drop(headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
            Extra::Authenticate => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        }
        response
    }

    pub(super) fn reason(&self) -> Reason {
        Reason(self.0.because.map_or(self.0.kind, Because::as_str))
    }

    /// Logs the cause, which is not part of the answer.
    pub(super) fn log(&self, service: &str, request_id: &str) {
        if let Extra::Cause(cause) = &self.0.extra {
            error!(service, request.id = request_id, cause, "a request failed with an internal error");
        }
    }

    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let (detail, errors) = (detail.into(), Vec::new());
        let (transaction_id, decided_by, extra, because) = (None, None, Extra::None, None);
        Self(Box::new(Problem { status, kind, title, detail, errors, transaction_id, decided_by, extra, because }))
    }

    fn bad_fields(status: StatusCode, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{} {}", one.field, one.message),
            several => format!("{} fields are bad", several.len()),
        };
        let mut error = Self::new(status, "bad-fields", "Bad fields", detail);
        error.0.errors = errors;
        error
    }

    fn with(mut self, extra: Extra) -> Self {
        self.0.extra = extra;
        self
    }
}
