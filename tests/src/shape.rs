//! Compares JSON with an expectation that leaves generated values open: ids and times.
//!
//! In the expectation these strings match any value of a kind: `<integer>`, `<id>` (a string of digits), `<time>` (RFC
//! 3339 in UTC with microseconds), `<uuid>`, `<text>` (not empty), `<any>`. Everything else must be equal; additional
//! members are an error.

use serde_json::Value;
use uuid::Uuid;

/// Asserts that JSON has the expected shape.
///
/// # Panics
/// When the shape differs; the message names the place.
#[track_caller]
pub fn assert_shape(actual: &Value, expected: &Value) {
    if let Err(difference) = compare(actual, expected) {
        panic!("{difference}\nin {actual:#}\nexpected {expected:#}");
    }
}

/// Compares JSON with the expected shape.
///
/// # Errors
/// The first difference and its place.
pub fn compare(actual: &Value, expected: &Value) -> Result<(), String> {
    compare_at("$", actual, expected)
}

fn compare_at(place: &str, actual: &Value, expected: &Value) -> Result<(), String> {
    match (actual, expected) {
        (_, Value::String(kind)) if kind.starts_with('<') && kind.ends_with('>') => {
            if is_of_kind(actual, kind) {
                Ok(())
            } else {
                Err(format!("{place}: {actual} is no {kind}"))
            }
        }
        (Value::Object(actual), Value::Object(expected)) => {
            for (name, value) in actual {
                let expected = expected.get(name).ok_or_else(|| format!("{place}.{name} is not expected"))?;
                compare_at(&format!("{place}.{name}"), value, expected)?;
            }
            match expected.keys().find(|name| !actual.contains_key(*name)) {
                Some(missing) => Err(format!("{place}.{missing} is missing")),
                None => Ok(()),
            }
        }
        (Value::Array(actual), Value::Array(expected)) if actual.len() == expected.len() => {
            let mut pairs = actual.iter().zip(expected).enumerate();
            pairs.try_for_each(|(index, (actual, expected))| compare_at(&format!("{place}[{index}]"), actual, expected))
        }
        _ if actual == expected => Ok(()),
        _ => Err(format!("{place}: {actual} instead of {expected}")),
    }
}

fn is_of_kind(value: &Value, kind: &str) -> bool {
    let text = value.as_str();
    match kind {
        "<integer>" => value.is_i64(),
        "<id>" => text.is_some_and(is_digits),
        "<time>" => text.is_some_and(is_time),
        "<uuid>" => text.is_some_and(|text| Uuid::parse_str(text).is_ok()),
        "<text>" => text.is_some_and(|text| !text.is_empty()),
        "<any>" => true,
        _ => panic!("{kind} is no kind that shapes know"),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a text looks like `2026-01-31T23:59:59.000001Z`.
pub fn is_time(text: &str) -> bool {
    const PATTERN: &[u8] = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
    text.len() == PATTERN.len()
        && text.bytes().zip(PATTERN).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            _ => byte == *wanted,
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_difference_is_found() {
        let expected = json!({ "id": "<integer>", "at": "<time>", "list": [1, "<id>"], "name": "x" });
        let good = json!({ "id": 7, "at": "2026-01-31T23:59:59.000001Z", "list": [1, "2"], "name": "x" });
        assert_eq!(compare(&good, &expected), Ok(()));
        let changes: [(&str, Value); 8] = [
            ("id", json!("7")),
            ("id", json!(7.5)),
            ("at", json!("2026-01-31T23:59:59Z")),
            ("at", json!("2026-01-31T23:59:59.000001+00:00")),
            ("list", json!([1])),
            ("list", json!([1, 2])),
            ("name", json!(null)),
            ("more", json!(1)),
        ];
        for (name, value) in changes {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(compare(&bad, &expected).is_err(), "{bad}");
        }
        let mut missing = good;
        missing.as_object_mut().unwrap().remove("name");
        assert!(compare(&missing, &expected).is_err());
    }
}
