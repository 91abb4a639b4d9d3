//! JSON with the pointer of every value. Names that occur twice are kept, so that they can be reported.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::{Data, Member, Node};
use crate::exact;
use crate::pointer;
use crate::problem::{Place, Problems};

pub(super) fn read(text: &str, problems: &mut Problems) -> Option<Node> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let node = ReadAt(String::new()).deserialize(&mut reader).and_then(|node| reader.end().map(|()| node));
    let inexact = exact::inexact_numbers(text);
    for number in &inexact {
        problems.error(&Place::Pointer(number.pointer.clone()), number.to_string());
    }
    match node {
        Ok(node) => Some(node),
        // Numbers beyond 64-bit floats are reported already.
        Err(_) if !inexact.is_empty() => None,
        Err(error) => {
            problems.error(&Place::Line(error.line()), format!("this is not JSON: {error}"));
            None
        }
    }
}

pub(super) fn of_value(value: &Value, at: String) -> Node {
    let data = match value {
        Value::Null => Data::Null,
        Value::Bool(flag) => Data::Bool(*flag),
        Value::Number(number) => Data::Number(number.clone()),
        Value::String(text) => Data::Text(text.clone()),
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| of_value(item, format!("{at}/{index}")));
            Data::List(items.collect())
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let at = pointer::join(&at, name);
                Member { name: name.clone(), node: of_value(value, at) }
            });
            Data::Table(members.collect())
        }
    };
    Node { place: Place::Pointer(at), data }
}

/// Reads the value at this pointer.
struct ReadAt(String);

impl<'de> DeserializeSeed<'de> for ReadAt {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ReadAt {
    fn node(self, data: Data) -> Node {
        Node { place: Place::Pointer(self.0), data }
    }
}

impl<'de> Visitor<'de> for ReadAt {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(self.node(Data::Null))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Node, E> {
        Ok(self.node(Data::Bool(flag)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(self.node(Data::Number(number.into())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(self.node(Data::Number(number.into())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("a number is not finite"))?;
        Ok(self.node(Data::Number(number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(self.node(Data::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(ReadAt(format!("{}/{}", self.0, list.len())))? {
            list.push(item);
        }
        Ok(self.node(Data::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut table = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            let node = members.next_value_seed(ReadAt(pointer::join(&self.0, &name)))?;
            table.push(Member { name, node });
        }
        Ok(self.node(Data::Table(table)))
    }
}
