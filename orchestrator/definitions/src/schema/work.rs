//! How much work the check of an input is, at most, counted before it is done.
//!
//! A check cannot be interrupted, and some schemas make its work grow exponentially with the depth of the input or with
//! their own length: each `allOf` of two references to the next level doubles it. So evaluations of a subschema for a
//! value are counted first. The count of a pair of subschema and value is kept, so that counting is polynomial where
//! checking is not. It is an upper bound: it knows what a check looks at, not where it stops early.

mod count;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::Value;

use self::count::{TooManySteps, Work};
use super::applicators::{self, Index, Subschema};

/// The most evaluations of an input: an evaluation takes about 65 ns, so that they hold a thread for 65 ms.
pub(super) const MAX_STEPS: u64 = 1_000_000;

/// The most evaluations to find every error: in branches that all fail, an error takes 3 µs, since it lists theirs.
pub(super) const MAX_STEPS_OF_ERRORS: u64 = 100_000;

/// Bytes of text that a pattern reads in the time of one evaluation.
const TEXT_PER_STEP: usize = 64;

/// How often the library enters a subschema for one value before it ends an endless reference: its guard knows neither
/// the schema itself nor the first reference to a subschema.
const MAX_ENTRIES: usize = 3;

/// How far an input can be checked within the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affordable {
    EveryError,
    Verdict,
    Nothing,
}

/// Bounds the work of checks by one schema.
pub(super) struct WorkLimit {
    subschemas: Vec<Subschema>,
    /// Maximum number of evaluations for each value of an input; `None` if it depends on the input.
    steps_per_value: Option<u64>,
}

impl WorkLimit {
    pub(super) fn new(schema: &Value) -> WorkLimit {
        let subschemas = applicators::of_schema(schema);
        let steps_per_value = steps_per_value(&subschemas);
        WorkLimit { subschemas, steps_per_value }
    }

    pub(super) fn affordable(&self, input: &Value) -> Affordable {
        // Most schemas are so simple that the size of the input tells.
        if self.steps_per_value.is_some_and(|steps| steps.saturating_mul(size(input)) <= MAX_STEPS_OF_ERRORS) {
            return Affordable::EveryError;
        }
        match self.count(input) {
            Err(TooManySteps) => Affordable::Nothing,
            Ok(work) if work.verdict > MAX_STEPS => Affordable::Nothing,
            Ok(work) if work.errors > MAX_STEPS_OF_ERRORS => Affordable::Verdict,
            Ok(_) => Affordable::EveryError,
        }
    }

    fn count(&self, input: &Value) -> Result<Work, TooManySteps> {
        count::count(&self.subschemas, input)
    }
}

/// Returns the evaluations for each value, if a schema does not refer to itself, or never applies two subschemas to one
/// value.
fn steps_per_value(subschemas: &[Subschema]) -> Option<u64> {
    if subschemas.iter().any(|subschema| subschema.has_unique_items) {
        return None;
    }
    if !subschemas.iter().any(Subschema::forks) {
        let once: u64 = subschemas.iter().map(|subschema| 1 + subschema.compared_values).sum();
        return Some(once.saturating_mul(MAX_ENTRIES as u64));
    }
    unfolded(subschemas, 0, &mut HashMap::new())
}

/// Returns the number of subschemas once each reference is replaced by its target; a subschema that is evaluated twice counts
/// twice. `None` if the replacement never ends.
fn unfolded(subschemas: &[Subschema], index: Index, known: &mut HashMap<Index, Option<u64>>) -> Option<u64> {
    if let Some(steps) = known.get(&index) {
        return *steps;
    }
    known.insert(index, None);
    let subschema = &subschemas[index];
    let mut total = 1 + subschema.compared_values;
    // Branches and conditions are evaluated for the verdict and again for errors.
    for below in subschema.branches().chain(subschema.others_in_place()) {
        total = total.saturating_add(unfolded(subschemas, below, known)?.saturating_mul(2));
    }
    for below in subschema.conjuncts.iter().copied().chain(subschema.children()) {
        total = total.saturating_add(unfolded(subschemas, below, known)?);
    }
    if subschema.has_unevaluated() {
        total = total.saturating_mul(3);
    }
    known.insert(index, Some(total));
    Some(total)
}

/// Returns the number of values in a value, long texts counted as several.
fn size(value: &Value) -> u64 {
    let below: u64 = match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        Value::String(text) => text_steps(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    below + 1
}

fn text_steps(text: &str) -> u64 {
    (text.len() / TEXT_PER_STEP) as u64
}
