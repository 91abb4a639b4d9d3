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
    /// Of a request: another cell has forwarded it.
    SagaCellForwarded,
    /// Of a 409: the refusal is a recorded decision.
    SagaDecision,
    /// Of a request: the client's secret for its saga.
    SagaSecret,
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
            Header::SagaCellForwarded => "Saga-Cell-Forwarded",
            Header::SagaDecision => "Saga-Decision",
            Header::SagaSecret => "Saga-Secret",
            Header::WwwAuthenticate => "WWW-Authenticate",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Header::Allow => "The methods of this path.",
            Header::IdempotencyKey => "The client's key for this request; repetitions of it are executed once.",
            Header::IdempotentReplayed => "Present if this answer repeats an earlier one.",
            Header::LastEventId => "The id of the last event received: the stream continues after it.",
            Header::Location => "The URL of the status of the purchase.",
            Header::Prefer => {
                "`respond-async`: answer 202 without waiting for the end. `wait=N`: wait at most N seconds (RFC 7240)."
            }
            Header::PreferenceApplied => "Present if the preference was applied.",
            Header::RetryAfter => "Seconds to wait before a retry.",
            Header::SagaAction => {
                "The state in which the action was found: `done` and now undone, `refused`, or `none`: it never ran \
                 and never will."
            }
            Header::SagaCellForwarded => {
                "Number of the cell that forwarded this request: it is answered by this cell and not forwarded again."
            }
            Header::SagaDecision => "Present if the refusal is a recorded decision, which every repetition returns.",
            Header::SagaSecret => {
                "A secret of the client, in visible ASCII characters: a saga that was started with it answers for its \
                 status, events and cancel only with it, or to the operator token; otherwise 404."
            }
            Header::WwwAuthenticate => "How to send the token.",
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
            Header::SagaSecret => schema::pattern("^[!-~]{16,128}$"),
            Header::SagaDecision => schema::one_of([crate::wire::REFUSED]),
            Header::WwwAuthenticate => schema::one_of(["Bearer"]),
            // Any value of the header of cells keeps a request here.
            Header::Allow | Header::LastEventId | Header::Location | Header::Prefer | Header::SagaCellForwarded => {
                schema::string()
            }
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
