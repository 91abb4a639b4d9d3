//! The values of a saga, at the placeholders of one step.

use std::borrow::Cow;
use std::fmt;

use saga_engine::SagaId;
use saga_engine::definition::{Context, Outputs};
use serde_json::Value;

use crate::template::{Part, Source, sources};

/// The step whose request is made, and the saga's values.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) step: &'a str,
    pub(crate) saga_id: SagaId,
    pub(crate) attempt: u32,
    pub(crate) input: &'a Value,
    pub(crate) outputs: &'a Outputs,
}

/// A value that cannot stand where its placeholder stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) source: Source,
    pub(crate) reason: Cow<'static, str>,
}

impl Unusable {
    pub(crate) fn new(source: &Source, reason: impl Into<Cow<'static, str>>) -> Unusable {
        Unusable { source: source.clone(), reason: reason.into() }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.source, self.reason)
    }
}

impl<'a> Scope<'a> {
    pub(crate) fn new(step: &'a str, context: &'a Context) -> Scope<'a> {
        let Context { saga_id, attempt, input, outputs, .. } = context;
        Scope { step, saga_id: *saga_id, attempt: *attempt, input, outputs }
    }

    /// Returns the value with its JSON type; `None` if an optional field of the input is absent.
    pub(crate) fn value(self, source: &Source) -> Result<Option<Cow<'a, Value>>, Unusable> {
        Ok(match source {
            Source::SagaId => Some(Cow::Owned(Value::String(self.saga_id.to_string()))),
            Source::Attempt => Some(Cow::Owned(self.attempt.into())),
            Source::StepKey => Some(Cow::Owned(Value::String(self.step_key()))),
            Source::Input(path) => path.find(self.input).map(Cow::Borrowed),
            Source::Output(output) => match self.outputs.get(output.key()) {
                Some(value) => Some(Cow::Borrowed(value)),
                None => return Err(Unusable::new(source, "is not there")),
            },
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
            Source::Output(output) => match self.outputs.get(output.key()) {
                Some(value) => scalar(value).map_err(|reason| Unusable::new(source, reason)),
                None => Err(Unusable::new(source, "is not there")),
            },
        }
    }

    /// Appends a text with its placeholders filled.
    pub(crate) fn fill(self, parts: &[Part], out: &mut String) -> Result<(), Unusable> {
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(source) => out.push_str(&self.text(source)?),
            }
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
