//! Numbers that serde_json would change.
//!
//! serde_json keeps a number in 64 bits: 19.99 is written as it was read, 100000000000000.01 as 100000000000000.02. A saga
//! must not send another number than it was given, so such a number is refused where it enters. The text decides, since the
//! value has forgotten it. serde_json's feature `arbitrary_precision` would keep the text, but breaks untagged enums.
//!
//! The numbers of a text are judged in one pass. Only if one of them would change, the text is taken apart to find its
//! pointer.

use std::fmt;

use serde_json::Number;

use crate::inputs::{MAX_FOUND, below};
use crate::parts::{Parts, after_string};

/// Maximum number of characters of a number that are shown.
const MAX_SHOWN: usize = 40;

/// serde_json reads no deeper values.
const MAX_DEPTH: usize = 128;

/// A number of this length without an exponent never changes: it is an integer of at most 16 digits, which fits into 64 bits,
/// or a decimal of at most 15, and a float of 64 bits carries as many.
const ALWAYS_EXACT_BYTES: usize = 16;

pub(crate) const ADVICE: &str = "cannot be carried exactly: write it as a string";

/// A number that would change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InexactNumber {
    /// JSON pointer into the text; empty means the whole text.
    pub(crate) pointer: String,
    number: String,
}

impl fmt::Display for InexactNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number.get(..MAX_SHOWN) {
            Some(start) if start.len() < self.number.len() => write!(f, "{start}… {ADVICE}"),
            Some(_) | None => write!(f, "{} {ADVICE}", self.number),
        }
    }
}

/// Returns the first numbers of a JSON text that would change; none if the text is not JSON.
pub(crate) fn inexact_numbers(json: &str) -> Vec<InexactNumber> {
    let mut found = Vec::new();
    if !is_exact(json) {
        collect(json, &mut String::new(), 0, &mut found);
    }
    found
}

/// Tells whether every number of a JSON text keeps its decimal value.
pub(crate) fn is_exact(json: &str) -> bool {
    let mut rest = json;
    while let Some(start) = rest.bytes().position(|byte| matches!(byte, b'"' | b'-' | b'0'..=b'9')) {
        rest = &rest[start..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = after_string(text);
            continue;
        }
        let end = rest.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        if !is_exact_number(number) {
            return false;
        }
        rest = after;
    }
    true
}

/// Tells whether a number has the decimal value of its text.
pub(crate) fn has_value_of(number: &Number, text: &str) -> bool {
    Decimal::of(text).is_some_and(|decimal| Decimal::of(&number.to_string()) == Some(decimal))
}

/// Compares two numbers by their decimal values: 1 and 1.0 are equal.
pub(crate) fn are_equal(a: &Number, b: &Number) -> bool {
    a == b || (a.is_f64() != b.is_f64() && has_value_of(a, &b.to_string()))
}

fn collect(json: &str, at: &mut String, depth: usize, found: &mut Vec<InexactNumber>) {
    if depth > MAX_DEPTH || found.len() == MAX_FOUND || is_exact(json) {
        return;
    }
    match Parts::of(json) {
        Ok(Parts::Object(members)) => {
            for (name, value) in &members {
                below(name, at, |at| collect(value.get(), at, depth + 1, found));
            }
        }
        Ok(Parts::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                below(&index.to_string(), at, |at| collect(item.get(), at, depth + 1, found));
            }
        }
        Ok(Parts::Scalar) => found.push(InexactNumber { pointer: at.clone(), number: json.trim().to_owned() }),
        Err(_) => {}
    }
}

fn is_exact_number(text: &str) -> bool {
    if text.len() <= ALWAYS_EXACT_BYTES && !text.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        return true;
    }
    serde_json::from_str::<Number>(text).is_ok_and(|number| has_value_of(&number, text))
}

/// A decimal number in the one form that all its notations share: `1.50`, `15e-1` and `1.5` are equal.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    /// Without zeros at both ends; empty for zero.
    digits: String,
    /// Power of ten of the last digit.
    exponent: i64,
}

