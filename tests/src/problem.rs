//! Checks problems (RFC 9457), the format of every service's errors.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::Answer;

/// Checks that an answer is a problem with this status, in every detail of the contract.
///
/// # Errors
/// The deviation.
pub fn check(answer: &Answer, status: u16) -> Result<(), String> {
    if answer.status != status {
        return Err(format!("{} instead of {status}", answer.status));
    }
    let content_type = answer.header("content-type").unwrap_or_default();
    if !content_type.starts_with("application/problem+json") {
        return Err(format!("content type {content_type:?} instead of application/problem+json"));
    }
    let body: Value = serde_json::from_str(&answer.text).map_err(|error| format!("the body is no JSON: {error}"))?;
    for member in ["type", "title", "detail"] {
        if body[member].as_str().is_none_or(str::is_empty) {
            return Err(format!("{member} is missing"));
        }
    }
    if body["status"] != status {
        return Err(format!("the member status is {}", body["status"]));
    }
    if answer.is_recorded_refusal() {
        return Err("it claims to be a recorded decision".to_owned());
    }
    Ok(())
}

/// Checks that an answer is a problem that names exactly these fields.
///
/// # Errors
/// The deviation.
pub fn check_fields(answer: &Answer, status: u16, fields: &[&str]) -> Result<(), String> {
    check(answer, status)?;
    let body = answer.json();
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    let named: BTreeSet<&str> = errors.iter().filter_map(|error| error["field"].as_str()).collect();
    if named != fields.iter().copied().collect() {
        return Err(format!("it complains of {named:?} instead of {fields:?}"));
    }
    match errors.iter().find(|error| error["message"].as_str().is_none_or(str::is_empty)) {
        Some(silent) => Err(format!("no message in {silent}")),
        None => Ok(()),
    }
}

/// Asserts that an answer is a problem with this status.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn assert_problem(answer: &Answer, status: u16) {
    if let Err(wrong) = check(answer, status) {
        panic!("{wrong}: {answer:?}");
    }
}

/// Asserts that an answer is a problem that names exactly these fields.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn assert_bad_fields(answer: &Answer, status: u16, fields: &[&str]) {
    if let Err(wrong) = check_fields(answer, status, fields) {
        panic!("{wrong}: {answer:?}");
    }
}
