//! Canonical text, used to compare definitions and to make bodies: JSON without spaces, names sorted by their bytes.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Returns the SHA-256 of a value's canonical text, in hexadecimal digits.
pub(crate) fn hash(value: &Value) -> String {
    let digest = Sha256::digest(text(value));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: &Value) -> String {
    let mut out = String::new();
    push(value, &mut out);
    out
}

/// Appends a value's canonical text.
pub(crate) fn push(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // serde_json sorts them unless a feature is on, which any crate of the build may turn on.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_string(name, out);
                out.push(':');
                push(value, out);
            }
            out.push('}');
        }
        Value::String(text) => push_string(text, out),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

/// Appends a JSON string. Most need no escapes.
pub(crate) fn push_string(text: &str, out: &mut String) {
    let is_plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if is_plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_canonical_text_is_sorted_and_has_no_spaces() {
        let value = json!({ "b": [1, 1.0, null, { "é\"": true }], "a": "x y" });
        assert_eq!(text(&value), r#"{"a":"x y","b":[1,1.0,null,{"é\"":true}]}"#);
    }

    #[test]
    fn the_hash_is_sha_256() {
        let empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(hash(&json!({})), empty);
    }
}
