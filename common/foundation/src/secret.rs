//! The hash of a client's secret, on its way between the front and the saga log.

use std::fmt;

/// The hash of the secret that a saga was started with. It is compared in constant time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretHash")
    }
}
