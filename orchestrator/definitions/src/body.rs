//! JSON with placeholders: bodies of requests and expected values of replies.
//!
//! Parts without placeholders are written once, when the definition is read. Members are written in the order of their
//! names, so that a repeated request has the same bytes wherever it is made.

use serde_json::{Map, Value};

use crate::canonical;
use crate::limits::MAX_BODY_BYTES;
use crate::scope::{BODY, Scope, Unusable, check_length};
use crate::template::{Part, Source, sources};

/// A JSON value with placeholders in its strings.
#[derive(Debug)]
pub(crate) enum Body {
    /// Without placeholders, and its text.
    Fixed(Value, String),
    /// A string that is one placeholder takes the value with its JSON type.
    Value(Source),
    /// A longer string.
    Text(Vec<Part>),
    /// A list; absent values are left out.
    List(Vec<Body>),
    /// An object; members with absent values are left out.
    Object(Vec<Member>),
}

#[derive(Debug)]
pub(crate) struct Member {
    name: String,
    /// Its name as JSON, and a colon.
    head: String,
    value: Body,
}

impl Body {
    pub(crate) fn fixed(value: Value) -> Body {
        let text = value.to_string();
        Body::Fixed(value, text)
    }

    /// Makes a string of its parts.
    pub(crate) fn string(mut parts: Vec<Part>) -> Body {
        match (parts.pop(), parts.is_empty()) {
            (None, _) => Body::fixed(Value::String(String::new())),
            (Some(Part::Text(text)), true) => Body::fixed(Value::String(text)),
            (Some(Part::Value(source)), true) => Body::Value(source),
            (Some(last), false) => {
                parts.push(last);
                Body::Text(parts)
            }
        }
    }

    pub(crate) fn list(items: Vec<Body>) -> Body {
        match items.iter().map(|item| item.as_fixed().cloned()).collect::<Option<Vec<_>>>() {
            Some(values) => Body::fixed(Value::Array(values)),
            None => Body::List(items),
        }
    }

    /// Makes an object; its members are written in the order of their names.
    pub(crate) fn object(mut members: Vec<(String, Body)>) -> Body {
        members.sort_by(|a, b| a.0.cmp(&b.0));
        if members.iter().all(|(_, body)| body.as_fixed().is_some()) {
            let member = |(name, body): &(String, Body)| Some((name.clone(), body.as_fixed()?.clone()));
            return Body::fixed(Value::Object(members.iter().filter_map(member).collect()));
        }
        let member = |(name, value): (String, Body)| {
            let head = format!("{}:", Value::String(name.clone()));
            Member { name, head, value }
        };
        Body::Object(members.into_iter().map(member).collect())
    }

    fn as_fixed(&self) -> Option<&Value> {
        match self {
            Body::Fixed(value, _) => Some(value),
            Body::Value(_) | Body::Text(_) | Body::List(_) | Body::Object(_) => None,
        }
    }

    /// Returns the placeholders.
    pub(crate) fn sources(&self) -> Vec<&Source> {
        match self {
            Body::Fixed(..) => Vec::new(),
            Body::Value(source) => vec![source],
            Body::Text(parts) => sources(parts).collect(),
            Body::List(items) => items.iter().flat_map(Body::sources).collect(),
            Body::Object(members) => members.iter().flat_map(|member| member.value.sources()).collect(),
        }
    }

    /// Returns the text; `None` if the whole is one absent field.
    pub(crate) fn fill(&self, scope: Scope<'_>) -> Result<Option<String>, Unusable> {
        let mut out = String::with_capacity(256);
        Ok(self.write(scope, &mut out)?.then_some(out))
    }

    /// Appends the text; returns false, and appends nothing, if it is absent.
    fn write(&self, scope: Scope<'_>, out: &mut String) -> Result<bool, Unusable> {
        match self {
            Body::Fixed(_, text) => out.push_str(text),
            Body::Value(source) => match scope.value(source)? {
                Some(value) => {
                    canonical::push(&value, out);
                    check_length(BODY, out.len(), MAX_BODY_BYTES)?;
                }
                None => return Ok(false),
            },
            Body::Text(parts) => {
                let mut text = String::with_capacity(64);
                scope.fill(parts, &mut text)?;
                canonical::push_string(&text, out);
                check_length(BODY, out.len(), MAX_BODY_BYTES)?;
            }
            Body::List(items) => {
                out.push('[');
                let mut is_first = true;
                for item in items {
                    let start = out.len();
                    if !is_first {
                        out.push(',');
                    }
                    if item.write(scope, out)? { is_first = false } else { out.truncate(start) }
                }
                out.push(']');
            }
            Body::Object(members) => {
                out.push('{');
                let mut is_first = true;
                for Member { head, value, .. } in members {
                    let start = out.len();
                    if !is_first {
                        out.push(',');
                    }
                    out.push_str(head);
                    if value.write(scope, out)? { is_first = false } else { out.truncate(start) }
                }
                out.push('}');
            }
        }
        Ok(true)
    }

    /// Returns the value; `None` if it is absent.
    pub(crate) fn value(&self, scope: Scope<'_>) -> Result<Option<Value>, Unusable> {
        Ok(Some(match self {
            Body::Fixed(value, _) => value.clone(),
            Body::Value(source) => return Ok(scope.value(source)?.map(|value| value.into_owned())),
            Body::Text(parts) => {
                let mut text = String::new();
                scope.fill(parts, &mut text)?;
                Value::String(text)
            }
            Body::List(items) => {
                let values = items.iter().map(|item| item.value(scope)).collect::<Result<Vec<_>, _>>()?;
                Value::Array(values.into_iter().flatten().collect())
            }
            Body::Object(members) => {
                let mut object = Map::new();
                for Member { name, value, .. } in members {
                    if let Some(value) = value.value(scope)? {
                        object.insert(name.clone(), value);
                    }
                }
                Value::Object(object)
            }
        }))
    }

    /// Reports what is wrong with the fields of an input, before any output is known.
    pub(crate) fn check_input(&self, scope: Scope<'_>, report: &mut dyn FnMut(Unusable)) {
        match self {
            Body::Fixed(..) | Body::Value(_) => {}
            Body::Text(parts) => scope.check_texts(parts, report),
            Body::List(items) => items.iter().for_each(|item| item.check_input(scope, report)),
            Body::Object(members) => members.iter().for_each(|member| member.value.check_input(scope, report)),
        }
    }
}
