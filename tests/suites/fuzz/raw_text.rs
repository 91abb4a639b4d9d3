//! JSON values as text, to include those that no JSON library would write.

use proptest::{collection::vec, prelude::*, sample::select};

const WORDS: [&str; 38] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "01",
    "1.",
    ".5",
    "1.5",
    "1.50",
    "1.234",
    "1e2",
    "1E+2",
    "1e-2",
    "1e400",
    "-1e-400",
    "0.01",
    "99999999.99",
    "100000000",
    "2147483647",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1000000",
    "1000001",
    "NaN",
    "Infinity",
    "0x10",
    "1_000",
    "+1",
    "[]",
    "{}",
    "",
];

const TEXTS: [&str; 22] = [
    r#""""#,
    r#"" ""#,
    r#""\t\n""#,
    r#""\u0000""#,
    r#""a\u0000b""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\ud83d\ude00""#,
    r#""\x""#,
    r#""\u12""#,
    r#""unended"#,
    r#"'single'"#,
    r#""1""#,
    r#""-1""#,
    r#""1.00""#,
    r#""1e2""#,
    r#""99999999.99""#,
    r#""NaN""#,
    r#""'; drop table saga; --""#,
    r#""<script>alert(1)</script>""#,
    r#""../../etc/passwd""#,
    "\"\u{202e}\u{feff}\"",
];

/// Generates a value, valid JSON or not.
pub(crate) fn value() -> BoxedStrategy<Vec<u8>> {
    let scalar = prop_oneof![
        5 => select(&WORDS[..]).prop_map(|text| text.as_bytes().to_vec()),
        4 => select(&TEXTS[..]).prop_map(|text| text.as_bytes().to_vec()),
        2 => any::<String>().prop_map(|text| serde_json::to_vec(&text).expect("a text is JSON")),
        1 => vec(any::<u8>(), 0..12).prop_map(|bytes| [b"\"", &bytes[..], b"\""].concat()),
        1 => prop_oneof![99usize..103, 900usize..1_100, 5_000usize..9_000]
            .prop_map(|length| format!("\"{}\"", "\u{436}".repeat(length)).into_bytes()),
        1 => (1usize..400).prop_map(|digits| "9".repeat(digits).into_bytes()),
        1 => prop_oneof![30usize..36, 100usize..5_000].prop_map(nested),
    ];
    scalar
        .prop_recursive(3, 12, 3, |inner| {
            let member = (any::<String>(), inner.clone()).prop_map(|(name, value)| member(&name, &value));
            prop_oneof![
                vec(inner, 0..3).prop_map(|items| [b"[", &items.join(&b',')[..], b"]"].concat()),
                vec(member, 0..3).prop_map(|members| [b"{", &members.join(&b',')[..], b"}"].concat()),
            ]
        })
        .boxed()
}

/// Writes a member of an object.
pub(crate) fn member(name: &str, value: &[u8]) -> Vec<u8> {
    let name = serde_json::to_vec(name).expect("a text is JSON");
    [&name[..], b":", value].concat()
}

fn nested(depth: usize) -> Vec<u8> {
    ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes()
}
