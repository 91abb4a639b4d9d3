//! Definition of a saga: a table of steps.
//!
//! A row names the participant, the request, the compensation and the outputs to keep from the reply. Retries, order,
//! compensation and durability are the engine's.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::SagaId;

/// The longest output of a step, in bytes: several times the longest id of our own participants.
const MAX_OUTPUT_BYTES: usize = 1_000;

/// The input of a saga: a JSON value that only its definition reads. It never changes during the saga.
pub type Input = Arc<Value>;

/// Outputs of the steps so far, by name (`product_id`, `payment_id` …).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outputs(BTreeMap<String, String>);

impl Outputs {
    /// Makes outputs with one value.
    pub fn one(name: &str, value: impl Into<String>) -> Outputs {
        Outputs(BTreeMap::from([(name.to_owned(), value.into())]))
    }

    /// Returns the output of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Tells whether the saga log can store them: at most 1,000 bytes a value, to keep rows small, and no NUL, which
    /// PostgreSQL refuses.
    pub fn fit_the_log(&self) -> bool {
        self.0.values().all(|value| value.len() <= MAX_OUTPUT_BYTES && !value.contains('\0'))
    }

    /// Adds the outputs of another step; they replace outputs of the same name.
    pub fn merge(&mut self, other: Outputs) {
        self.0.extend(other.0);
    }
}

/// The data from which a step makes its request.
#[derive(Clone, Debug)]
pub struct Context {
    /// The saga's id, the key of every call.
    pub saga_id: SagaId,
    /// The input of the saga.
    pub input: Input,
    /// Outputs of earlier steps.
    pub outputs: Outputs,
}

/// The HTTP method of a request to a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `DELETE`.
    Delete,
}

/// A request to a participant, without its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// The JSON body, if there is one.
    pub body: Option<String>,
}

/// Makes a request from the saga's context.
pub type MakeRequest = fn(&Context) -> Request;

/// Parses the outputs to keep from the body of a 200. An error means that the body is not the participant's answer to
/// this saga.
pub type ReadReply = fn(&Context, &[u8]) -> Result<Outputs, serde_json::Error>;

/// One operation of a participant.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name at the participant, as in `[faults]`: `charge`, `refund` …
    pub name: &'static str,
    /// Makes the request.
    pub request: MakeRequest,
    /// Parses the reply.
    pub read: ReadReply,
}

/// Returns participant and operation: `payments.refund`.
pub fn full_name(participant: &str, operation: &str) -> String {
    format!("{participant}.{operation}")
}

/// Effect of a step on its participant, and how it is undone.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// A read: there is nothing to undo.
    ReadOnly {
        /// The `type` of the problem document that means "refused"; any other error is unknown, since the participant
        /// records no decision about a read.
        refusal: &'static str,
        /// Refuses the input without a call: returns the `detail` that the participant would give.
        refuse: fn(&Context) -> Option<String>,
    },
    /// Undone by this operation, which must be idempotent and safe at any time, also before the action arrives.
    Compensable(Operation),
    /// Never undone, by a business rule.
    Uncompensated,
}

/// One row of a definition.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Name of the step: `charge`, `decrease` …; unique within a definition.
    pub name: &'static str,
    /// Name of the participant.
    pub participant: &'static str,
    /// Effect of the action, and how it is undone.
    pub effect: Effect,
    /// The operation that performs the step.
    pub action: Operation,
}

impl Step {
    /// Returns the operation that undoes the step, if there is one.
    pub fn compensation(&self) -> Option<Operation> {
        match self.effect {
            Effect::Compensable(operation) => Some(operation),
            Effect::ReadOnly { .. } | Effect::Uncompensated => None,
        }
    }

    /// Tells whether the step is a read.
    pub fn is_read_only(&self) -> bool {
        matches!(self.effect, Effect::ReadOnly { .. })
    }
}

