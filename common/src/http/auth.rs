//! Access control by bearer tokens, compared in constant time. A route declares who may call it; what that means in a
//! profile, with the tokens that are set, is decided here.
//!
//! | access | accepted tokens |
//! |---|---|
//! | public | none is needed |
//! | client | the API token, if one is set; the service and operator tokens too |
//! | known client | the API token or the operator token |
//! | service | the service token or the operator token |
//! | operator | the operator token |
//!
//! In production a route whose tokens are not set is closed. Elsewhere a token that is not set is not required, so without
//! any token all is open; but where clients need the API token, so does everyone else.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::{Access, ApiError, headers::text};
use crate::config::{AuthSettings, Settings};

/// Returns the `Authorization` header for calls between services: the service token, else the API token; `None` if
/// neither is set.
pub fn outgoing_bearer(auth: &AuthSettings) -> Option<HeaderValue> {
    [&auth.service_token, &auth.api_token].into_iter().find_map(bearer)
}

/// Returns the `Authorization` header with a token; `None` if it is not set.
pub fn bearer(token: &SecretString) -> Option<HeaderValue> {
    if !is_set(token) {
        return None;
    }
    let mut header = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Checks the tokens of requests.
#[derive(Debug)]
pub(super) struct Guard {
    auth: AuthSettings,
    without_token: WithoutToken,
}

/// The treatment of a route whose token is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WithoutToken {
    /// It is open to every client.
    OpenToClients,
    /// It is closed to all but stronger tokens.
    Closed,
}

/// The requirement of an access.
enum Rule<'a> {
    /// No token.
    Open,
    /// One of these tokens. A token that is not set opens nothing.
    Demand(&'a [&'a SecretString]),
}

impl Guard {
    pub(super) fn of(settings: &Settings) -> Self {
        let without_token = if settings.is_production() { WithoutToken::Closed } else { WithoutToken::OpenToClients };
        Self { auth: settings.auth.clone(), without_token }
    }

    /// Checks the token of a request.
    ///
    /// # Errors
    /// 401 without a token; 403 with a wrong token, or if no token opens the route.
    pub(super) fn check(&self, access: Access, headers: &HeaderMap) -> Result<(), ApiError> {
        self.judge(access, |rule| match rule {
            Rule::Open => Ok(()),
            Rule::Demand(tokens) if tokens.iter().any(|token| is_set(token)) => demand(headers, tokens),
            Rule::Demand(_) => Err(ApiError::forbidden(match access {
                Access::Public | Access::Client | Access::KnownClient => {
                    "this route is disabled in production until auth.api_token or auth.operator_token is set"
                }
                Access::Service => "this route is disabled in production until auth.service_token is set",
                Access::Operator => "this route is disabled in production until auth.operator_token is set",
            })),
        })
    }

    /// Applies the rule of an access in this profile, with these tokens.
    fn judge<T>(&self, access: Access, apply: impl FnOnce(Rule<'_>) -> T) -> T {
        let AuthSettings { operator_token: operator, api_token: api, service_token: service } = &self.auth;
        let is_required = |token| is_set(token) || self.without_token == WithoutToken::Closed;
        match access {
            Access::Operator if is_required(operator) => apply(Rule::Demand(&[operator])),
            Access::Service if is_required(service) => apply(Rule::Demand(&[service, operator])),
            Access::KnownClient if is_required(api) => apply(Rule::Demand(&[api, operator])),
            Access::Client | Access::Service | Access::Operator if is_set(api) => {
                apply(Rule::Demand(&[api, service, operator]))
            }
            Access::Public | Access::Client | Access::KnownClient | Access::Service | Access::Operator => {
                apply(Rule::Open)
            }
        }
    }

    /// Returns whether a request comes from another service or an operator: both hold a token that clients do not have.
    pub(super) fn is_one_of_us(&self, headers: &HeaderMap) -> bool {
        let AuthSettings { operator_token, service_token, .. } = &self.auth;
        demand(headers, &[service_token, operator_token]).is_ok()
    }

    /// Returns whether a request has the service token; `None` if none is set.
    pub(super) fn is_service(&self, headers: &HeaderMap) -> Option<bool> {
        let token = &self.auth.service_token;
        is_set(token).then(|| demand(headers, &[token]).is_ok())
    }

    /// Returns whether a request has the operator token.
    pub(super) fn is_operator(&self, headers: &HeaderMap) -> bool {
        demand(headers, &[&self.auth.operator_token]).is_ok()
    }

    /// Returns whether routes of this access need no token.
    pub(super) fn is_open(&self, access: Access) -> bool {
        self.judge(access, |rule| matches!(rule, Rule::Open))
    }
}

fn demand(headers: &HeaderMap, accepted: &[&SecretString]) -> Result<(), ApiError> {
    let Some(given) = given_bearer(headers) else {
        return Err(ApiError::unauthorized("send the token as Authorization: Bearer <token>"));
    };
    // All tokens are compared, whichever matches: the response time reveals nothing.
    let fits = accepted
        .iter()
        .filter(|token| is_set(token))
        .fold(subtle::Choice::from(0), |fits, token| fits | token.expose_secret().as_bytes().ct_eq(given.as_bytes()));
    if bool::from(fits) { Ok(()) } else { Err(ApiError::forbidden("this token does not grant access to this route")) }
}

fn given_bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Returns headers in which the password of Basic authentication stands as a bearer token.
pub(super) fn basic_as_bearer(headers: &HeaderMap) -> Cow<'_, HeaderMap> {
    let password = || {
        let (scheme, encoded) = text(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        HeaderValue::try_from(format!("Bearer {password}")).ok()
    };
    match password() {
        Some(bearer) => {
            let mut headers = headers.clone();
            headers.insert(AUTHORIZATION, bearer);
            Cow::Owned(headers)
        }
        None => Cow::Borrowed(headers),
    }
}

fn is_set(token: &SecretString) -> bool {
    !token.expose_secret().is_empty()
}
