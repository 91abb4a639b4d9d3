//! Definition of a saga: a table of steps.
//!
//! A row says whom to ask, what to ask, how to undo it, and what to keep of the answer. It holds no behaviour beyond that:
//! retries, order, compensation and durability are the engine's.

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

/// What the steps gave back so far, by name (`product_id`, `payment_id` …).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outputs(BTreeMap<String, String>);

impl Outputs {
    /// Makes outputs of one value.
    pub fn one(name: &str, value: impl Into<String>) -> Outputs {
        Outputs(BTreeMap::from([(name.to_owned(), value.into())]))
    }

    /// Returns the value of that name, if a step gave it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Tells whether the saga log can hold them: PostgreSQL takes no NUL, and a row is no place for documents.
    pub fn fit_the_log(&self) -> bool {
        self.0.values().all(|value| value.len() <= MAX_OUTPUT_BYTES && !value.contains('\0'))
    }

    /// Takes over everything that another step gave.
    pub fn merge(&mut self, other: Outputs) {
        self.0.extend(other.0);
    }
}

/// What a row can look at when it makes a request.
#[derive(Clone, Debug)]
pub struct Context {
    /// The saga, whose id is the key of every call.
    pub saga_id: SagaId,
    /// The input of the saga.
    pub input: Input,
    /// What earlier steps gave.
    pub outputs: Outputs,
}

/// The HTTP method of a request to a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Does.
    Post,
    /// Takes back.
    Delete,
}

/// A request to a participant: everything that the wire needs but the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// The JSON body, if there is one.
    pub body: Option<String>,
}

/// Makes a request from what the saga knows.
pub type MakeRequest = fn(&Context) -> Request;

/// Reads what to keep from the body of a 200; an error means that it is not the participant's answer to this saga.
pub type ReadReply = fn(&Context, &[u8]) -> Result<Outputs, serde_json::Error>;

/// One operation of a participant, as a saga asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name at the participant, as in `[faults]`: `charge`, `refund` …
    pub name: &'static str,
    /// The request.
    pub request: MakeRequest,
    /// Reads the answer.
    pub read: ReadReply,
}

/// Returns the name of an operation with that of its participant: `payments.refund`.
pub fn full_name(participant: &str, operation: &str) -> String {
    format!("{participant}.{operation}")
}

/// What a step does to the world, and how that is undone.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// Nothing to undo. `refusal` is the problem type that alone means "no" (a read journals nothing).
    ReadOnly {
        /// The `type` of the problem document that refuses.
        refusal: &'static str,
        /// Says why an order is refused that the participant need not be asked about, in the words of its `detail`.
        refuse: fn(&Context) -> Option<String>,
    },
    /// Undone by this operation, which must be safe to ask for at any time, any number of times.
    Compensable(Operation),
    /// Stays done, by a rule of the business.
    Uncompensated,
}

/// One row of a definition.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// How people call it: `charge`, `decrease` …; unique within a definition.
    pub name: &'static str,
    /// The service that does it.
    pub participant: &'static str,
    /// What it does to the world.
    pub effect: Effect,
    /// The operation that does it.
    pub action: Operation,
}

impl Step {
    /// Returns the operation that undoes it, if it can be undone.
    pub fn compensation(&self) -> Option<Operation> {
        match self.effect {
            Effect::Compensable(operation) => Some(operation),
            Effect::ReadOnly { .. } | Effect::Uncompensated => None,
        }
    }

    /// Tells whether it leaves the world as it was.
    pub fn is_read_only(&self) -> bool {
        matches!(self.effect, Effect::ReadOnly { .. })
    }
}

/// A table of steps, run from top to bottom and undone from bottom to top.
#[derive(Debug)]
pub struct Definition {
    /// Stored with each saga: a node claims only definitions that it knows.
    pub name: &'static str,
    /// Raised when the meaning of the rows changes.
    pub version: i32,
    /// The rows.
    pub steps: Vec<Step>,
}

/// Why a table is no definition.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DefinitionError {
    /// Nothing to do.
    #[error("definition {0} has no steps")]
    Empty(&'static str),
    /// Journals key what they hold by operation, so a step may occur only once.
    #[error("step {step} occurs twice in definition {definition}")]
    StepTwice {
        /// The definition.
        definition: &'static str,
        /// The step.
        step: &'static str,
    },
    /// `begin` is written before the first effect with the outputs of the reads, so reads come first.
    #[error("step {step} of definition {definition} reads after a step with an effect")]
    ReadAfterEffect {
        /// The definition.
        definition: &'static str,
        /// The step.
        step: &'static str,
    },
}

impl Definition {
    /// Checks a table and makes it a definition.
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
