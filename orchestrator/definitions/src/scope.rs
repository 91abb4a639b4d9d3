//! The values of a saga, at the placeholders of one step.

use std::borrow::Cow;
use std::fmt;

use saga_engine::SagaId;
use saga_engine::definition::{Context, Outputs};
use serde_json::Value;

use crate::limits::MAX_BODY_BYTES;
use crate::template::{OutputName, Part, Source, sources};

/// The step whose request is made, and the saga's values.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) step: &'a str,
    pub(crate) saga_id: SagaId,
    pub(crate) attempt: u32,
    pub(crate) input: &'a Value,
    /// `None` before the saga starts: an output then has a short text for its value.
    pub(crate) outputs: Option<&'a Outputs>,
}

/// The name of a body in errors.
pub(crate) const BODY: &str = "body";

/// The value of an output before the saga starts.
const NOT_KNOWN_YET: &str = "x";

/// Why no request can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// A value cannot stand where its placeholder stands.
    Value { source: Source, reason: Cow<'static, str> },
    /// A part of the request is too long with the values of all its placeholders.
    TooLong { part: &'static str, limit: usize },
}

impl Unusable {
    pub(crate) fn new(source: &Source, reason: impl Into<Cow<'static, str>>) -> Unusable {
        Unusable::Value { source: source.clone(), reason: reason.into() }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Value { source, reason } => write!(f, "{source} {reason}"),
            Unusable::TooLong { part, limit } => {
                write!(f, "these values make the {part} longer than {limit} bytes; shorten them")
            }
        }
    }
}

/// Checks the length of a part of a request, while it is made.
pub(crate) fn check_length(part: &'static str, length: usize, limit: usize) -> Result<(), Unusable> {
    if length > limit { Err(Unusable::TooLong { part, limit }) } else { Ok(()) }
}

impl<'a> Scope<'a> {
    pub(crate) fn new(step: &'a str, context: &'a Context) -> Scope<'a> {
        let Context { saga_id, attempt, input, outputs, .. } = context;
        Scope { step, saga_id: *saga_id, attempt: *attempt, input, outputs: Some(outputs) }
    }

    /// Returns the value with its JSON type; `None` if an optional field of the input is absent.
    pub(crate) fn value(self, source: &Source) -> Result<Option<Cow<'a, Value>>, Unusable> {
        Ok(match source {
            Source::SagaId => Some(Cow::Owned(Value::String(self.saga_id.to_string()))),
            Source::Attempt => Some(Cow::Owned(self.attempt.into())),
            Source::StepKey => Some(Cow::Owned(Value::String(self.step_key()))),
            Source::Input(path) => path.find(self.input).map(Cow::Borrowed),
            Source::Output(output) => Some(self.output(source, output)?),
        })
    }

    /// Returns the value as text, for a path, a header or a longer string.
    pub(crate) fn text(self, source: &Source) -> Result<Cow<'a, str>, Unusable> {
        match source {
            Source::SagaId => Ok(Cow::Owned(self.saga_id.to_string())),
            Source::Attempt => Ok(Cow::Owned(self.attempt.to_string())),
            Source::StepKey => Ok(Cow::Owned(self.step_key())),
            Source::Input(path) => match path.find(self.input) {
                Some(value) => scalar(value).map_err(|reason| Unusable::new(source, reason)),
                None => Err(Unusable::new(source, ABSENT)),
            },
            Source::Output(output) => match self.output(source, output)? {
                Cow::Borrowed(value) => scalar(value).map_err(|reason| Unusable::new(source, reason)),
                Cow::Owned(_) => Ok(Cow::Borrowed(NOT_KNOWN_YET)),
            },
        }
    }

    /// Returns the value of an output; an owned one is not known yet.
    fn output(self, source: &Source, output: &OutputName) -> Result<Cow<'a, Value>, Unusable> {
        match self.outputs {
            None => Ok(Cow::Owned(Value::String(NOT_KNOWN_YET.to_owned()))),
            Some(outputs) => {
                outputs.get(output.key()).map(Cow::Borrowed).ok_or_else(|| Unusable::new(source, "is not there"))
            }
        }
    }

    /// Appends a text of a body with its placeholders filled.
    pub(crate) fn fill(self, parts: &[Part], out: &mut String) -> Result<(), Unusable> {
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(source) => out.push_str(&self.text(source)?),
            }
            check_length(BODY, out.len(), MAX_BODY_BYTES)?;
        }
        Ok(())
    }

    /// Reports the fields of the input that cannot be part of a text.
    pub(crate) fn check_texts(self, parts: &[Part], report: &mut dyn FnMut(Unusable)) {
        sources(parts).for_each(|source| self.check_text(source, report));
    }

    /// As [`Scope::check_texts`], for one placeholder.
    pub(crate) fn check_text(self, source: &Source, report: &mut dyn FnMut(Unusable)) {
        if let Source::Input(_) = source
            && let Err(unusable) = self.text(source)
        {
            report(unusable);
        }
    }

    fn step_key(self) -> String {
        format!("{}:{}", self.saga_id, self.step)
    }
}

/// Why an optional field cannot be part of a text.
const ABSENT: &str = "is absent, but the request needs it: it is part of a path or of a text";

/// Returns a value as text.
fn scalar(value: &Value) -> Result<Cow<'_, str>, &'static str> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(number) => Ok(Cow::Owned(number.to_string())),
        Value::Bool(true) => Ok(Cow::Borrowed("true")),
        Value::Bool(false) => Ok(Cow::Borrowed("false")),
        Value::Null => Err("is null, which cannot be part of a path or of a text"),
        Value::Array(_) => Err("is a list, which cannot be part of a path or of a text"),
        Value::Object(_) => Err("is an object, which cannot be part of a path or of a text"),
    }
}
