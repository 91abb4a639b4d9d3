//! Tells two requests with the same key apart: a hash of their meaning, not of their bytes.

use sha2::{Digest, Sha256};

/// The version of the hashed field lists. A changed list gets the next number.
pub const HASH_VERSION: i16 = 1;

/// Stored bytes of a hash: enough that two requests with one key do not collide by chance; a client that searches for a
/// collision deceives only itself.
const STORED: usize = 16;

/// The hash of a request's meaning: equal for requests that differ only in their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHash([u8; STORED]);

impl RequestHash {
    /// Hashes a list of canonical fields (amounts in cents, ids as text, absent as `None`). The version and the
    /// operation come first; each field is hashed with its presence and its length, so that no two lists collide.
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
        let mut stored = [0; STORED];
        stored.copy_from_slice(&hash.finalize()[..STORED]);
        Self(stored)
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells whether these are the stored bytes of an equal request. Earlier versions stored 32.
    pub fn is_stored_as(&self, stored: &[u8]) -> bool {
        stored.starts_with(&self.0)
    }
}
