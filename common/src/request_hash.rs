//! What tells two requests under one key apart: a hash of what they mean, not of their bytes.

use sha2::{Digest, Sha256};

/// The version of the lists of fields that are hashed now. A list that changes gets the next number.
pub const HASH_VERSION: i16 = 1;

/// The hash of what a request means: equal for requests that say the same in other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHash([u8; 32]);

impl RequestHash {
    /// Hashes a list of canonical fields (amounts in cents, ids as text, absent as `None`). Every field goes in with its
    /// presence and its length, so that no two lists look alike; the version and the operation go in first.
    pub fn of(operation: &str, fields: &[Option<String>]) -> Self {
        let mut hash = Sha256::new();
        hash.update(HASH_VERSION.to_be_bytes());
        for field in [Some(operation)].into_iter().chain(fields.iter().map(Option::as_deref)) {
            match field {
                None => hash.update([0]),
                Some(text) => {
                    hash.update([1]);
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
            }
        }
        Self(hash.finalize().into())
    }

    /// Returns the bytes that are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
