//! Headers with a meaning for clients, beside those of every answer.

use utoipa::openapi::{
    HeaderBuilder, RefOr, Required, Schema,
    header::Header as HeaderObject,
    path::{Parameter, ParameterBuilder, ParameterIn},
};

use super::schema;

/// A header of a request or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Of a 405: the methods of the path.
    Allow,
    /// Of a request: the client's key for it.
    IdempotencyKey,
    /// Of an answer: it is a repetition of an earlier answer.
    IdempotentReplayed,
    /// Of a request for events: the last event received.
    LastEventId,
    /// Of a 202: the URL of the outcome.
    Location,
    /// Of a request: whether the client waits.
    Prefer,
    /// Of an answer: the preference that was applied.
    PreferenceApplied,
    /// Of a 503: when to retry.
    RetryAfter,
    /// Of the answer of a compensation: the state in which it found its action.
    SagaAction,
    /// Of a 409: the refusal is a recorded decision.
    SagaDecision,
    /// Of a 401: how to send a token.
    WwwAuthenticate,
}

impl Header {
    /// Returns the name in its usual spelling.
    pub fn name(self) -> &'static str {
        match self {
            Header::Allow => "Allow",
            Header::IdempotencyKey => "Idempotency-Key",
            Header::IdempotentReplayed => "Idempotent-Replayed",
            Header::LastEventId => "Last-Event-ID",
            Header::Location => "Location",
            Header::Prefer => "Prefer",
            Header::PreferenceApplied => "Preference-Applied",
            Header::RetryAfter => "Retry-After",
            Header::SagaAction => "Saga-Action",
            Header::SagaDecision => "Saga-Decision",
            Header::WwwAuthenticate => "WWW-Authenticate",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Header::Allow => "The methods that this path knows.",
            Header::IdempotencyKey => "The client's own key of this request: repeated with it, it happens once.",
            Header::IdempotentReplayed => "There where this answer was given before.",
            Header::LastEventId => "The id of the last event that was seen: those after it follow.",
            Header::Location => "Where the end of the purchase will be shown.",
            Header::Prefer => {
                "`respond-async`: do not wait for the end, answer 202. `wait=N`: wait N seconds at most (RFC 7240)."
            }
            Header::PreferenceApplied => "There where the preference was honoured.",
            Header::RetryAfter => "Seconds after which it is worth asking again.",
            Header::SagaAction => {
                "What was found of the action: `done` and undone now, `refused`, or `none`: it never ran and never will."
            }
            Header::SagaDecision => {
                "There where the refusal is a recorded decision, which every repetition gets again."
            }
            Header::WwwAuthenticate => "How the token is sent.",
        }
    }

    fn schema(self) -> RefOr<Schema> {
        match self {
            Header::IdempotencyKey => schema::text(1, 255),
            Header::IdempotentReplayed => schema::one_of(["true"]),
            Header::PreferenceApplied => schema::one_of(["respond-async"]),
            Header::RetryAfter => schema::whole_number(0..=i64::MAX),
            Header::SagaAction => {
                schema::one_of([crate::wire::ACTION_DONE, crate::wire::REFUSED, crate::wire::ACTION_NONE])
            }
            Header::SagaDecision => schema::one_of([crate::wire::REFUSED]),
            Header::WwwAuthenticate => schema::one_of(["Bearer"]),
            Header::Allow | Header::LastEventId | Header::Location | Header::Prefer => schema::string(),
        }
    }

    pub(super) fn of_answer(self) -> HeaderObject {
        HeaderBuilder::new().schema(Some(self.schema())).description(Some(self.text())).build()
    }

    pub(super) fn of_request(self) -> Parameter {
        ParameterBuilder::new()
            .name(self.name())
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(self.text()))
            .schema(Some(self.schema()))
            .build()
    }
}
