//! The body of `PUT /debug/faults`: validated as a whole, applied as a whole.

use std::sync::Arc;

use foundation::names::closest;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{MAX_LATENCY_MS, OperationFaults, settings::InForce};
use crate::fields::FieldError;

/// Why a change of failure settings was rejected.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The body is not a JSON object.
    #[error("{0}")]
    Malformed(String),
    /// Some fields are invalid; nothing was changed.
    #[error("{} bad fields", .0.len())]
    Fields(Vec<FieldError>),
}

/// A value with the name of its field, which every error names.
struct Given<'a> {
    field: String,
    value: &'a Value,
}

pub(super) fn parse(body: &[u8]) -> Result<Map<String, Value>, ChangeError> {
    serde_json::from_slice(body)
        .map_err(|error| ChangeError::Malformed(format!("expected a JSON object of failure settings: {error}")))
}

/// Applies a change to the settings in force.
pub(super) fn apply(current: &InForce, change: &Map<String, Value>) -> Result<InForce, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut seed = current.seed;
    let mut operations = (*current.operations).clone();
    for (name, value) in change {
        let given = Given { field: name.clone(), value };
        if name == "seed" {
            take(&mut seed, whole_number(&given, i64::MAX as u64), &mut errors);
        } else if let Some(faults) = operations.get_mut(name) {
            change_operation(faults, &given, &mut errors);
        } else {
            let known = current.operations.keys().map(String::as_str).chain(["seed"]);
            errors.push(unknown(&given, name, known));
        }
    }
    if errors.is_empty() { Ok(InForce { seed, operations: Arc::new(operations) }) } else { Err(errors) }
}

fn change_operation(faults: &mut OperationFaults, given: &Given<'_>, errors: &mut Vec<FieldError>) {
    const KNOWN: [&str; 6] =
        ["failure_rate", "unavailable_rate", "lost_reply_rate", "cut_connection_rate", "duplicate_rate", "latency_ms"];
    let Some(members) = given.value.as_object() else {
        errors.push(given.complaint("expected an object of rates and latency_ms"));
        return;
    };
    for (name, value) in members {
        let member = given.member(name, value);
        match name.as_str() {
            "failure_rate" => take(&mut faults.failure_rate, rate(&member), errors),
            "unavailable_rate" => take(&mut faults.unavailable_rate, rate(&member), errors),
            "lost_reply_rate" => take(&mut faults.lost_reply_rate, rate(&member), errors),
            "cut_connection_rate" => take(&mut faults.cut_connection_rate, rate(&member), errors),
            "duplicate_rate" => take(&mut faults.duplicate_rate, rate(&member), errors),
            "latency_ms" => change_latency(faults, &member, errors),
            _ => errors.push(unknown(&member, name, KNOWN)),
        }
    }
}

fn change_latency(faults: &mut OperationFaults, given: &Given<'_>, errors: &mut Vec<FieldError>) {
    let Some(members) = given.value.as_object() else {
        errors.push(given.complaint("expected an object {\"min\": …, \"max\": …}"));
        return;
    };
    let errors_before = errors.len();
    let range = &mut faults.latency_ms;
    for (name, value) in members {
        let member = given.member(name, value);
        match name.as_str() {
            "min" => take(&mut range.min, whole_number(&member, MAX_LATENCY_MS), errors),
            "max" => take(&mut range.max, whole_number(&member, MAX_LATENCY_MS), errors),
            _ => errors.push(unknown(&member, name, ["min", "max"])),
        }
    }
    if errors.len() == errors_before && range.min > range.max {
        let message = format!("min {} is greater than max {}", range.min, range.max);
        errors.push(given.complaint(message));
    }
}

fn rate(given: &Given<'_>) -> Result<f64, FieldError> {
    given
        .value
        .as_f64()
        .filter(|rate| (0.0..=1.0).contains(rate))
        .ok_or_else(|| given.complaint("expected a number from 0 to 1"))
}

fn whole_number(given: &Given<'_>, max: u64) -> Result<u64, FieldError> {
    given
        .value
        .as_u64()
        .filter(|number| *number <= max)
        .ok_or_else(|| given.complaint(format!("expected a whole number from 0 to {max}")))
}

fn take<T>(target: &mut T, read: Result<T, FieldError>, errors: &mut Vec<FieldError>) {
    match read {
        Ok(value) => *target = value,
        Err(error) => errors.push(error),
    }
}

fn unknown<'a>(given: &Given<'_>, name: &str, known: impl IntoIterator<Item = &'a str>) -> FieldError {
    let known: Vec<&str> = known.into_iter().collect();
    match closest(name, known.iter().copied()) {
        Some(near) => given.complaint(format!("unknown, did you mean {near}?")),
        None => given.complaint(format!("unknown, expected one of {}", known.join(", "))),
    }
}

impl Given<'_> {
    fn member<'v>(&self, name: &str, value: &'v Value) -> Given<'v> {
        Given { field: format!("{}.{name}", self.field), value }
    }

    fn complaint(&self, message: impl Into<String>) -> FieldError {
        FieldError::new(&self.field, message)
    }
}
