//! `Saga-Secret`: a secret that a client sends with the start of a saga, and again with each request about it. It makes
//! the saga's id alone worth nothing to others. Only a hash of it is stored.

use std::ops::RangeInclusive;

use foundation::secret::SecretHash;
use hyper::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::ApiError;
use crate::wire;

/// A client's secret.
#[derive(Clone, Debug)]
pub struct SagaSecret(SecretString);

impl SagaSecret {
    /// Number of characters of a secret.
    pub const LENGTH: RangeInclusive<usize> = 16..=128;

    /// Reads the header; `None` if it is absent.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut lines = headers.get_all(wire::SAGA_SECRET).iter();
        let Some(first) = lines.next() else { return Ok(None) };
        let bad = |message: String| ApiError::bad_field_422("Saga-Secret", message);
        if lines.next().is_some() {
            return Err(bad("expected one secret, not several".to_owned()));
        }
        let bytes = first.as_bytes();
        let is_secret = Self::LENGTH.contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match std::str::from_utf8(bytes) {
            Ok(text) if is_secret => Ok(Some(Self(SecretString::from(text)))),
            Ok(_) | Err(_) => {
                let (min, max) = (Self::LENGTH.start(), Self::LENGTH.end());
                Err(bad(format!("expected {min} to {max} visible ASCII characters without spaces")))
            }
        }
    }

    /// Returns the hash to store with a saga. Equal secrets of two sagas have different hashes.
    pub fn hash(&self, saga_id: Uuid) -> SecretHash {
        let mut hash = Sha256::new();
        hash.update(b"saga-secret\0");
        hash.update(saga_id.as_bytes());
        hash.update(self.0.expose_secret());
        SecretHash(hash.finalize().into())
    }

    /// Tells whether the saga was started with this secret, in constant time.
    pub fn is_of(&self, saga_id: Uuid, stored: &SecretHash) -> bool {
        self.hash(saga_id).0.ct_eq(&stored.0).into()
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(lines: &[&[u8]]) -> Result<Option<SagaSecret>, ApiError> {
        let name = HeaderName::from_static(wire::SAGA_SECRET);
        let lines = lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line).unwrap()));
        SagaSecret::of(&lines.collect())
    }

    #[test]
    fn a_secret_has_16_to_128_visible_characters() {
        assert!(read(&[]).unwrap().is_none());
        for good in [&b"0123456789abcdef"[..], b"!\"#$%&'()*+,-./~", &[b'x'; 128]] {
            assert!(read(&[good]).unwrap().is_some(), "{good:?}");
        }
        for bad in [&b""[..], b"0123456789abcde", b"0123456789 abcdef", "0123456789abcdeé".as_bytes(), &[b'x'; 129]] {
            let error = read(&[bad]).unwrap_err();
            assert_eq!((error.status().as_u16(), &*error.errors()[0].field), (422, "Saga-Secret"), "{bad:?}");
            assert!(error.detail().contains("16 to 128 visible"), "{}", error.detail());
        }
        assert_eq!(read(&[b"0123456789abcdef", b"0123456789abcdef"]).unwrap_err().status().as_u16(), 422);
    }

    #[test]
    fn a_hash_belongs_to_one_secret_of_one_saga_and_neither_is_shown() {
        let [one, other] = [b"0123456789abcdef", b"0123456789abcdeg"].map(|text| read(&[text]).unwrap().unwrap());
        let (saga, another) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let stored = one.hash(saga);
        assert!(one.is_of(saga, &stored));
        assert!(!other.is_of(saga, &stored));
        assert!(!one.is_of(another, &stored));
        assert!(!format!("{one:?}").contains("0123456789abcdef"));
        assert_eq!(format!("{stored:?}"), "SecretHash");
    }
}
