//! Requirements on every answer, whatever the request.

use std::net::SocketAddr;

use tests::{api_description::ApiDescription, http::Answer, problem, shape};

use super::{
    attempt::{Attempt, Protocol},
    wire::{Wire, is_endless},
};

/// For a larger body the service may stop reading half-way and close an HTTP/1.1 connection.
const READ_IN_ONE_GO: usize = 8 * 1024;

/// Sends an attempt and returns the status of the answer.
///
/// # Errors
/// The defect of the answer.
pub(crate) async fn send(description: &ApiDescription, address: SocketAddr, attempt: Attempt) -> Result<u16, String> {
    let mut wire = Wire::open(address, attempt.protocol).await?;
    let answer = wire.send(address, &attempt).await?;
    judge(description, &attempt, &answer).map_err(|wrong| format!("{wrong}: {answer:?}"))?;
    if may_be_closed(&attempt, &answer) {
        return Ok(answer.status);
    }
    let again = Attempt {
        method: "GET".to_owned(),
        target: "/health/live/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        protocol: attempt.protocol,
    };
    match wire.send(address, &again).await {
        Ok(alive) if alive.status == 200 => Ok(answer.status),
        Ok(answer) => Err(format!("the connection is no good any more: {answer:?}")),
        Err(error) => Err(format!("the connection is no good any more: {error}")),
    }
}

fn may_be_closed(attempt: &Attempt, answer: &Answer) -> bool {
    let says_so = answer.header("connection").is_some_and(|header| header.eq_ignore_ascii_case("close"));
    let is_http1 = attempt.protocol == Protocol::Http1;
    says_so || is_http1 && (is_endless(&answer.headers) || attempt.body.len() > READ_IN_ONE_GO)
}

fn judge(description: &ApiDescription, attempt: &Attempt, answer: &Answer) -> Result<(), String> {
    if answer.status >= 500 {
        return Err("a failure of the service".to_owned());
    }
    if answer.header("x-request-id").is_none_or(str::is_empty) || answer.header("traceparent").is_none() {
        return Err("nothing by which it could be found in the log".to_owned());
    }
    if attempt.method == "HEAD" {
        return if answer.text.is_empty() { Ok(()) } else { Err("a body for a HEAD".to_owned()) };
    }
    let is_problem = answer.header("content-type").is_some_and(|header| header.starts_with("application/problem+json"));
    if is_problem {
        problem::check(answer, answer.status)?;
        check_field_errors(answer)?;
    }
    let path = attempt.target.split('?').next().unwrap_or_default();
    if description.describes(&attempt.method, path) {
        // An endless stream was not read.
        return if is_endless(&answer.headers) { Ok(()) } else { description.check(&attempt.method, path, answer) };
    }
    match answer.status {
        405 if answer.header("allow").is_none() => Err("a 405 that does not say what is allowed".to_owned()),
        400 | 404 | 405 | 413 if is_problem => Ok(()),
        _ => Err("an answer that nobody described".to_owned()),
    }
}

/// Checks that bad fields are named, each with a message.
fn check_field_errors(answer: &Answer) -> Result<(), String> {
    let body = answer.json();
    let errors = body["errors"].as_array().into_iter().flatten();
    for error in errors {
        shape::compare(error, &serde_json::json!({ "field": "<text>", "message": "<text>" }))?;
    }
    Ok(())
}
