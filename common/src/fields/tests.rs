//! Invalid bodies and invalid fields, each of them named in the error.

use super::*;

fn refusal(body: &[u8]) -> String {
    Fields::parse(body).unwrap_err().to_string()
}

fn finish(fields: Fields<'_>) -> Result<(), Vec<FieldError>> {
    if fields.errors.is_empty() { Ok(()) } else { Err(fields.errors) }
}

fn read_one<T>(body: &str, read: impl FnOnce(&RawValue) -> Result<T, String>) -> Result<Option<T>, String> {
    let mut fields = Fields::parse(body.as_bytes()).unwrap();
    let value = fields.optional("x", read);
    match finish(fields) {
        Ok(()) => Ok(value),
        Err(mut errors) => Err(errors.pop().unwrap().message),
    }
}

#[test]
fn all_bad_fields_are_named_at_once() {
    let body = br#"{"user_id":"","amount":"1.234","product_id":-1,"other":[{}]}"#;
    let mut fields = Fields::parse(body).unwrap();
    assert_eq!(fields.required("user_id", read::user_id), None);
    assert_eq!(fields.required("amount", read::amount), None);
    assert_eq!(fields.optional("product_id", read::product_id), None);
    assert_eq!(fields.required("payment_id", read::payment_id), None);
    assert_eq!(fields.optional("transaction_id", read::transaction_id), None);
    let errors = finish(fields).unwrap_err();
    let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(named, ["user_id", "amount", "product_id", "payment_id"]);
    assert_eq!(errors[3].message, "is required");
}

#[test]
fn a_field_with_parts_has_an_error_for_each() {
    let error = |field: &str| FieldError { field: field.to_owned(), message: "is bad".to_owned() };
    let mut fields = Fields::parse(br#"{"x":{},"twice":1,"twice":2}"#).unwrap();
    assert_eq!(fields.optional_parts::<()>("x", |_| Err(vec![error("/x/a"), error("/x/b")])), None);
    assert_eq!(fields.optional_parts("y", |_| Ok(1)), None);
    assert_eq!(fields.optional_parts("twice", |_| Ok(1)), None);
    let errors = finish(fields).unwrap_err();
    let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(named, ["/x/a", "/x/b", "twice"]);
}

#[test]
fn null_is_as_good_as_absent() {
    let mut fields = Fields::parse(br#"{"a":null,"b": null }"#).unwrap();
    assert_eq!(fields.optional("a", read::user_id), None);
    assert_eq!(fields.required("b", read::user_id), None);
    assert_eq!(finish(fields).unwrap_err().len(), 1);
}

#[test]
fn a_field_that_is_there_twice_is_bad_even_under_an_escaped_name() {
    for body in [r#"{"x":"1","x":"2"}"#, r#"{"x":"1","\u0078":"1"}"#, r#"{"x":null,"x":"2"}"#] {
        let error = read_one(body, read::user_id).unwrap_err();
        assert_eq!(error, "is given more than once", "{body}");
    }
    assert_eq!(read_one(r#"{"y":1,"y":2,"x":"1"}"#, read::text(9)), Ok(Some("1".to_owned())));
    assert_eq!(read_one(r#"{"\u0078":"1"}"#, read::text(9)), Ok(Some("1".to_owned())));
}

#[test]
fn what_is_no_json_object_is_refused() {
    let bodies: [&[u8]; 12] = [
        b"",
        b" ",
        b"[]",
        b"null",
        b"\"a\"",
        b"{",
        b"{\"a\":1,}",
        b"{\"a\":01}",
        b"{\"a\":1} x",
        b"{'a':1}",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
    ];
    for body in bodies {
        assert!(refusal(body).starts_with("the body is not "), "{body:?}");
    }
}

#[test]
fn deep_nesting_is_refused_wherever_it_hides() {
    let nested = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(Fields::parse(nested(31).as_bytes()).is_ok());
    assert!(refusal(nested(32).as_bytes()).contains("32 levels"));
    assert!(refusal(nested(30_000).as_bytes()).contains("32 levels"));
    // Brackets in strings do not count, also behind an escaped quote.
    let text = format!(r#"{{"x":"\"{}"}}"#, "[".repeat(1_000));
    assert!(Fields::parse(text.as_bytes()).is_ok());
}

#[test]
fn ids_are_taken_as_numbers_only_where_they_are_numbers_somewhere() {
    let id = |json: &str| read_one(&format!("{{\"x\":{json}}}"), read::product_id).map(|id| id.unwrap().to_string());
    for (json, text) in [("1", "1"), ("0", "0"), ("\"1\"", "1"), ("\" a/b \"", " a/b "), ("\"007\"", "007")] {
        assert_eq!(id(json), Ok(text.to_owned()), "{json}");
    }
    for json in ["-1", "1.0", "1e3", "true", "[]", "{}", "\"\"", "\"\\u0000\"", "\"\\ud800\""] {
        assert!(id(json).is_err(), "{json}");
    }
    let hundred_digits = "9".repeat(100);
    assert_eq!(id(&hundred_digits), Ok(hundred_digits.clone()));
    assert!(id(&format!("{hundred_digits}9")).is_err());
    assert!(read_one("{\"x\":1}", read::user_id).is_err());
    assert!(read_one("{\"x\":1}", read::transaction_id).is_err());
    assert_eq!(read_one("{\"x\":7}", read::payment_id).unwrap().unwrap().as_str(), "7");
}

#[test]
fn an_integer_is_plain_digits_within_bounds() {
    let number = |json: &str| read_one::<i32>(&format!("{{\"x\":{json}}}"), read::integer(1..=1_000_000));
    assert_eq!(number("1"), Ok(Some(1)));
    assert_eq!(number("1000000"), Ok(Some(1_000_000)));
    for json in ["0", "1000001", "-1", "1.0", "1e3", "\"1\"", "true", "99999999999999999999"] {
        assert_eq!(number(json), Err("must be a whole number from 1 to 1000000".to_owned()), "{json}");
    }
    // A number outside the type is refused, even if the range allows it.
    assert!(read_one::<i8>("{\"x\":300}", read::integer(1..=1_000)).is_err());
}

#[test]
fn a_text_is_counted_in_characters() {
    let text = |json: &str| read_one(&format!("{{\"x\":{json}}}"), read::text(3));
    assert_eq!(text("\"äöü\""), Ok(Some("äöü".to_owned())));
    assert_eq!(text("\"\""), Ok(Some(String::new())));
    assert_eq!(text(r#""\"""#), Ok(Some("\"".to_owned())));
    for json in ["\"äöüß\"", "\"\\u0000\"", "1", "[]"] {
        assert!(text(json).is_err(), "{json}");
    }
}
