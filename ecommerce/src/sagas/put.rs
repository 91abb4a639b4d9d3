//! `sagas put`: checks a definition and gives it to all orchestrators.
//!
//! The participants are those of the orchestrator that is asked, so only it can tell whether one is missing.

use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::{Method, StatusCode};
use saga_definitions::{Accepted, Format, Identity, Place, Problem, Rejected, SagaFile, Severity, limits::MAX_BYTES};
use serde_json::Value;

use super::file;
use crate::{
    client::Target,
    ending::{Ended, Failure},
    output,
};

#[derive(Args)]
pub(crate) struct Put {
    /// File with the definition: TOML, or JSON if its name ends in .json
    file: PathBuf,
    #[command(flatten)]
    target: Target,
}

impl Put {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let name = self.file.display().to_string();
        let definition = match check(&self.file)? {
            Ok(Accepted { definition, warnings }) => {
                complain(&name, &warnings);
                definition
            }
            Err(Rejected(problems)) => {
                complain(&name, &problems);
                return Ok(Ended::Refused);
            }
        };
        let title = format!("{}/{}", definition.name(), definition.version());
        let version = definition.version().to_string();
        let url = self.target.url(&["sagas", "definitions", definition.name(), &version])?;
        let answer = self.target.ask(Method::PUT, url, Some(definition.to_json().to_string())).await?;
        let said = match answer.status {
            StatusCode::CREATED => format!("{title} is created: all orchestrators run it within a moment"),
            StatusCode::OK => format!("{title} exists already and is equal: nothing was changed"),
            StatusCode::CONFLICT => {
                let detail = answer.detail().unwrap_or_else(|| format!("{title} is another definition"));
                let next = definition.version().saturating_add(1);
                output::complain(&format!(
                    "{name}: {detail}; running sagas rely on it: write version = {next}, or the next free one, and put \
                     it again"
                ));
                return Ok(Ended::Refused);
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                let problem = |(field, text)| Problem { severity: Severity::Error, place: Place::Pointer(field), text };
                let problems: Vec<Problem> = answer.field_errors().into_iter().map(problem).collect();
                if problems.is_empty() {
                    return Err(answer.into_failure());
                }
                complain(&name, &problems);
                return Ok(Ended::Refused);
            }
            _ => return Err(answer.into_failure()),
        };
        if self.target.output.is_document() {
            self.target.output.tell(&answer.body)
        } else {
            output::tell(&said)
        }
        Ok(Ended::Done)
    }
}

fn complain(file: &str, problems: &[Problem]) {
    for problem in problems {
        output::complain(&file::line(file, problem));
    }
}

/// Checks all of a file but the names of its participants.
fn check(file: &Path) -> Result<Result<Accepted, Rejected>, Failure> {
    let text = file::read(file, MAX_BYTES)?;
    let format = file::format(file);
    let participants = participants(&text, format);
    let participants: Vec<&str> = participants.iter().map(String::as_str).collect();
    Ok(SagaFile::parse(&text, format, Identity::Inside, &participants))
}

/// Returns the participants that a definition names; none if it cannot be parsed, which is reported elsewhere.
fn participants(text: &str, format: Format) -> Vec<String> {
    let definition: Option<Value> = match format {
        Format::Json => serde_json::from_str(text).ok(),
        Format::Toml => toml::from_str(text).ok(),
    };
    let definition = definition.unwrap_or_default();
    let steps = definition["steps"].as_array().into_iter().flatten();
    steps.filter_map(|step| step["participant"].as_str().map(str::to_owned)).collect()
}
