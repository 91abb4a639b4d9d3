//! Money: a positive amount with two decimals, stored as whole cents.
//!
//! An amount arrives as the text of a JSON number or string and is read digit by digit. It never becomes a binary
//! floating-point number, neither here nor on its way through JSON.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::fields::raw::Raw;

/// The largest amount, in cents: the limit of `numeric(10,2)`.
const MAX_CENTS: i64 = 9_999_999_999;

/// Regular expression of an amount in responses.
const SHOWN: &str = r"^([1-9][0-9]{0,7}\.[0-9]{2}|0\.(0[1-9]|[1-9][0-9]))$";

/// Regular expression of an amount in requests, as accepted by [`Money::parse`].
pub(crate) const GIVEN: &str = r"^([1-9][0-9]{0,7}(\.[0-9]{1,2})?|0\.(0[1-9]|[1-9][0-9]?))$";

/// A positive amount of at most 99999999.99. It is displayed and serialized as text with two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a text or a number of cents is not a valid amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Not digits with an optional point and at most two decimals.
    #[error("must be plain digits with at most 2 decimals, such as 99.90")]
    Form,
    /// Zero or negative.
    #[error("must be greater than 0")]
    TooSmall,
    /// More than 99999999.99.
    #[error("must be at most 99999999.99")]
    TooLarge,
}

impl Money {
    /// Reads an amount: digits, then optionally a point and one or two decimals. No sign, exponent, blanks or leading
    /// zeros.
    ///
    /// # Errors
    /// [`MoneyError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let padded = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || !digits(decimals) || decimals.len() > 2 || padded {
            return Err(MoneyError::Form);
        }
        // Longer amounts are too large, and could overflow the arithmetic.
        const MAX_WHOLE_DIGITS: usize = 8;
        if whole.len() > MAX_WHOLE_DIGITS {
            return Err(MoneyError::TooLarge);
        }
        let number = |part: &str| part.bytes().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let hundredths = if decimals.len() == 1 { number(decimals) * 10 } else { number(decimals) };
        Self::from_cents(number(whole) * 100 + hundredths)
    }

    /// Creates an amount from whole cents.
    ///
    /// # Errors
    /// [`MoneyError`] unless it is between 1 and 9999999999 cents.
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

/// The format in responses.
impl PartialSchema for Money {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(SHOWN));
        let text = "An amount of at most 99999999.99, with two decimals.";
        schema.description(Some(text)).examples(["99.99"]).into()
    }
}

impl ToSchema for Money {}

/// Reads the text of a JSON number or string; works with `serde_json` only.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_raw(&raw).map_err(serde::de::Error::custom)
    }
}

/// For `#[serde(with = "common::money::as_number")]`: an amount as a JSON number with two decimals.
pub mod as_number {
    use super::{Deserialize, Deserializer, Money, RawValue, Serialize, Serializer};

    /// Writes the exact digits as a JSON number; works with `serde_json` only.
    ///
    /// # Errors
    /// Errors of the serializer.
    pub fn serialize<S: Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = RawValue::from_string(money.to_string()).map_err(serde::ser::Error::custom)?;
        digits.serialize(serializer)
    }

    /// Writes an amount as a JSON number, or null.
    ///
    /// # Errors
    /// Errors of the serializer.
    pub fn serialize_option<S: Serializer>(money: &Option<Money>, serializer: S) -> Result<S::Ok, S::Error> {
        match money {
            Some(money) => super::as_number::serialize(money, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a number or a numeric string.
    ///
    /// # Errors
    /// If the value is not a valid amount.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        Money::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_is_plain_digits_with_at_most_two_decimals() {
        let good = [
            ("1", 100),
            ("0.01", 1),
            ("0.5", 50),
            ("99.9", 9_990),
            ("99.90", 9_990),
            ("99999999.99", MAX_CENTS),
            ("99999999", 9_999_999_900),
        ];
        for (text, cents) in good {
            assert_eq!(Money::parse(text).map(Money::cents), Ok(cents), "{text}");
        }
        let bad = [
            ("", MoneyError::Form),
            (".", MoneyError::Form),
            (".5", MoneyError::Form),
            ("5.", MoneyError::Form),
            ("1.000", MoneyError::Form),
            ("1.2.3", MoneyError::Form),
            ("+1", MoneyError::Form),
            ("-1", MoneyError::Form),
            (" 1", MoneyError::Form),
            ("1 ", MoneyError::Form),
            ("1e2", MoneyError::Form),
            ("0x10", MoneyError::Form),
            ("1,5", MoneyError::Form),
            ("01", MoneyError::Form),
            ("00.5", MoneyError::Form),
            ("１", MoneyError::Form),
            ("NaN", MoneyError::Form),
            ("0", MoneyError::TooSmall),
            ("0.00", MoneyError::TooSmall),
            ("100000000", MoneyError::TooLarge),
            ("99999999999999999999999999", MoneyError::TooLarge),
        ];
        for (text, error) in bad {
            assert_eq!(Money::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_amount_is_the_same_as_a_number_and_as_a_string() {
        let read = |json: &str| serde_json::from_str::<Money>(json).map(Money::cents).ok();
        for (json, cents) in [("99.9", 9_990), ("\"99.9\"", 9_990), ("1", 100), ("0.10", 10)] {
            assert_eq!(read(json), Some(cents), "{json}");
        }
        for json in ["1e2", "\"1e2\"", "1.000", "\"1.000\"", "-1", "null", "true", "[1]", "\"\"", "0.29999999999999998"]
        {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn an_amount_is_shown_with_two_decimals() {
        #[derive(Serialize, Deserialize)]
        struct Shown {
            text: Money,
            #[serde(with = "as_number")]
            number: Money,
        }
        let amount = Money::parse("99.9").unwrap();
        let json = serde_json::to_string(&Shown { text: amount, number: amount }).unwrap();
        assert_eq!(json, r#"{"text":"99.90","number":99.90}"#);
        let back: Shown = serde_json::from_str(&json).unwrap();
        assert_eq!((back.text, back.number), (amount, amount));
        assert_eq!(Money::parse("0.05").unwrap().to_string(), "0.05");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(cents in 1..=MAX_CENTS) {
            let amount = Money::from_cents(cents).unwrap();
            prop_assert_eq!(Money::parse(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn no_text_is_read_as_something_else(text in "[0-9.]{0,14}") {
            if let Ok(amount) = Money::parse(&text) {
                let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
                prop_assert_eq!(amount.to_string(), format!("{whole}.{decimals:0<2}"));
            }
        }
    }
}
