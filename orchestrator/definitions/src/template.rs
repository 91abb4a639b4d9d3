//! Texts with placeholders, split once and filled often.
//!
//! A placeholder is a path and nothing else: no conditions, no loops, no functions. `{{` and `}}` stand for braces.

use std::fmt;

use serde_json::Value;
use smol_str::{SmolStr, format_smolstr};

use crate::pointer;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it is.
    Text(String),
    /// A value of the saga.
    Value(Source),
}

/// The value that a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `{saga.id}`
    SagaId,
    /// `{saga.attempt}`
    Attempt,
    /// `{saga.step_key}`
    StepKey,
    /// `{input.a.b}`
    Input(InputPath),
    /// `{outputs.step.name}`
    Output(OutputName),
}

/// A path into the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputPath {
    pub(crate) keys: Vec<String>,
}

/// An output of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputName {
    pub(crate) step: SmolStr,
    pub(crate) name: SmolStr,
    /// Its name among the outputs of the saga: `step.name`.
    key: SmolStr,
}

impl OutputName {
    pub(crate) fn new(step: &str, name: &str) -> OutputName {
        OutputName { step: step.into(), name: name.into(), key: format_smolstr!("{step}.{name}") }
    }

    /// Returns its name among the outputs of the saga: `step.name`.
    pub(crate) fn key(&self) -> &SmolStr {
        &self.key
    }
}

impl InputPath {
    pub(crate) fn pointer(&self) -> String {
        self.keys.iter().fold(String::new(), |parent, key| pointer::join(&parent, key))
    }

    pub(crate) fn find<'a>(&self, input: &'a Value) -> Option<&'a Value> {
        self.keys.iter().try_fold(input, |value, key| value.get(key.as_str()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::SagaId => f.write_str("{saga.id}"),
            Source::Attempt => f.write_str("{saga.attempt}"),
            Source::StepKey => f.write_str("{saga.step_key}"),
            Source::Input(path) => write!(f, "{{input.{}}}", path.keys.join(".")),
            Source::Output(output) => write!(f, "{{outputs.{}}}", output.key),
        }
    }
}

/// Splits a text at its placeholders. The errors say what is wrong with each.
pub(crate) fn parse(text: &str) -> Result<Vec<Part>, Vec<String>> {
    let (mut parts, mut errors) = (Vec::new(), Vec::new());
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        plain.push_str(before);
        if let Some(after) = brace.strip_prefix("{{") {
            plain.push('{');
            rest = after;
        } else if let Some(after) = brace.strip_prefix("}}") {
            plain.push('}');
            rest = after;
        } else if let Some((path, after)) = brace.strip_prefix('{').and_then(|brace| brace.split_once('}')) {
            match source(path) {
                Ok(source) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Value(source));
                }
                Err(error) => errors.push(error),
            }
            rest = after;
        } else {
            errors.push("a brace belongs to no placeholder: write {{ or }} for a brace in the text".to_owned());
            rest = &brace[1..];
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    if errors.is_empty() { Ok(parts) } else { Err(errors) }
}

fn source(path: &str) -> Result<Source, String> {
    let keys: Vec<&str> = path.split('.').collect();
    match keys.as_slice() {
        ["saga", "id"] => Ok(Source::SagaId),
        ["saga", "attempt"] => Ok(Source::Attempt),
        ["saga", "step_key"] => Ok(Source::StepKey),
        ["input", keys @ ..] if !keys.is_empty() && keys.iter().all(|key| !key.is_empty()) => {
            Ok(Source::Input(InputPath { keys: keys.iter().map(|key| (*key).to_owned()).collect() }))
        }
        ["outputs", step, name] if !step.is_empty() && !name.is_empty() => {
            Ok(Source::Output(OutputName::new(step, name)))
        }
        _ => Err(format!(
            "{{{path}}} is not a placeholder: write {{saga.id}}, {{saga.attempt}}, {{saga.step_key}}, {{input.field}} or \
             {{outputs.step.name}}, and {{{{ or }}}} for a brace in the text"
        )),
    }
}

/// Returns the placeholders of a text.
pub(crate) fn sources(parts: &[Part]) -> impl Iterator<Item = &Source> {
    parts.iter().filter_map(|part| match part {
        Part::Value(source) => Some(source),
        Part::Text(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    fn input(keys: &[&str]) -> Part {
        Part::Value(Source::Input(InputPath { keys: keys.iter().map(|key| (*key).to_owned()).collect() }))
    }

    #[test]
    fn a_text_is_split_at_its_placeholders() {
        for (given, expected) in [
            ("", vec![]),
            ("plain", vec![text("plain")]),
            ("{saga.id}", vec![Part::Value(Source::SagaId)]),
            ("{saga.attempt}{saga.step_key}", vec![Part::Value(Source::Attempt), Part::Value(Source::StepKey)]),
            ("a {input.b.c} d", vec![text("a "), input(&["b", "c"]), text(" d")]),
            ("{outputs.flight.booking}", vec![Part::Value(Source::Output(OutputName::new("flight", "booking")))]),
            ("{{saga.id}}", vec![text("{saga.id}")]),
            ("{{{input.a}}}", vec![text("{"), input(&["a"]), text("}")]),
        ] {
            assert_eq!(parse(given), Ok(expected), "{given}");
        }
    }

    #[test]
    fn every_bad_placeholder_is_named() {
        for (given, count) in [
            ("{", 1),
            ("}", 1),
            ("{saga.id", 1),
            ("{saga.name} {input} {input.} {input.a..b} {outputs.a} {outputs.a.b.c} {} {Saga.id} { saga.id }", 9),
        ] {
            assert_eq!(parse(given).unwrap_err().len(), count, "{given}");
        }
    }
}
