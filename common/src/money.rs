//! Money: a positive amount with two decimals, kept as whole cents.
//!
//! An amount comes in as the text of a JSON number or string and is read digit by digit. It never becomes a binary
//! floating-point number, neither here nor on its way through JSON.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::fields::raw::Raw;

/// The most that an amount may be, in cents: what `numeric(10,2)` holds.
const MAX_CENTS: i64 = 99_999_999_99;

/// A positive amount of at most 99999999.99. It is shown, and serialized, as text with two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a text or a number of cents is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// It is not digits with an optional point and at most two decimals.
    #[error("must be plain digits with at most 2 decimals, such as 99.90")]
    Form,
    /// It is zero, or negative.
    #[error("must be greater than 0")]
    TooSmall,
    /// It is more than 99999999.99.
    #[error("must be at most 99999999.99")]
    TooLarge,
}

impl Money {
    /// Reads an amount: digits, then optionally a point and one or two more. No sign, no exponent, no blank, no zeros in
    /// front.
    ///
    /// # Errors
    /// [`MoneyError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let padded = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || !digits(decimals) || decimals.len() > 2 || padded {
            return Err(MoneyError::Form);
        }
        // Longer ones are too large, and may be too large for the arithmetic.
        const MAX_WHOLE_DIGITS: usize = 8;
        if whole.len() > MAX_WHOLE_DIGITS {
            return Err(MoneyError::TooLarge);
        }
        let number = |part: &str| part.bytes().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let hundredths = if decimals.len() == 1 { number(decimals) * 10 } else { number(decimals) };
        Self::from_cents(number(whole) * 100 + hundredths)
    }

    /// Makes an amount of whole cents.
    ///
    /// # Errors
    /// [`MoneyError`] when it is not between 1 and 9999999999 cents.
    pub fn from_cents(cents: i64) -> Result<Self, MoneyError> {
        match cents {
            ..=0 => Err(MoneyError::TooSmall),
            1..=MAX_CENTS => Ok(Self(cents)),
            _ => Err(MoneyError::TooLarge),
        }
    }

    /// Returns the amount in cents.
    pub fn cents(self) -> i64 {
        self.0
    }

    /// Reads an amount from a JSON number or string.
    pub(crate) fn from_raw(raw: &RawValue) -> Result<Self, String> {
        match Raw::of(raw) {
            Raw::Text(text) => Self::parse(&text).map_err(|error| error.to_string()),
            Raw::Number(number) if number.starts_with('-') => Err(MoneyError::TooSmall.to_string()),
            Raw::Number(number) => Self::parse(number).map_err(|error| error.to_string()),
            Raw::Other(kind) => Err(format!("must be a number or a numeric string, not {kind}")),
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From the text of a JSON number or string; works with `serde_json` only.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_raw(&raw).map_err(serde::de::Error::custom)
    }
}

/// For `#[serde(with = "common::money::as_number")]`: an amount as a JSON number with two decimals.
pub mod as_number {
    use super::{Deserialize, Deserializer, Money, RawValue, Serialize, Serializer};

    /// Writes the exact digits as a number; works with `serde_json` only.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = RawValue::from_string(money.to_string()).map_err(serde::ser::Error::custom)?;
        digits.serialize(serializer)
    }

    /// Reads a number or a numeric string.
    ///
    /// # Errors
    /// When it is no amount.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        Money::deserialize(deserializer)
    }
}
