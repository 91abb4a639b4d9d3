//! Access control by bearer tokens, compared in constant time.
//!
//! | access | required token |
//! |---|---|
//! | public | none |
//! | client | the API token, if one is set; the service and operator tokens are accepted too |
//! | service | the service token, if one is set; the operator token is accepted too |
//! | operator | the operator token; if none is set: no token in development, closed in production |

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::{Access, ApiError, request::text};
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
pub(super) struct Guard {
    auth: AuthSettings,
    without_operator_token: WithoutOperatorToken,
}

/// Whether operator routes are open if no operator token is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WithoutOperatorToken {
    Open,
    Closed,
}

impl Guard {
    pub(super) fn of(settings: &Settings) -> Self {
        let without_operator_token = match settings.is_production() {
            true => WithoutOperatorToken::Closed,
            false => WithoutOperatorToken::Open,
        };
        Self { auth: settings.auth.clone(), without_operator_token }
    }

    /// Checks the token of a request.
    ///
    /// # Errors
    /// 401 without a token; 403 with a wrong token, or if no token opens the route.
    pub(super) fn check(&self, access: Access, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.is_open(access) {
            return Ok(());
        }
        let AuthSettings { operator_token, api_token, service_token } = &self.auth;
        match access {
            Access::Public => Ok(()),
            Access::Client => demand(headers, &[api_token, service_token, operator_token]),
            Access::Service => demand(headers, &[service_token, operator_token]),
            Access::Operator if is_set(operator_token) => demand(headers, &[operator_token]),
            Access::Operator => {
                Err(ApiError::forbidden("this route is disabled in production until auth.operator_token is set"))
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
        match access {
            Access::Public => true,
            Access::Client => !is_set(&self.auth.api_token),
            Access::Service => !is_set(&self.auth.service_token),
            Access::Operator => {
                !is_set(&self.auth.operator_token) && self.without_operator_token == WithoutOperatorToken::Open
            }
        }
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
