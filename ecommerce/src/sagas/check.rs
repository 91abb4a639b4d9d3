//! `sagas check`: the problems of definitions, without starting anything.

use std::path::{Path, PathBuf};

use clap::Args;
use saga_definitions::{Accepted, Identity, Place, Problem, Rejected, SagaFile, Severity, limits::MAX_BYTES};
use serde::Serialize;

use super::file;
use crate::{
    configuration::ConfigurationFiles,
    ending::{Ended, Failure},
    output::{self, OutputFormat},
};

#[derive(Args)]
pub(crate) struct Check {
    /// Files with one definition each
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A participant besides our own four and those of the configuration; may be repeated
    #[arg(long = "participant", value_name = "NAME")]
    participants: Vec<String>,
    #[command(flatten)]
    configuration: ConfigurationFiles,
    #[command(flatten)]
    output: OutputFormat,
}

#[derive(Serialize)]
struct Document {
    clean: bool,
    files: Vec<Checked>,
}

/// A checked file; name, version and hash are null if it has errors.
#[derive(Serialize)]
struct Checked {
    file: String,
    name: Option<String>,
    version: Option<i32>,
    hash: Option<String>,
    problems: Vec<Problem>,
}

impl Check {
    pub(crate) fn run(self) -> Result<Ended, Failure> {
        let settings = self.configuration.read()?;
        let own = domain_services::PARTICIPANTS.iter().copied();
        let configured = settings.named_participants.keys().map(String::as_str);
        let participants: Vec<&str> =
            own.chain(configured).chain(self.participants.iter().map(String::as_str)).collect();
        let mut files = Vec::new();
        let mut accepted: Vec<(&Path, SagaFile)> = Vec::new();
        for file in &self.files {
            files.push(match read(file, &participants)? {
                Ok(Accepted { definition, warnings }) => {
                    let conflict = conflict(file, &definition, &accepted);
                    let checked = accept(file, &definition, warnings, conflict);
                    accepted.push((file, definition));
                    checked
                }
                Err(Rejected(problems)) => refuse(file, problems),
            });
        }
        let clean = files.iter().flat_map(|file| &file.problems).all(|problem| problem.severity == Severity::Warning);
        let format = self.output.format();
        if format.is_document() {
            let document = serde_json::to_string_pretty(&Document { clean, files });
            format.print(&document.map_err(|error| Failure::broken("the report", &error))?)?
        } else {
            output::print(&files.iter().flat_map(lines).collect::<Vec<_>>().join("\n"))?
        };
        Ok(if clean { Ended::Done } else { Ended::Refused })
    }
}

fn read(file: &Path, participants: &[&str]) -> Result<Result<Accepted, Rejected>, Failure> {
    let text = file::read(file, MAX_BYTES)?;
    Ok(SagaFile::parse(&text, file::format(file), Identity::Inside, participants))
}

/// Returns why an orchestrator whose folder has these files would not start. A file named twice is one file.
fn conflict(file: &Path, definition: &SagaFile, accepted: &[(&Path, SagaFile)]) -> Option<String> {
    let mut others = accepted.iter().filter(|(other, _)| *other != file);
    others.find_map(|(other, known)| definition.conflict(known, &other.display().to_string()))
}

fn accept(file: &Path, definition: &SagaFile, mut problems: Vec<Problem>, conflict: Option<String>) -> Checked {
    if let Some(text) = conflict {
        problems.push(Problem { severity: Severity::Error, place: Place::Pointer(String::new()), text });
        return refuse(file, problems);
    }
    Checked {
        file: file.display().to_string(),
        name: Some(definition.name().to_owned()),
        version: Some(definition.version()),
        hash: Some(definition.hash().to_owned()),
        problems,
    }
}

fn refuse(file: &Path, problems: Vec<Problem>) -> Checked {
    Checked { file: file.display().to_string(), name: None, version: None, hash: None, problems }
}

/// Returns the lines about a file: its problems, or that it can be used.
fn lines(checked: &Checked) -> Vec<String> {
    let mut lines: Vec<String> = checked.problems.iter().map(|problem| file::line(&checked.file, problem)).collect();
    if let (Some(name), Some(version)) = (&checked.name, checked.version) {
        lines.push(format!("{}: {name} {version} can be used", output::printable(&checked.file)));
    }
    lines
}
