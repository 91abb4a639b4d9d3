//! Replies: the expectations about them, and the outputs kept from them.

use saga_engine::definition::{Outputs, ReplyError};
use serde_json::Value;
use smol_str::SmolStr;

use crate::body::Body;
use crate::exact;
use crate::pointer::Pointer;
use crate::scope::Scope;
use crate::template::Source;

/// The expectations about a reply, and the outputs kept from it.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) expect: Vec<(Pointer, Body)>,
    /// Names among the outputs of the saga, and where they stand.
    pub(crate) outputs: Vec<(SmolStr, Pointer)>,
}

impl Reply {
    /// Returns the placeholders.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.expect.iter().flat_map(|(_, body)| body.sources())
    }

    /// Parses a reply. Without expectations and outputs its body does not matter.
    pub(crate) fn read(&self, scope: Scope<'_>, body: &[u8]) -> Result<Outputs, ReplyError> {
        if self.expect.is_empty() && self.outputs.is_empty() {
            return Ok(Outputs::default());
        }
        let text = str::from_utf8(body).map_err(|error| ReplyError::NotTheAnswer(error.to_string()))?;
        let document: Value = serde_json::from_str(text)?;
        // Few replies have a number that would change, and only these are taken apart.
        let suspect = (!exact::is_exact(text)).then_some(text);
        let inexact_at = |pointer: &Pointer| suspect.and_then(|text| inexact_number(text, pointer));
        for (pointer, expected) in &self.expect {
            let expected = expected.value(scope).map_err(|unusable| ReplyError::NotTheAnswer(unusable.to_string()))?;
            let Some(expected) = expected else { continue };
            let is_expected = pointer.find(&document).is_some_and(|actual| equal(actual, &expected));
            if !is_expected || inexact_at(pointer).is_some() {
                let text = format!("{} is not what the definition expects", named(pointer));
                return Err(ReplyError::NotTheAnswer(text));
            }
        }
        let output = |(name, pointer): &(SmolStr, Pointer)| match pointer.find(&document) {
            Some(value) => match inexact_at(pointer) {
                Some(number) => Err(ReplyError::OutputInexact(number)),
                None => Ok((name.clone(), value.clone())),
            },
            None => Err(ReplyError::OutputMissing(named(pointer))),
        };
        self.outputs.iter().map(output).collect()
    }
}

/// Names a number that would change, in the value at a pointer.
fn inexact_number(reply: &str, pointer: &Pointer) -> Option<String> {
    let numbers = exact::inexact_numbers(pointer.find_text(reply)?);
    match format!("{}{}", pointer.as_str(), numbers.first()?.pointer) {
        whole if whole.is_empty() => Some("the whole answer".to_owned()),
        part => Some(format!("the output {part}")),
    }
}

fn named(pointer: &Pointer) -> String {
    match pointer.as_str() {
        "" => "the whole answer".to_owned(),
        text => text.to_owned(),
    }
}

/// Compares two values as JSON does: 1 and 1.0 are one number.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => exact::are_equal(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}
