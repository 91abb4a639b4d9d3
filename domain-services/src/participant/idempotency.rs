//! Finds the transaction id of a request.
//!
//! A `transaction_id` in the body is the key. A client without one may send an `Idempotency-Key` header instead: a
//! transaction id is derived from service, operation, user and key, always the same one. A request with neither is a
//! transaction of its own and cannot be repeated.
//!
//! The quoted and the bare form of a key are the same key: both map to the id derived from the quoted form. Earlier
//! versions derived another id from a bare key, so the journal is asked for both.

use std::time::SystemTime;

use common::{
    http::{ApiError, Form, IdempotencyKey, Request},
    ids::{TransactionId, uuid_v7},
};
use uuid::Uuid;

use super::{Participant, answer, api::ParticipantApi, step_journal};

/// The namespace of derived ids (RFC 9562, version 5): an arbitrary value that must never change.
const NAMESPACE: Uuid = uuid::uuid!("6b0d3f0e-52a5-4f43-9c8e-0d4ad1f6b9a7");

/// The scope in which a key is unique.
pub(crate) struct Scope<'a> {
    pub(crate) service: &'static str,
    pub(crate) operation: &'static str,
    /// The user, where the request names one.
    pub(crate) user: Option<&'a str>,
}

/// Returns the transaction id of a request: the given one, or one derived from its `Idempotency-Key`, or a new one that
/// sorts by time.
///
/// # Errors
/// 400 for a malformed header, 422 for several keys, 503 when the journal cannot be read.
pub(crate) async fn transaction_id<P: Participant>(
    api: &ParticipantApi<P>,
    given: Option<TransactionId>,
    request: &Request,
    scope: &Scope<'_>,
) -> Result<TransactionId, ApiError> {
    // A bad key is reported even if the id is given: the client relies on the key.
    let key = request.idempotency_key(ApiError::bad_fields_400)?;
    match (given, key) {
        (Some(given), _) => Ok(given),
        (None, None) => Ok(of_uuid(uuid_v7(SystemTime::now().into()))),
        (None, Some(key)) => {
            let candidates = candidates(&key, scope);
            let asked = candidates.clone();
            let known = api.ledger.read(move |connection| Box::pin(step_journal::known(connection, asked))).await;
            let known = known.map_err(answer::unreadable)?;
            Ok(choose(candidates, &known, key.form()))
        }
    }
}

/// Returns the possible ids of a key: derived from its quoted form, then from its bare form.
fn candidates(key: &IdempotencyKey, scope: &Scope<'_>) -> [TransactionId; 2] {
    [&key.quoted(), key.bare()].map(|form| of_uuid(from_key(form, scope)))
}

/// Returns the id that the journal knows. If it knows both: the id of the sent form. If it knows neither: the quoted
/// one.
fn choose([quoted, bare]: [TransactionId; 2], known: &[TransactionId], sent: Form) -> TransactionId {
    match (known.contains(&quoted), known.contains(&bare), sent) {
        (true, true, Form::Bare) | (false, true, _) => bare,
        (true, true, Form::Quoted) | (_, false, _) => quoted,
    }
}

fn of_uuid(id: Uuid) -> TransactionId {
    TransactionId::parse(&id.to_string()).expect("a UUID is a transaction id")
}

fn from_key(key: &str, scope: &Scope<'_>) -> Uuid {
    let mut name = Vec::new();
    // The length prefix keeps different lists of parts distinct.
    for part in [scope.service, scope.operation, scope.user.unwrap_or_default(), key] {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_stands_for_one_transaction_within_its_scope() {
        let id = |service, operation, user, key| from_key(key, &Scope { service, operation, user });
        let ids = [
            id("payments", "charge", Some("ada"), "k"),
            id("payments", "charge", Some("bob"), "k"),
            id("payments", "charge", Some("ada"), "l"),
            id("payments", "charge", None, "k"),
            id("payments", "charge", Some("adak"), ""),
            id("inventory", "decrease", None, "k"),
            id("inventory", "restock", None, "k"),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(ids[0], id("payments", "charge", Some("ada"), "k"));
        assert_eq!(ids[0].get_version_num(), 5);
    }

    #[test]
    fn a_key_finds_what_was_done_under_either_of_its_forms() {
        let [quoted, bare] = ["\"k\"", "k"]
            .map(|key| of_uuid(from_key(key, &Scope { service: "payments", operation: "charge", user: Some("ada") })));
        let both = || [quoted.clone(), bare.clone()];
        for sent in [Form::Bare, Form::Quoted] {
            assert_eq!(choose(both(), &[], sent), quoted);
            assert_eq!(choose(both(), std::slice::from_ref(&quoted), sent), quoted);
            assert_eq!(choose(both(), std::slice::from_ref(&bare), sent), bare);
        }
        assert_eq!(choose(both(), &both(), Form::Bare), bare);
        assert_eq!(choose(both(), &both(), Form::Quoted), quoted);
    }
}