impl Decimal {
    /// Reads a number of JSON or TOML; `None` if its exponent is beyond any number that can be written out.
    fn of(text: &str) -> Option<Decimal> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let ending_zeros = all.len() - digits.len();
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Decimal { is_negative: false, digits, exponent: 0 });
        }
        let exponent = i64::from(exponent.parse::<i32>().ok()?);
        let (ending_zeros, decimals) = (i64::try_from(ending_zeros).ok()?, i64::try_from(fraction.len()).ok()?);
        Some(Decimal { is_negative, digits, exponent: exponent + ending_zeros - decimals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: [&str; 32] = [
        "0",
        "-0",
        "-0.0",
        "0e5",
        "0e-99999999999999999999",
        "0.000",
        "1",
        "-1",
        "1.0",
        "1e2",
        "1E+2",
        "100e-2",
        "1.50",
        "0.10",
        "19.99",
        "15e-1",
        "0.1234567890123456",
        "-9999999999999.99",
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        "36893488147419103000",
        "100000000000000.02",
        "1e22",
        "1e-7",
        "1e300",
        "5e-324",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "123456789012345.0000000000000000",
        "0.30000000000000004",
        "1e0000000000000000002",
    ];

    const INEXACT: [&str; 18] = [
        "100000000000000.01",
        "-99999999999999.99",
        "18446744073709551616",
        "-9223372036854775809",
        "1.8446744073709551616e19",
        "99999999999999999999",
        "9007199254740993.0",
        "9007199254740993e0",
        "1e-400",
        "-1e-400",
        "4e-324",
        "1e400",
        "1e-99999999999999999999",
        "0.1000000000000000055511151231257827",
        "0.12345678901234567890",
        "3.14159265358979323846",
        "2e308",
        // 2^65 is a float of 64 bits, but is written with fewer digits.
        "36893488147419103232",
    ];

    #[test]
    fn a_number_is_exact_if_its_decimal_value_stays() {
        for text in EXACT {
            assert!(is_exact(text), "{text}");
        }
        for text in INEXACT {
            assert!(!is_exact(text), "{text}");
            assert_eq!(inexact_numbers(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn digits_in_strings_and_names_are_no_numbers() {
        for text in [
            r#"{"1e-400":"1e-400"}"#,
            r#"["\"1e-400","\\","é1e-400",true,false,null]"#,
            r#"{"id":"3e88f1b2-0000-4000-8000-100000000000","at":"2026-02-28T10:00:00.12345678901234567Z"}"#,
        ] {
            assert!(is_exact(text), "{text}");
        }
        for text in [r#"{"a":"\\","b":1e-400}"#, r#"["\"",1e-400]"#, "[ 1 ,\n1e-400 ]"] {
            assert!(!is_exact(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_json_has_no_numbers() {
        for text in ["", "[1e-400", "{\"a\":1e-400,}", "\"", "\"\\", "\"\\é", "1e-400]"] {
            is_exact(text);
        }
        assert_eq!(inexact_numbers("[1e-400"), []);
        assert_eq!(inexact_numbers("{\"a\":1e-400,}"), []);
        let deep = format!("{}1e-400{}", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(inexact_numbers(&deep), []);
    }

    #[test]
    fn numbers_are_equal_by_their_decimal_values() {
        let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        for (a, b, is_equal) in [
            ("1", "1.0", true),
            ("0", "-0", true),
            ("100", "1e2", true),
            ("1.5", "15e-1", true),
            ("1", "-1", false),
            ("9007199254740993", "9007199254740992.0", false),
            ("9007199254740992", "9007199254740992.0", true),
            ("18446744073709551615", "1.8446744073709552e19", false),
        ] {
            assert_eq!(are_equal(&number(a), &number(b)), is_equal, "{a} {b}");
            assert_eq!(are_equal(&number(b), &number(a)), is_equal, "{b} {a}");
        }
    }
}
