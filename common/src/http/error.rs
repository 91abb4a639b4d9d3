//! Errors that are no business answers: problem documents by RFC 9457, and nothing else.

use serde::Serialize;
use warp::http::{HeaderValue, StatusCode};

use super::{Response, with_body};
use crate::fields::FieldError;

/// An error and how it is answered.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    transaction_id: Option<String>,
    header: Option<(&'static str, String)>,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
}

impl ApiError {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self(Box::new(Inner {
            status,
            kind: "about:blank",
            detail,
            errors: Vec::new(),
            transaction_id: None,
            header: None,
        }))
    }

    fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.header = Some((name, value.into()));
        self
    }

    /// 400: the request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400: fields are bad, on a domain service.
    pub fn bad_fields_400(errors: Vec<FieldError>) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, "some fields are not as expected");
        error.0.errors = errors;
        error
    }

    /// 422: fields are bad, on the orchestrator.
    pub fn bad_fields_422(errors: Vec<FieldError>) -> Self {
        let mut error = Self::bad_fields_400(errors);
        error.0.status = StatusCode::UNPROCESSABLE_ENTITY;
        error
    }

    /// 404: there is nothing of that path or id.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 404 with a problem type of its own, which alone means a refusal to a saga.
    pub fn typed_not_found(kind: &'static str, detail: impl Into<String>) -> Self {
        let mut error = Self::not_found(detail);
        error.0.kind = kind;
        error
    }

    /// 405: another method is.
    pub fn method_not_allowed(allow: String) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path answers {allow}")).with_header("allow", allow)
    }

    /// 415: the body is not JSON.
    pub fn unsupported_media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected a body with content-type: application/json")
    }

    /// 413: the body is too large.
    pub fn too_large(limit_bytes: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body may have at most {limit_bytes} bytes"))
    }

    /// 409 that is no recorded decision.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 422: the key was used with other contents.
    pub fn contents_differ(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header("retry-after", retry_after_s.to_string())
    }

    /// 401: no token.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "expected authorization: Bearer <token>")
            .with_header("www-authenticate", "Bearer")
    }

    /// 403: the wrong token, or an endpoint that is off.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 500. The detail is for the log alone.
    pub fn internal(detail: impl Into<String>) -> Self {
        let detail = detail.into();
        tracing::error!(detail, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here; it has been logged")
    }

    /// Adds the transaction that it is about.
    pub fn with_transaction_id(mut self, id: impl std::fmt::Display) -> Self {
        self.0.transaction_id = Some(id.to_string());
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Makes the answer.
    pub fn into_response(self) -> Response {
        let inner = self.0;
        let problem = Problem {
            r#type: inner.kind,
            title: inner.status.canonical_reason().unwrap_or("Error"),
            status: inner.status.as_u16(),
            detail: &inner.detail,
            errors: &inner.errors,
            transaction_id: inner.transaction_id.as_deref(),
        };
        let body = serde_json::to_vec(&problem).expect("a problem is a struct of strings and numbers");
        let mut response = with_body(inner.status, "application/problem+json", body);
        if let Some((name, value)) = &inner.header
            && let Ok(value) = HeaderValue::from_str(value)
        {
            response.headers_mut().insert(*name, value);
        }
        response
    }
}
