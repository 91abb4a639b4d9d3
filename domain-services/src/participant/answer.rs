//! Maps the outcome of a request to its HTTP answer.
//!
//! Only this module sets `Saga-Decision: refused` on a 409, and only for a refusal that the ledger has recorded: the
//! orchestrator compensates a saga for nothing less.

use common::{
    group_commit::{ReadError, Written},
    http::{ApiError, Because, HeaderName, HeaderValue, Response, StatusCode, with_body},
    ids::TransactionId,
    wire,
};
use tracing::{error, warn};

use super::{Decision, journal::ActionSeen, ledger::Settled};

/// `Retry-After` in seconds: a group commit takes milliseconds, a database restart seconds.
pub(crate) const RETRY_AFTER_S: u64 = 1;

/// Answers a request that went through the ledger.
pub(crate) fn answer(written: Written<Settled>, transaction_id: &TransactionId) -> Result<Response, ApiError> {
    match written {
        Written::Committed(settled) => answer_settled(settled, transaction_id),
        Written::Rejected(refused) => {
            // Values are validated before the ledger; this one was missed.
            error!(transaction.id = %transaction_id, %refused, "the database rejected a value that passed validation");
            Err(ApiError::malformed("the database cannot store these values"))
        }
        Written::NotWritten(reason) => {
            warn!(transaction.id = %transaction_id, %reason, "not written");
            Err(ask_again("nothing was recorded", transaction_id))
        }
        Written::InDoubt(reason) => {
            warn!(transaction.id = %transaction_id, %reason, "in doubt");
            Err(ask_again("it is not known whether this was recorded", transaction_id))
        }
    }
}

pub(crate) fn unreadable(error: ReadError) -> ApiError {
    warn!(%error, "a read failed");
    ApiError::unavailable("the database cannot be read now; try again", RETRY_AFTER_S).because(Because::Database)
}

/// The 503 for an unknown outcome: the work may or may not have happened, and a repeat finds out.
pub(crate) fn ask_again(what: &str, transaction_id: &TransactionId) -> ApiError {
    let detail = format!(
        "{what}; repeat the request with the same transaction_id, {transaction_id}, to get its result or complete it"
    );
    ApiError::unavailable(detail, RETRY_AFTER_S).because(Because::Database).with_transaction_id(transaction_id)
}

fn answer_settled(settled: Settled, transaction_id: &TransactionId) -> Result<Response, ApiError> {
    match settled {
        Settled::Decided(decision) => Ok(recorded(decision)),
        Settled::Replayed(decision) => Ok(with_header(recorded(decision), wire::IDEMPOTENT_REPLAYED, "true")),
        Settled::Undone(decision, action) => Ok(undone(decision, action)),
        Settled::UndoneBefore(decision, action) => {
            Ok(with_header(undone(decision, action), wire::IDEMPOTENT_REPLAYED, "true"))
        }
        Settled::TooLate(reply) => Ok(recorded(Decision { status: 409, reply })),
        Settled::ContentsDiffer => Err(ApiError::contents_differ(format!(
            "transaction {transaction_id} was used for a request with different contents; nothing was done"
        ))),
        Settled::Unexplained => {
            error!(transaction.id = %transaction_id, "the journal has the action, but the row to undo is missing");
            Err(ask_again("the compensation could not be confirmed and was not recorded", transaction_id))
        }
    }
}

/// Answers with a recorded decision, byte for byte.
fn recorded(decision: Decision) -> Response {
    let status = match decision.status {
        200 => StatusCode::OK,
        _ => StatusCode::CONFLICT,
    };
    let response = with_body(status, "application/json", decision.reply.into_bytes());
    match status {
        StatusCode::CONFLICT => with_header(response, wire::SAGA_DECISION, wire::REFUSED),
        _ => response,
    }
}

/// Confirms a compensation. A header says which action was found; the orchestrator keeps that for people.
fn undone(decision: Decision, action: ActionSeen) -> Response {
    let action = match action {
        ActionSeen::Done => wire::ACTION_DONE,
        ActionSeen::Refused => wire::REFUSED,
        ActionSeen::Never => wire::ACTION_NONE,
    };
    with_header(recorded(decision), wire::SAGA_ACTION, action)
}

fn with_header(mut response: Response, name: &'static str, value: &'static str) -> Response {
    response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    response
}
