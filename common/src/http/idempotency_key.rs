//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a string, quoted as the draft requires (a string of
//! RFC 8941) or bare, as most clients send it. Both forms are the same key.

use hyper::header::HeaderMap;

use super::ApiError;
use crate::{fields::FieldError, wire};

/// The longest key, without quotes.
const MAX_BYTES: usize = 255;

/// A client's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    bare: String,
    form: Form,
}

/// The form in which a key was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Without quotes.
    Bare,
    /// In quotes.
    Quoted,
}

#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    List,
    NoKey,
}

impl IdempotencyKey {
    /// Reads the header; `None` if it is absent.
    pub(super) fn of(headers: &HeaderMap, bad: fn(Vec<FieldError>) -> ApiError) -> Result<Option<Self>, ApiError> {
        let mut lines = headers.get_all(wire::IDEMPOTENCY_KEY).iter();
        let Some(first) = lines.next() else { return Ok(None) };
        let read = match lines.next() {
            Some(_) => Err(Wrong::List),
            None => std::str::from_utf8(first.as_bytes()).map_err(|_| Wrong::NoKey).and_then(Self::parse),
        };
        let error = |message: String| vec![FieldError::new("Idempotency-Key", message)];
        read.map(Some).map_err(|wrong| match wrong {
            Wrong::List => ApiError::bad_fields_422(error("expected one key, not a list".to_owned())),
            Wrong::NoKey => {
                bad(error(format!("expected 1 to {MAX_BYTES} bytes of text, not blank, bare or in quotes")))
            }
        })
    }

    fn parse(sent: &str) -> Result<Self, Wrong> {
        let sent = sent.trim_matches([' ', '\t']);
        let (bare, form) = match sent.strip_prefix('"') {
            Some(rest) => (unquote(rest)?, Form::Quoted),
            None if sent.contains(',') => return Err(Wrong::List),
            None => (sent.to_owned(), Form::Bare),
        };
        if bare.trim().is_empty() || bare.len() > MAX_BYTES { Err(Wrong::NoKey) } else { Ok(Self { bare, form }) }
    }

    /// Returns the key without quotes.
    pub fn bare(&self) -> &str {
        &self.bare
    }

    /// Returns the key in quotes.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.bare.replace('\\', "\\\\").replace('"', "\\\""))
    }

    /// Returns the form in which the key was sent.
    pub fn form(&self) -> Form {
        self.form
    }
}

/// Reads the rest of a quoted string, up to the closing quote.
fn unquote(rest: &str) -> Result<String, Wrong> {
    let mut key = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next() {
            Some('"') => break,
            Some('\\') => key.push(characters.next().filter(|next| matches!(next, '"' | '\\')).ok_or(Wrong::NoKey)?),
            Some(character) => key.push(character),
            None => return Err(Wrong::NoKey),
        }
    }
    match characters.as_str().trim_start() {
        "" => Ok(key),
        more if more.starts_with(',') => Err(Wrong::List),
        _ => Err(Wrong::NoKey),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn read(lines: &[&[u8]]) -> Result<Option<IdempotencyKey>, u16> {
        let lines = lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap());
        let headers = lines.map(|line| (wire::IDEMPOTENCY_KEY.try_into().unwrap(), line)).collect();
        IdempotencyKey::of(&headers, ApiError::bad_fields_400).map_err(|error| error.status().as_u16())
    }

    #[test]
    fn the_quoted_and_the_bare_form_are_one_key() {
        let cases: [(&str, &str, Form); 6] = [
            ("order-1", "order-1", Form::Bare),
            ("\"order-1\"", "order-1", Form::Quoted),
            ("  \"a,b\" ", "a,b", Form::Quoted),
            (r#""a\"b\\c""#, r#"a"b\c"#, Form::Quoted),
            ("a\"b", "a\"b", Form::Bare),
            ("\u{e9}", "\u{e9}", Form::Bare),
        ];
        for (sent, bare, form) in cases {
            let key = read(&[sent.as_bytes()]).unwrap().unwrap();
            assert_eq!((key.bare(), key.form()), (bare, form), "{sent}");
            if form == Form::Quoted {
                assert_eq!(key.quoted(), sent.trim());
            }
        }
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn a_list_of_keys_is_422_and_what_is_no_key_is_the_bad_field_of_its_service() {
        for list in [&[&b"a"[..], b"b"][..], &[b"a", b"a"], &[b"a, b"], &[b"\"a\", \"b\""], &[b"\"a\",b"], &[b","]] {
            assert_eq!(read(list), Err(422), "{list:?}");
        }
        let long = [b'k'; 256];
        for bad in [&b""[..], b"  ", &long, b"\xff", b"\"\"", b"\" \"", b"\"a", b"\"a\"b", b"\"a\\b\"", b"\""] {
            assert_eq!(read(&[bad]), Err(400), "{bad:?}");
        }
        assert!(read(&[&long[1..]]).is_ok());
    }
}
