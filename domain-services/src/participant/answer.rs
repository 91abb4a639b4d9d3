//! From what became of a request to what its caller reads.
//!
//! A 409 carries `Saga-Decision: refused` only here, and only where the ledger says that it is recorded: the
//! orchestrator turns a saga back for nothing less.

use common::{
    group_commit::{ReadError, Written},
    http::{ApiError, HeaderName, HeaderValue, Response, StatusCode, with_body},
    ids::TransactionId,
    wire,
};
use tracing::{error, warn};

use super::{Decision, journal::ActionSeen, ledger::Settled};

/// Seconds after which asking again is worth a try: a group commit takes milliseconds, a database restart seconds.
pub(crate) const RETRY_AFTER_S: u64 = 1;

/// Answers a request that went through the ledger.
pub(crate) fn answer(written: Written<Settled>, transaction_id: &TransactionId) -> Result<Response, ApiError> {
    match written {
        Written::Committed(settled) => answer_settled(settled, transaction_id),
        Written::Rejected(refused) => {
            // Values are checked before they get here, so this is one that was forgotten.
            error!(transaction.id = %transaction_id, %refused, "the database rejected a value that was let in");
            Err(ApiError::malformed("the database cannot hold these values"))
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

/// Answers a read that failed.
pub(crate) fn unreadable(error: ReadError) -> ApiError {
    warn!(%error, "a read failed");
    ApiError::unavailable("the database cannot be read now; try again", RETRY_AFTER_S)
}

/// Says that the work may or may not have happened, and how to find out.
pub(crate) fn ask_again(what: &str, transaction_id: &TransactionId) -> ApiError {
    let detail = format!("{what}; ask again with the same transaction_id, {transaction_id}, to learn or to finish it");
    ApiError::unavailable(detail, RETRY_AFTER_S).with_transaction_id(transaction_id)
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
            "transaction {transaction_id} was used for a request with other contents; nothing was done"
        ))),
        Settled::Unexplained => {
            error!(transaction.id = %transaction_id, "the journal has the action, but its effect is not there to be undone");
            Err(ask_again("the compensation could not be confirmed and was not recorded", transaction_id))
        }
    }
}

/// Answers with a decision of the journal, byte for byte.
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

/// Answers that a compensation is confirmed, and what there was of its action: the orchestrator keeps it for people.
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
