//! Which transaction a request belongs to.
//!
//! A `transaction_id` in the body is the key of everything. A client that has none may send an `Idempotency-Key` header
//! instead: it stands for a transaction id, always the same one for the same service, operation, user and key. A request
//! with neither is a transaction of its own, and cannot be repeated.

use common::{
    fields::FieldError,
    http::{ApiError, Request},
    ids::TransactionId,
    wire,
};
use uuid::Uuid;

/// The namespace of the ids made from keys (RFC 9562, version 5): any fixed value, and never another one.
const NAMESPACE: Uuid = uuid::uuid!("6b0d3f0e-52a5-4f43-9c8e-0d4ad1f6b9a7");

/// As long as a key may be, in bytes.
const MAX_KEY_BYTES: usize = 255;

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
    if let Some(given) = given {
        return Ok(given);
    }
    let id = match request.headers.get(wire::IDEMPOTENCY_KEY) {
        None => Uuid::now_v7(),
        Some(key) => from_key(read_key(key.as_bytes()).map_err(|error| ApiError::bad_fields_400(vec![error]))?, scope),
    };
    Ok(TransactionId::parse(&id.to_string()).expect("a UUID is a transaction id"))
}

fn read_key(header: &[u8]) -> Result<&str, FieldError> {
    std::str::from_utf8(header).ok().filter(|key| !key.trim().is_empty() && key.len() <= MAX_KEY_BYTES).ok_or_else(
        || FieldError {
            field: "Idempotency-Key".to_owned(),
            message: format!("expected 1 to {MAX_KEY_BYTES} bytes of text, not blank"),
        },
    )
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

    #[test]
    fn a_blank_or_endless_key_is_no_key() {
        let long = "k".repeat(MAX_KEY_BYTES + 1);
        for bad in ["".as_bytes(), b"  ", long.as_bytes(), b"\xff"] {
            assert!(read_key(bad).is_err(), "{bad:?}");
        }
        assert_eq!(read_key(b"order-1").unwrap(), "order-1");
    }
}
