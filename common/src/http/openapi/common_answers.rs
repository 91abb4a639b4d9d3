//! Answers of the front on every route: described once and referenced.

use utoipa::openapi::{ContentBuilder, RefOr, Response, ResponseBuilder};

use super::{Access, Admission, Described, Description, Header, description::Schemas};
use crate::http::error::Body as Problem;

/// An answer of the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommonAnswer {
    Malformed,
    Unauthorized,
    Forbidden,
    MethodNotAllowed,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    InternalError,
    Unavailable,
}

impl CommonAnswer {
    pub(super) const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::TooManyRequests,
        Self::InternalError,
        Self::Unavailable,
    ];

    /// Returns the name of the answer in the document.
    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(super) fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::TooManyRequests => 429,
            Self::InternalError => 500,
            Self::Unavailable => 503,
        }
    }

    /// Returns whether a route can give this answer.
    pub(super) fn concerns(self, route: &Described, description: &Description) -> bool {
        match self {
            Self::Unauthorized | Self::Forbidden => route.access != Access::Public,
            Self::UnsupportedMediaType => description.body.is_some(),
            Self::TooManyRequests | Self::Unavailable => route.admission == Admission::Limited,
            // The front reads the body of every request, even if the handler ignores it.
            Self::Malformed | Self::MethodNotAllowed | Self::RequestTimeout | Self::TooLarge | Self::InternalError => {
                true
            }
        }
    }

    pub(super) fn response(self, schemas: &mut Schemas) -> Response {
        let content = ContentBuilder::new().schema(Some(schemas.reference::<Problem<'_>>())).build();
        let response = ResponseBuilder::new().description(self.text()).content("application/problem+json", content);
        match self.header() {
            Some(header) => response.header(header.name(), header.of_answer()).build(),
            None => response.build(),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Malformed => {
                "Malformed request: its path or query is not UTF-8, or its body is incomplete or not a JSON object."
            }
            Self::Unauthorized => "A token is required and was not sent.",
            Self::Forbidden => "The token does not grant access to this route, or the route is disabled.",
            Self::MethodNotAllowed => "The path exists, but not with this method.",
            Self::RequestTimeout => "The body did not arrive in time.",
            Self::TooLarge => "The body is too large.",
            Self::UnsupportedMediaType => "The declared content type of the body is not JSON.",
            Self::TooManyRequests => "Too many requests from this client.",
            Self::InternalError => {
                "An internal error of the service; the `X-Request-Id` of the answer identifies it in the log."
            }
            Self::Unavailable => {
                "Temporarily unavailable: the database is unreachable, too many requests are in progress, or the \
                 service is stopping. Retry with the same id."
            }
        }
    }

    fn header(self) -> Option<Header> {
        match self {
            Self::Unauthorized => Some(Header::WwwAuthenticate),
            Self::MethodNotAllowed => Some(Header::Allow),
            Self::TooManyRequests | Self::Unavailable => Some(Header::RetryAfter),
            Self::Malformed
            | Self::Forbidden
            | Self::RequestTimeout
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::InternalError => None,
        }
    }
}

/// Returns a reference to an answer of the front.
pub(super) fn reference(answer: CommonAnswer) -> RefOr<Response> {
    RefOr::Ref(utoipa::openapi::Ref::from_response_name(answer.name()))
}
