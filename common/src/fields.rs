//! Reads a JSON object field by field and collects everything that is wrong with it, by the exact text of each value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::ApiError;

/// As deep as a body may nest; deeper ones are nobody's honest request.
const MAX_DEPTH: usize = 32;

/// A bad field and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field.
    pub field: String,
    /// What is expected.
    pub message: String,
}

/// The fields of a body. Unknown ones are ignored.
pub struct Fields<'a> {
    values: BTreeMap<Cow<'a, str>, &'a RawValue>,
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct Object<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// 400: no JSON, no object, no UTF-8, or nested too deeply.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).map_err(|_| ApiError::malformed("the body is not UTF-8"))?;
        if is_too_deep(text) {
            return Err(ApiError::malformed(format!("the body nests deeper than {MAX_DEPTH} levels")));
        }
        let Object(values) = serde_json::from_str(text)
            .map_err(|error| ApiError::malformed(format!("the body is not a JSON object: {error}")))?;
        Ok(Self { values, errors: Vec::new() })
    }

    /// Reads a field that must be there.
    pub fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&RawValue) -> Result<T, String>) -> Option<T> {
        match self.values.get(name) {
            Some(value) => self.read(name, value, read),
            None => self.bad(name, "this field is required".to_owned()),
        }
    }

    /// Reads a field that may be absent or null.
    pub fn optional<T>(&mut self, name: &'static str, read: impl FnOnce(&RawValue) -> Result<T, String>) -> Option<T> {
        match self.values.get(name) {
            Some(value) if value.get() != "null" => self.read(name, value, read),
            _ => None,
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every field that was bad.
    pub fn finish(self) -> Result<(), Vec<FieldError>> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        value: &'a RawValue,
        read: impl FnOnce(&RawValue) -> Result<T, String>,
    ) -> Option<T> {
        match read(value) {
            Ok(value) => Some(value),
            Err(message) => self.bad(name, message),
        }
    }

    fn bad<T>(&mut self, field: &'static str, message: String) -> Option<T> {
        self.errors.push(FieldError { field: field.to_owned(), message });
        None
    }
}

/// Counts brackets outside of strings; whether they match is the parser's business.
fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// How values are read.
pub mod read {
    use std::ops::RangeInclusive;

    use serde_json::value::RawValue;

    use crate::ids::{PaymentId, ProductId, TransactionId, UserId};
    use crate::money::Money;

    fn string(value: &RawValue) -> Result<String, String> {
        serde_json::from_str(value.get()).map_err(|_| "expected a string".to_owned())
    }

    /// An id that is a string on one service and a number on another: digits, or a string.
    fn string_or_digits(value: &RawValue) -> Result<String, String> {
        let text = value.get();
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(text.to_owned());
        }
        serde_json::from_str(text).map_err(|_| "expected a string or a whole number".to_owned())
    }

    /// Reads a user id.
    ///
    /// # Errors
    /// What is expected.
    pub fn user_id(value: &RawValue) -> Result<UserId, String> {
        UserId::parse(&string(value)?).map_err(|error| error.to_string())
    }

    /// Reads a transaction id.
    ///
    /// # Errors
    /// What is expected.
    pub fn transaction_id(value: &RawValue) -> Result<TransactionId, String> {
        TransactionId::parse(&string(value)?).map_err(|error| error.to_string())
    }

    /// Reads a product id, a string or a number.
    ///
    /// # Errors
    /// What is expected.
    pub fn product_id(value: &RawValue) -> Result<ProductId, String> {
        ProductId::parse(&string_or_digits(value)?).map_err(|error| error.to_string())
    }

    /// Reads a payment id, a string or a number.
    ///
    /// # Errors
    /// What is expected.
    pub fn payment_id(value: &RawValue) -> Result<PaymentId, String> {
        PaymentId::parse(&string_or_digits(value)?).map_err(|error| error.to_string())
    }

    /// Reads an amount, a number or a numeric string, by its exact text.
    ///
    /// # Errors
    /// What is expected.
    pub fn amount(value: &RawValue) -> Result<Money, String> {
        let text = value.get();
        let text = match text.starts_with('"') {
            true => string(value)?,
            false => text.to_owned(),
        };
        Money::parse(&text).map_err(|error| error.to_string())
    }

    /// Returns a reader of texts of up to so many characters, without NUL.
    pub fn text(max_chars: usize) -> impl Fn(&RawValue) -> Result<String, String> {
        move |value| {
            let text = string(value)?;
            if text.chars().count() > max_chars {
                return Err(format!("expected at most {max_chars} characters"));
            }
            if text.contains('\0') {
                return Err("expected no NUL character".to_owned());
            }
            Ok(text)
        }
    }

    /// Returns a reader of whole numbers in a range.
    pub fn integer(range: RangeInclusive<i64>) -> impl Fn(&RawValue) -> Result<i64, String> {
        move |value| {
            let expected = || format!("expected a whole number from {} to {}", range.start(), range.end());
            let number: i64 = value.get().parse().map_err(|_| expected())?;
            if range.contains(&number) { Ok(number) } else { Err(expected()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_field_is_named() {
        let body = br#"{"user_id":7,"amount":1.234,"product_id":1.5,"other":[1]}"#;
        let mut fields = Fields::parse(body).unwrap();
        assert!(fields.required("user_id", read::user_id).is_none());
        assert!(fields.required("amount", read::amount).is_none());
        assert!(fields.optional("product_id", read::product_id).is_none());
        assert!(fields.required("transaction_id", read::transaction_id).is_none());
        let errors = fields.finish().unwrap_err();
        let named: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(named, ["user_id", "amount", "product_id", "transaction_id"]);
    }

    #[test]
    fn both_forms_of_an_id_and_of_an_amount_are_one() {
        let read = |body: &'static str| {
            let mut fields = Fields::parse(body.as_bytes()).unwrap();
            let read = (fields.required("id", read::product_id), fields.required("amount", read::amount));
            fields.finish().map(|()| read)
        };
        assert_eq!(read(r#"{"id":1,"amount":99.9}"#), read(r#"{"id":"1","amount":"99.90"}"#));
    }

    #[test]
    fn a_body_that_is_no_honest_object_is_malformed() {
        let deep = "[".repeat(10_000);
        for body in [b"".as_slice(), b"[1]", b"{", b"\xff\xfe", b"nul", deep.as_bytes()] {
            assert!(Fields::parse(body).is_err());
        }
        assert!(Fields::parse(br#"{"text":"[[[[ {{{{ \" [["}"#).is_ok());
    }
}
