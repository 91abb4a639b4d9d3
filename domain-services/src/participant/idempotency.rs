//! Which transaction a request belongs to.
//!
//! A `transaction_id` in the body is the key of everything. A client that has none may send an `Idempotency-Key` header
//! instead: it stands for a transaction id, always the same one for the same service, operation, user and key. A request
//! with neither is a transaction of its own, and cannot be repeated.

use common::{
    http::{ApiError, Request},
    ids::TransactionId,
};
use uuid::Uuid;

/// The namespace of the ids made from keys (RFC 9562, version 5): any fixed value, and never another one.
const NAMESPACE: Uuid = uuid::uuid!("6b0d3f0e-52a5-4f43-9c8e-0d4ad1f6b9a7");

/// What a key is unique within.
pub(crate) struct Scope<'a> {
    pub(crate) service: &'static str,
    pub(crate) operation: &'static str,
    /// The user, where the request names one.
    pub(crate) user: Option<&'a str>,
}

/// Returns the transaction id of a request: the given one, or one made from its `Idempotency-Key`, or a fresh one that
/// sorts by time.
///
/// # Errors
/// 400 when the header is there but holds no key.
pub(crate) fn transaction_id(
    given: Option<TransactionId>,
    request: &Request,
    scope: &Scope<'_>,
) -> Result<TransactionId, ApiError> {
    // A bad key is told even where it is not needed: its client counts on it.
    let key = request.idempotency_key().map_err(|error| ApiError::bad_fields_400(vec![error]))?;
    if let Some(given) = given {
        return Ok(given);
    }
    let id = key.map_or_else(Uuid::now_v7, |key| from_key(key, scope));
    Ok(TransactionId::parse(&id.to_string()).expect("a UUID is a transaction id"))
}

fn from_key(key: &str, scope: &Scope<'_>) -> Uuid {
    let mut name = Vec::new();
    // With its length before each part, no two lists of parts look alike.
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
}
