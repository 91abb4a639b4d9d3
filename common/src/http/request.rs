//! A request for a handler: matched, admitted, its body in memory.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use bytes::Bytes;
use hyper::{
    Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::{Access, ApiError, IdempotencyKey, SagaSecret, SecretHash, TraceContext, auth::Guard, headers::text};
use crate::fields::{FieldError, Fields, RequestBody};

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method; the handler of GET answers HEAD too.
    pub method: Method,
    /// Its path as received, without the query.
    pub path: String,
    /// Values of the template's path parameters.
    pub params: Params,
    /// Its query.
    pub query: Query,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, limited in length.
    pub body: Bytes,
    /// Identifies it in logs: the client's `X-Request-Id`, or a generated one.
    pub request_id: String,
    /// This service's span of the trace.
    pub trace: TraceContext,
    /// The path prefix that a proxy removed, without a trailing slash; it precedes every path in answers.
    pub prefix: String,
    /// The client's address, or its /64 network for IPv6; `None` without a connection.
    pub client: Option<IpAddr>,
    pub(super) guard: Arc<Guard>,
    /// The access that the route demands for sagas without a secret.
    pub(super) without_secret: Option<Access>,
}

impl Request {
    /// Returns the first header of a name; `None` if it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    /// Returns the decoded value of the path parameter `{name}`.
    ///
    /// # Panics
    /// If the template has no such parameter.
    pub fn param(&self, name: &str) -> &str {
        self.find_param(name).unwrap_or_else(|| panic!("the template of {} has no parameter {name}", self.path))
    }

    /// Returns a parameter of the path; `None` if the template has no such parameter.
    pub fn find_param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// Returns the client's `Idempotency-Key`; `None` if it is absent.
    ///
    /// # Errors
    /// 422 if there are several keys; the error of `bad` if the header holds no valid key.
    pub fn idempotency_key(&self, bad: fn(Vec<FieldError>) -> ApiError) -> Result<Option<IdempotencyKey>, ApiError> {
        IdempotencyKey::of(&self.headers, bad)
    }

    /// Returns the client's `Saga-Secret`; `None` if it is absent.
    ///
    /// # Errors
    /// 422 if the header holds no valid secret.
    pub fn saga_secret(&self) -> Result<Option<SagaSecret>, ApiError> {
        SagaSecret::of(&self.headers)
    }

    /// Checks whether this request may touch a saga that was started with this secret, or without one: it must have the
    /// same `Saga-Secret`, or the operator token. Without one it must have the access that the route declares.
    ///
    /// # Errors
    /// The error of `not_found` without the right secret; 422 if the header holds no valid secret; 401 or 403 without
    /// the access.
    pub fn present_secret(
        &self,
        saga_id: Uuid,
        stored: Option<&SecretHash>,
        not_found: impl FnOnce() -> ApiError,
    ) -> Result<(), ApiError> {
        let given = self.saga_secret()?;
        match (stored, self.without_secret) {
            (Some(stored), _) => {
                let is_known = given.is_some_and(|secret| secret.is_of(saga_id, stored));
                if is_known || self.guard.is_operator(&self.headers) { Ok(()) } else { Err(not_found()) }
            }
            (None, Some(access)) => self.guard.check(access, &self.headers),
            (None, None) => Ok(()),
        }
    }

    /// Reads the JSON body.
    ///
    /// # Errors
    /// Those of [`Request::json_fields`], and the error that `bad` makes of every invalid member.
    pub fn json<T: RequestBody>(&self, bad: fn(Vec<FieldError>) -> ApiError) -> Result<T, ApiError> {
        self.json_fields()?.into_body().map_err(bad)
    }

    /// Parses the JSON body.
    ///
    /// # Errors
    /// 415 if it is declared as another type, or encoded; 400 if it is not a JSON object.
    pub fn json_fields(&self) -> Result<Fields<'_>, ApiError> {
        if !self.is_plain() {
            return Err(ApiError::unsupported_encoding());
        }
        if !self.declares_json() {
            return Err(ApiError::unsupported_media_type());
        }
        Fields::parse(&self.body).map_err(|error| ApiError::malformed(error.to_string()))
    }

    /// Compressed bodies are refused: the size of 64 KiB once decompressed has no useful bound.
    fn is_plain(&self) -> bool {
        let codings = self.headers.get_all(CONTENT_ENCODING).iter().map(|line| line.to_str().unwrap_or("\u{fffd}"));
        let mut codings = codings.flat_map(|line| line.split(',')).map(str::trim).filter(|coding| !coding.is_empty());
        codings.all(|coding| coding.eq_ignore_ascii_case("identity"))
    }

    /// Accepts `application/json`, any type that ends in `+json`, and a missing type, which most likely means JSON. A
    /// charset is ignored: JSON is UTF-8, and a body in another encoding is refused later.
    fn declares_json(&self) -> bool {
        let Some(declared) = self.headers.get(CONTENT_TYPE) else { return true };
        let declared = declared.to_str().unwrap_or_default();
        let media_type = declared.split(';').next().unwrap_or_default().trim();
        let suffix = media_type.len().checked_sub("+json".len()).and_then(|at| media_type.get(at..));
        media_type.eq_ignore_ascii_case("application/json")
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
    }
}

/// Values of a template's path parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(pub(super) Vec<(&'static str, String)>);

impl Params {
    /// Returns the decoded value of the parameter `{name}`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(place, _)| *place == name).map(|(_, value)| value.as_str())
    }
}

/// The decoded query parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(pub(super) Vec<(String, String)>);

impl Query {
    /// Parses a query in form encoding. `None` if it does not decode to UTF-8: a guess at the broken part would answer
    /// a different question.
    pub(super) fn parse(raw: &str) -> Option<Self> {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).ok()
        };
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// Returns all parameters in their order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Returns the first parameter of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
