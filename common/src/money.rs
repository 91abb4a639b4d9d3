//! Amounts of money: whole cents, read from exact text. Binary floating point is nowhere on the way.

use std::fmt;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

/// The largest amount: decimal(10,2), 99999999.99.
const MAX_CENTS: i64 = 9_999_999_999;

/// An amount, above 0 and at most 99999999.99, with two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// It has something but digits and a point.
    #[error("expected plain digits with at most one point, such as 99.99")]
    NotPlain,
    /// It has a third decimal.
    #[error("expected at most 2 decimals")]
    TooPrecise,
    /// It is not above zero.
    #[error("expected more than 0")]
    NotPositive,
    /// It is above the largest amount.
    #[error("expected at most 99999999.99")]
    TooLarge,
}

impl Money {
    /// Reads an amount: digits, optionally a point and one or two decimals. No sign, no exponent, no blank.
    ///
    /// # Errors
    /// [`MoneyError`] says what is expected.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (text, None),
        };
        let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let leads_with_zero = whole.len() > 1 && whole.starts_with('0');
        if !is_plain(whole) || !decimals.is_none_or(is_plain) || leads_with_zero {
            return Err(MoneyError::NotPlain);
        }
        let decimals = decimals.unwrap_or("00");
        if decimals.len() > 2 {
            return Err(MoneyError::TooPrecise);
        }
        if whole.len() > 8 {
            return Err(MoneyError::TooLarge);
        }
        let digits = format!("{whole}{decimals:0<2}");
        Self::from_cents(digits.parse().map_err(|_| MoneyError::NotPlain)?)
    }

    /// Makes an amount of cents.
    ///
    /// # Errors
    /// [`MoneyError::NotPositive`] or [`MoneyError::TooLarge`].
    pub fn from_cents(cents: i64) -> Result<Self, MoneyError> {
        match cents {
            ..=0 => Err(MoneyError::NotPositive),
            1..=MAX_CENTS => Ok(Self(cents)),
            _ => Err(MoneyError::TooLarge),
        }
    }

    /// Returns the amount in cents.
    pub fn cents(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// As a string with two decimals; [`as_number`] writes a number instead.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From a number or a string, by its exact text.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get().trim_matches('"')).map_err(de::Error::custom)
    }
}

/// Writes an amount as a JSON number with two decimals, by its exact text.
pub mod as_number {
    use super::{Money, RawValue};
    use serde::{Serialize, Serializer, ser};

    /// Writes the number.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(money.to_string()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_by_their_exact_text() {
        let good = [("1", 100), ("0.01", 1), ("99.9", 9_990), ("99999999.99", MAX_CENTS), ("10.00", 1_000)];
        for (text, cents) in good {
            assert_eq!(Money::parse(text).map(Money::cents), Ok(cents), "{text}");
        }
        let bad = [
            ("", MoneyError::NotPlain),
            ("-1", MoneyError::NotPlain),
            ("+1", MoneyError::NotPlain),
            ("1e2", MoneyError::NotPlain),
            (" 1", MoneyError::NotPlain),
            ("1.", MoneyError::NotPlain),
            (".5", MoneyError::NotPlain),
            ("1.2.3", MoneyError::NotPlain),
            ("٣", MoneyError::NotPlain),
            ("007", MoneyError::NotPlain),
            ("1.230", MoneyError::TooPrecise),
            ("0", MoneyError::NotPositive),
            ("0.00", MoneyError::NotPositive),
            ("100000000", MoneyError::TooLarge),
            ("9999999999999999999999999999999999999999999999999999999999999999", MoneyError::TooLarge),
        ];
        for (text, error) in bad {
            assert_eq!(Money::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn json_gives_a_string_or_a_number_with_two_decimals() {
        #[derive(Serialize)]
        struct Both {
            text: Money,
            #[serde(serialize_with = "as_number::serialize")]
            number: Money,
        }
        let money = Money::parse("100").unwrap();
        let json = serde_json::to_string(&Both { text: money, number: money }).unwrap();
        assert_eq!(json, r#"{"text":"100.00","number":100.00}"#);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(cents in 1..=MAX_CENTS) {
            let money = Money::from_cents(cents).unwrap();
            prop_assert_eq!(Money::parse(&money.to_string()), Ok(money));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC*") {
            let _ = Money::parse(&text);
        }
    }
}
