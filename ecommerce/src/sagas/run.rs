//! `sagas run`: starts a saga of any definition and waits for its end.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use common::http::MAX_ANSWER_BYTES;
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{file, title};
use crate::{
    client::{Answer, Target, readable},
    ending::{Ended, Failure},
    output,
};

#[derive(Args)]
pub(crate) struct Run {
    /// Name of the definition
    name: String,
    /// JSON file with the input; - is standard input [default: no fields]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Version of the definition [default: the highest that all orchestrators know]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    version: Option<i32>,
    /// Idempotency key: a repetition with the same key gets the outcome of the first saga and starts no second one
    #[arg(long, value_parser = key)]
    key: Option<HeaderValue>,
    /// Do not wait for the end: the saga runs once it is in the saga log
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    target: Target,
}

fn key(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| "a key is text in one line".to_owned())
}

#[derive(Serialize)]
struct Request<'a> {
    definition: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    /// As it is in the file: no number is changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
}

/// Outputs by step and name.
pub(super) type Outputs = BTreeMap<String, BTreeMap<String, Box<RawValue>>>;

/// A saga that ended, or only its id and status if it still runs.
#[derive(Deserialize)]
struct Outcome {
    saga_id: String,
    status: String,
    definition: Option<String>,
    version: Option<i32>,
    #[serde(default)]
    outputs: Outputs,
    error: Option<String>,
    failed_step: Option<String>,
}

impl Run {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let input = self.input.as_ref().map(|path| {
            let text = file::read(path, MAX_ANSWER_BYTES)?;
            serde_json::from_str(&text)
                .map_err(|error| Failure::Usage(format!("{}: not JSON: {error}", path.display())))
        });
        let request = Request { definition: &self.name, version: self.version, input: input.transpose()? };
        let body =
            serde_json::to_string(&request).map_err(|error| Failure::broken("cannot serialize the request", &error))?;
        let mut headers = HeaderMap::new();
        if self.no_wait {
            headers.insert(HeaderName::from_static("prefer"), HeaderValue::from_static("respond-async"));
        }
        if let Some(key) = self.key {
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        let url = self.target.url(&["sagas"])?;
        let answer = self.target.ask_with(Method::POST, url, Some(body), headers).await?;
        let ended = match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED => Ended::Done,
            StatusCode::CONFLICT | StatusCode::BAD_GATEWAY => Ended::Refused,
            _ => return Err(refused(&self.name, answer)),
        };
        // Another answer with the same status, such as a proxy's 502, is not about a saga.
        let Ok(mut outcome) = answer.read::<Outcome>() else {
            return Err(answer.into_failure());
        };
        if self.target.output.is_document() {
            self.target.output.tell(&answer.body);
            return Ok(ended);
        }
        // The answer about a saga that still runs does not repeat the definition.
        outcome.definition.get_or_insert(self.name);
        let id = output::printable(&outcome.saga_id);
        output::tell(&shown(outcome));
        match answer.status {
            StatusCode::ACCEPTED => {
                output::complain(&format!("the saga still runs: `ecommerce sagas show {id}` shows its state"));
            }
            StatusCode::BAD_GATEWAY => output::complain(&format!(
                "not all steps could be undone yet; retries continue: `ecommerce sagas show {id}` shows which are left"
            )),
            _ => {}
        }
        Ok(ended)
    }
}

/// Makes a failure with a line for each wrong field, by its JSON pointer into the request.
fn refused(name: &str, answer: Answer) -> Failure {
    let errors = answer.field_errors();
    match answer.status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if !errors.is_empty() => {
            let line = |(field, message): (String, String)| format!("\n{field}: {message}");
            let lines: String = errors.into_iter().map(line).collect();
            Failure::Usage(format!("no saga of {} was started:{lines}", output::printable(name)))
        }
        _ => answer.into_failure(),
    }
}

fn shown(outcome: Outcome) -> String {
    let Outcome { saga_id, status, definition, version, outputs, error, failed_step } = outcome;
    let facts = output::table(
        ["saga", &saga_id],
        [
            [output::cell("definition"), output::optional(title(definition, version))],
            [output::cell("status"), output::state(&status)],
            [output::cell("failed step"), output::optional(failed_step)],
            [output::cell("error"), output::optional(error)],
        ],
    );
    match of_outputs(&outputs) {
        Some(outputs) => format!("{facts}\n{outputs}"),
        None => facts,
    }
}

/// Makes the table of outputs, if there are any.
pub(super) fn of_outputs(outputs: &Outputs) -> Option<String> {
    let rows: Vec<_> = outputs
        .iter()
        .flat_map(|(step, outputs)| outputs.iter().map(move |(name, value)| (step, name, value)))
        .map(|(step, name, value)| [output::cell(step), output::cell(name), output::cell(readable(value))])
        .collect();
    (!rows.is_empty()).then(|| output::table(["step", "output", "value"], rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_shown_by_step_with_their_exact_values() {
        let outcome = r#"{"saga_id":"s","status":"COMPENSATED","definition":"trip","version":3,"failed_step":"car",
            "error":"409: cars conflict","outputs":{"flight":{"booking":"a\"b"},"hotel":{"price":19.90}}}"#;
        let table = shown(serde_json::from_str(outcome).unwrap());
        let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line("definition").contains("trip/3") && line("failed step").contains("car"), "{table}");
        assert!(line("hotel").contains("19.90") && line("flight").contains("a\"b"), "{table}");
        let running = shown(serde_json::from_str(r#"{"saga_id":"s","status":"PENDING"}"#).unwrap());
        assert!(running.contains("PENDING") && !running.contains("output"), "{running}");
    }
}
