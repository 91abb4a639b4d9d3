//! A request as handlers see it.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use warp::http::{HeaderMap, Method};

use super::ApiError;
use super::trace::TraceContext;
use crate::fields::Fields;

/// A request whose route is known.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, as it came.
    pub path: String,
    /// What stands in the path for the template's names.
    pub params: Params,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Names it in every log.
    pub request_id: String,
    /// Its span.
    pub trace: TraceContext,
    /// What a proxy has stripped from the path; empty without one.
    pub prefix: String,
}

/// Decoded path segments by name.
#[derive(Clone, Debug, Default)]
pub struct Params(pub(super) Vec<(String, String)>);

/// Decoded query parameters by name; of repeated ones the last.
#[derive(Clone, Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(raw: &str) -> Result<Self, ApiError> {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
        });
        Ok(Self(pairs.collect::<Result<_, ApiError>>()?))
    }

    /// Returns the value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Decodes percent-encoding.
pub(super) fn decode(text: &str) -> Result<String, ApiError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| ApiError::malformed("the path or query is not UTF-8"))
}

impl Request {
    /// Returns a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns what stands in the path for a name of the route's template; empty for a name that it does not have.
    pub fn param(&self, name: &str) -> &str {
        self.params.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Reads the body as a JSON object.
    ///
    /// # Errors
    /// 415 for another content type, 400 for what is no object.
    pub fn json_fields(&self) -> Result<Fields<'_>, ApiError> {
        let content_type = self.header("content-type").unwrap_or("application/json");
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is_json = media_type.eq_ignore_ascii_case("application/json") || media_type.ends_with("+json");
        if !is_json {
            return Err(ApiError::unsupported_media_type());
        }
        Fields::parse(&self.body)
    }
}
