//! Readers of fields, for [`Fields::required`](super::Fields::required) and
//! [`Fields::optional`](super::Fields::optional). Each returns the value, or an error message for the client.

use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use super::raw::Raw;
use crate::{
    ids::{IdError, PaymentId, ProductId, TransactionId, UserId},
    money::Money,
};

/// Reads a user id, a string.
///
/// # Errors
/// The rule that the value breaks.
pub fn user_id(raw: &RawValue) -> Result<UserId, String> {
    id_text(raw, UserId::from_client)
}

/// Reads a transaction id, a string.
///
/// # Errors
/// The rule that the value breaks.
pub fn transaction_id(raw: &RawValue) -> Result<TransactionId, String> {
    id_text(raw, TransactionId::from_client)
}

/// Reads a product id, a string or a whole number: `7` is `"7"`.
///
/// # Errors
/// The rule that the value breaks.
pub fn product_id(raw: &RawValue) -> Result<ProductId, String> {
    id_text_or_number(raw, ProductId::from_client)
}

/// Reads the id of a product that may not exist, `.` and `..` included: this id is never part of a path.
///
/// # Errors
/// The rule that the value breaks.
pub fn wanted_product_id(raw: &RawValue) -> Result<ProductId, String> {
    id_text_or_number(raw, ProductId::parse)
}

/// Reads a payment id, a string or a whole number: `7` is `"7"`.
///
/// # Errors
/// The rule that the value breaks.
pub fn payment_id(raw: &RawValue) -> Result<PaymentId, String> {
    id_text_or_number(raw, PaymentId::from_client)
}

/// Reads an amount, a number or a numeric string.
///
/// # Errors
/// The rule that the value breaks.
pub fn amount(raw: &RawValue) -> Result<Money, String> {
    Money::from_raw(raw)
}

/// Creates a reader of a string of at most `max_chars` characters, without NUL. The string may be empty.
///
/// # Errors
/// The reader returns the rule that the value breaks.
pub fn text(max_chars: usize) -> impl FnOnce(&RawValue) -> Result<String, String> {
    move |raw| match Raw::of(raw) {
        Raw::Text(text) if text.contains('\0') => Err(IdError::Nul.to_string()),
        Raw::Text(text) if text.chars().nth(max_chars).is_some() => {
            Err(format!("must be at most {max_chars} characters"))
        }
        Raw::Text(text) => Ok(text.into_owned()),
        Raw::Number(_) => Err("must be a string, not a number".to_owned()),
        Raw::Other(kind) => Err(format!("must be a string, not {kind}")),
    }
}

/// Creates a reader like [`text`] that refuses a string of blanks only.
///
/// # Errors
/// The reader returns the rule that the value breaks.
pub fn text_with_content(max_chars: usize) -> impl FnOnce(&RawValue) -> Result<String, String> {
    move |raw| match text(max_chars)(raw)? {
        blank if blank.trim().is_empty() => Err("must not be blank".to_owned()),
        text => Ok(text),
    }
}

/// Creates a reader of a whole number in `range`, given as a JSON number in plain digits.
///
/// # Errors
/// The reader returns the rule that the value breaks.
pub fn integer<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl FnOnce(&RawValue) -> Result<T, String> {
    move |raw| {
        let number = match Raw::of(raw) {
            Raw::Number(number) => number.parse::<i64>().ok(),
            Raw::Text(_) | Raw::Other(_) => None,
        };
        number
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

fn id_text<T>(raw: &RawValue, parse: fn(&str) -> Result<T, IdError>) -> Result<T, String> {
    match Raw::of(raw) {
        Raw::Text(text) => parse(&text).map_err(|error| error.to_string()),
        Raw::Number(_) => Err("must be a string, not a number".to_owned()),
        Raw::Other(kind) => Err(format!("must be a string, not {kind}")),
    }
}

fn id_text_or_number<T>(raw: &RawValue, parse: fn(&str) -> Result<T, IdError>) -> Result<T, String> {
    match Raw::of(raw) {
        Raw::Text(text) => parse(&text).map_err(|error| error.to_string()),
        Raw::Number(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            parse(number).map_err(|error| error.to_string())
        }
        Raw::Number(_) => Err("must be a string or a whole number of at least 0".to_owned()),
        Raw::Other(kind) => Err(format!("must be a string or a whole number, not {kind}")),
    }
}