/// A table of steps, run from top to bottom and undone from bottom to top.
#[derive(Debug)]
pub struct Definition {
    /// Name of the definition, stored with each saga: a node claims only sagas whose definition it knows.
    pub name: &'static str,
    /// Version, raised when the meaning of the rows changes.
    pub version: i32,
    /// The steps, in the order of execution.
    pub steps: Vec<Step>,
}

/// Why a table of steps is not a definition.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DefinitionError {
    /// The table has no steps.
    #[error("definition {0} has no steps")]
    Empty(&'static str),
    /// Participants key their journals by operation, so a step may occur only once.
    #[error("step {step} occurs twice in definition {definition}")]
    StepTwice {
        /// The definition.
        definition: &'static str,
        /// The step.
        step: &'static str,
    },
    /// `begin` holds the outputs of the reads and is written before the first effect, so reads come first.
    #[error("step {step} of definition {definition} reads after a step with an effect")]
    ReadAfterEffect {
        /// The definition.
        definition: &'static str,
        /// The step.
        step: &'static str,
    },
}

impl Definition {
    /// Checks a table of steps and makes it a definition.
    ///
    /// # Errors
    /// [`DefinitionError`] says which rule of the engine the table breaks.
    pub fn new(name: &'static str, version: i32, steps: Vec<Step>) -> Result<Definition, DefinitionError> {
        if steps.is_empty() {
            return Err(DefinitionError::Empty(name));
        }
        for (index, step) in steps.iter().enumerate() {
            if steps[..index].iter().any(|earlier| earlier.name == step.name) {
                return Err(DefinitionError::StepTwice { definition: name, step: step.name });
            }
            if step.is_read_only() && steps[..index].iter().any(|earlier| !earlier.is_read_only()) {
                return Err(DefinitionError::ReadAfterEffect { definition: name, step: step.name });
            }
        }
        Ok(Definition { name, version, steps })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A read, a step with a compensation, a step without one, and another step with a compensation.
    pub(crate) fn four_steps() -> Definition {
        let undo = Operation { name: "undo", request, read: |_, _| Ok(Outputs::default()) };
        let steps = vec![
            step("choose", READ),
            step("charge", Effect::Compensable(undo)),
            step("decrease", Effect::Uncompensated),
            step("create", Effect::Compensable(undo)),
        ];
        Definition::new("four-steps", 1, steps).unwrap()
    }

    fn request(_: &Context) -> Request {
        Request { method: Method::Get, path: "/".into(), body: None }
    }

    fn step(name: &'static str, effect: Effect) -> Step {
        let action = Operation { name, request, read: |_, _| Ok(Outputs::default()) };
        Step { name, participant: "p", effect, action }
    }

    const READ: Effect = Effect::ReadOnly { refusal: "none", refuse: |_| None };

    #[test]
    fn a_table_that_breaks_a_rule_is_refused() {
        let check = |steps: Vec<Step>| Definition::new("d", 1, steps).map(|_| ()).unwrap_err();
        assert_eq!(check(vec![]), DefinitionError::Empty("d"));
        assert_eq!(
            check(vec![step("a", READ), step("a", READ)]),
            DefinitionError::StepTwice { definition: "d", step: "a" }
        );
        assert_eq!(
            check(vec![step("a", Effect::Uncompensated), step("b", READ)]),
            DefinitionError::ReadAfterEffect { definition: "d", step: "b" }
        );
    }

    #[test]
    fn outputs_of_later_steps_join_those_of_earlier_ones() {
        let mut outputs = Outputs::one("product_id", "7");
        outputs.merge(Outputs::one("payment_id", "42"));
        assert_eq!(serde_json::to_string(&outputs).unwrap(), r#"{"payment_id":"42","product_id":"7"}"#);
        assert_eq!(outputs.get("product_id"), Some("7"));
        assert_eq!(outputs.get("purchase_id"), None);
    }

    #[test]
    fn outputs_that_no_row_could_hold_are_known() {
        for (value, fit) in [("42".to_owned(), true), ("4\u{0}2".to_owned(), false), ("4".repeat(1_001), false)] {
            assert_eq!(Outputs::one("payment_id", value).fit_the_log(), fit);
        }
    }
}
