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

/// The most problems that are listed; the others are counted.
const MAX_LISTED: usize = 100;

/// Collects problems while a definition is read.
#[derive(Default)]
pub(crate) struct Problems {
    listed: Vec<Problem>,
    left_out: usize,
    has_errors: bool,
}

impl Problems {
    pub(crate) fn error(&mut self, place: &Place, text: impl Into<String>) {
        self.has_errors = true;
        self.add(Severity::Error, place, text);
    }

    pub(crate) fn warning(&mut self, place: &Place, text: impl Into<String>) {
        self.add(Severity::Warning, place, text);
    }

    fn add(&mut self, severity: Severity, place: &Place, text: impl Into<String>) {
        if self.listed.len() < MAX_LISTED {
            self.listed.push(Problem { severity, place: place.clone(), text: text.into() });
        } else {
            self.left_out += 1;
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Returns them by line; problems of a body keep the order in which they were found.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.listed.sort_by_key(|problem| match problem.place {
            Place::Line(line) => line,
            Place::Pointer(_) => 0,
        });
        if let (Some(last), 1..) = (self.listed.last(), self.left_out) {
            let text = format!("{} more problems are not listed", self.left_out);
            let severity = if self.has_errors { Severity::Error } else { Severity::Warning };
            self.listed.push(Problem { severity, place: last.place.clone(), text });
        }
        self.listed
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
