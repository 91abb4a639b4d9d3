//! Cross-origin requests of browsers, for the origins listed in `http.cors_origins`; off without any.
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>

use hyper::{
    Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
    },
};

use super::{ApiError, Response};

/// Response headers that pages may read, beside those that are always readable.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("location, retry-after, x-request-id, traceparent, idempotent-replayed");

/// How long a browser may cache a preflight, in seconds.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// The origins from which browsers may call.
pub(super) struct Cors {
    origins: Vec<HeaderValue>,
    any: bool,
}

impl Cors {
    /// Returns `None` if no origin is listed.
    pub(super) fn of(origins: &[String]) -> Option<Self> {
        let any = origins.iter().any(|origin| origin == "*");
        let origins: Vec<HeaderValue> =
            origins.iter().filter_map(|origin| HeaderValue::try_from(origin.trim_end_matches('/')).ok()).collect();
        if origins.is_empty() { None } else { Some(Self { origins, any }) }
    }

    /// Returns whether a request is a CORS preflight.
    pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Answers a preflight.
    ///
    /// # Errors
    /// 403 for an unlisted origin.
    pub(super) fn preflight(&self, headers: &HeaderMap, allow: &HeaderValue) -> Result<Response, ApiError> {
        if !self.allows(headers) {
            return Err(ApiError::forbidden("this origin is not listed in http.cors_origins"));
        }
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, allow.clone());
        if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        Ok(response)
    }

    /// Adds the headers that let a page of a listed origin read the answer.
    pub(super) fn mark(&self, request: &HeaderMap, response: &mut HeaderMap) {
        response.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.allowed(request) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    /// Returns whether the request comes from a listed origin.
    pub(super) fn allows(&self, request: &HeaderMap) -> bool {
        self.allowed(request).is_some()
    }

    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.contains(origin).then(|| origin.clone())
    }
}
