//! Problems of a definition: all of them at once, each with its place and a sentence that says what to do.

use std::fmt;

use foundation::names::closest;
use serde::Serialize;
use thiserror::Error;

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Line of a file, from 1.
    Line(usize),
    /// JSON pointer into a body; empty means the whole body.
    Pointer(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => line.fmt(f),
            Place::Pointer(pointer) => pointer.fmt(f),
        }
    }
}

/// Whether a definition with this problem can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but probably does not do what its author expects.
    Warning,
}

/// One problem of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the definition can be used.
    pub severity: Severity,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// The problem, and its remedy.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        match &self.place {
            Place::Pointer(pointer) if pointer.is_empty() => write!(f, "{label}{}", self.text),
            place => write!(f, "{place}: {label}{}", self.text),
        }
    }
}

/// The problems of a definition that cannot be used, warnings included, in the order of their places.
#[derive(Clone, Debug, Error)]
#[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Rejected(pub Vec<Problem>);

/// Collects problems while a definition is read.
#[derive(Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn error(&mut self, place: &Place, text: impl Into<String>) {
        self.0.push(Problem { severity: Severity::Error, place: place.clone(), text: text.into() });
    }

    pub(crate) fn warning(&mut self, place: &Place, text: impl Into<String>) {
        self.0.push(Problem { severity: Severity::Warning, place: place.clone(), text: text.into() });
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Returns them by line; problems of a body keep the order in which they were found.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| match problem.place {
            Place::Line(line) => line,
            Place::Pointer(_) => 0,
        });
        self.0
    }
}

/// Returns a phrase that names the closest known name, to follow an unknown one; empty if none is close.
pub(crate) fn did_you_mean<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(unknown, known).map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

/// Joins names for a message; "none" if there are none.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
