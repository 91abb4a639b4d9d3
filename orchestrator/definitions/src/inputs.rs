//! Errors of inputs.

use std::fmt;

use serde::Serialize;

/// Why an input does not fit its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputError {
    /// JSON pointer into the input; empty means the whole input.
    pub pointer: String,
    /// What is wrong with the value there.
    pub detail: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.detail),
            pointer => write!(f, "{pointer}: {}", self.detail),
        }
    }
}
