//! Generated bodies: the described example with some members changed and possible damage to the whole; or nonsense.

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::Value;

use super::raw_text::{member, value};

/// Damage to a whole body.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Truncated(Index),
    Changed(Index, u8),
    ByteOrderMark,
    SecondValue,
    Wrapped,
    Utf16,
    Padded(usize),
}

/// Generates bodies for a route with this example, if it takes a body at all.
pub(crate) fn body(example: Option<&Value>) -> BoxedStrategy<Vec<u8>> {
    let nonsense = prop_oneof![
        2 => value(),
        1 => vec(any::<u8>(), 0..64),
        1 => Just(Vec::new()),
        1 => (65_530usize..65_545).prop_map(|length| vec![b' '; length]),
    ];
    let Some(example) = example else {
        // The route takes no body; sending one must do no harm.
        return prop_oneof![4 => Just(Vec::new()), 1 => nonsense].boxed();
    };
    let near = (near(example), damage()).prop_map(|(body, damage)| damaged(body, damage));
    prop_oneof![8 => near, 1 => nonsense].boxed()
}

fn near(example: &Value) -> BoxedStrategy<Vec<u8>> {
    let members = example.as_object().expect("bodies are objects");
    let members: Vec<BoxedStrategy<Vec<Vec<u8>>>> = members.iter().map(|(name, good)| changed(name, good)).collect();
    let more = vec(("[a-z_]{1,12}", value()).prop_map(|(name, value)| member(&name, &value)), 0..2);
    let more = prop_oneof![4 => Just(Vec::new()).boxed(), 1 => more.boxed()];
    (members, more)
        .prop_map(|(members, more)| {
            let all: Vec<Vec<u8>> = members.into_iter().flatten().chain(more).collect();
            [b"{", &all.join(&b',')[..], b"}"].concat()
        })
        .boxed()
}

/// A member as it should be, with another value, left out, or repeated.
fn changed(name: &str, good: &Value) -> BoxedStrategy<Vec<Vec<u8>>> {
    let name = name.to_owned();
    let example = Just(good.to_string().into_bytes());
    let good = match good {
        Value::String(_) => {
            let another = "[a-z0-9-]{1,12}".prop_map(|text| format!("\"{text}\"").into_bytes());
            prop_oneof![example, another].boxed()
        }
        // Failure settings: an accepted one must not apply for long.
        Value::Object(inner) => {
            let members: Vec<_> = inner.iter().map(|(name, good)| changed(name, good)).collect();
            members.prop_map(|all| [b"{", &all.concat().join(&b',')[..], b"}"].concat()).boxed()
        }
        _ => example.boxed(),
    };
    let write = move |values: Vec<Vec<u8>>| values.iter().map(|value| member(&name, value)).collect();
    prop_oneof![
        12 => good.clone().prop_map(|good| vec![good]),
        3 => value().prop_map(|value| vec![value]),
        1 => Just(Vec::new()),
        1 => (good, value()).prop_map(|(good, value)| vec![good, value]),
    ]
    .prop_map(write)
    .boxed()
}

fn damage() -> BoxedStrategy<Damage> {
    prop_oneof![
        14 => Just(Damage::None),
        1 => any::<Index>().prop_map(Damage::Truncated),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Changed(at, byte)),
        1 => Just(Damage::ByteOrderMark),
        1 => Just(Damage::SecondValue),
        1 => Just(Damage::Wrapped),
        1 => Just(Damage::Utf16),
        1 => (0usize..70_000).prop_map(Damage::Padded),
    ]
    .boxed()
}

fn damaged(mut body: Vec<u8>, damage: Damage) -> Vec<u8> {
    match damage {
        Damage::None => {}
        Damage::Truncated(at) => body.truncate(at.index(body.len())),
        Damage::Changed(at, byte) => {
            let at = at.index(body.len());
            body[at] = byte;
        }
        Damage::ByteOrderMark => body.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
        Damage::SecondValue => body.extend_from_within(..),
        Damage::Wrapped => body = [b"[", &body[..], b"]"].concat(),
        Damage::Utf16 => body = body.into_iter().flat_map(|byte| [byte, 0]).collect(),
        Damage::Padded(length) => body.resize(body.len() + length, b' '),
    }
    body
}
