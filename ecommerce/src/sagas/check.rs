//! `sagas check`: the problems of definitions, without starting anything.

use std::path::{Path, PathBuf};

use clap::Args;
use saga_definitions::{Accepted, Identity, Problem, Rejected, SagaFile, Severity, limits::MAX_BYTES};
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
        let files = self.files.iter().map(|file| check(file, &participants)).collect::<Result<Vec<_>, _>>()?;
        let clean = files.iter().flat_map(|file| &file.problems).all(|problem| problem.severity == Severity::Warning);
        let format = self.output.format();
        match format.is_document() {
            true => {
                let document = serde_json::to_string_pretty(&Document { clean, files });
                format.print(&document.map_err(|error| Failure::broken("the report", &error))?)?
            }
            false => output::print(&files.iter().flat_map(lines).collect::<Vec<_>>().join("\n"))?,
        };
        Ok(if clean { Ended::Done } else { Ended::Refused })
    }
}

fn check(file: &Path, participants: &[&str]) -> Result<Checked, Failure> {
    let text = file::read(file, MAX_BYTES)?;
    let name = file.display().to_string();
    Ok(match SagaFile::parse(&text, file::format(file), Identity::Inside, participants) {
        Ok(Accepted { definition, warnings }) => Checked {
            file: name,
            name: Some(definition.name().to_owned()),
            version: Some(definition.version()),
            hash: Some(definition.hash().to_owned()),
            problems: warnings,
        },
        Err(Rejected(problems)) => Checked { file: name, name: None, version: None, hash: None, problems },
    })
}

/// Returns the lines about a file: its problems, or that it can be used.
fn lines(checked: &Checked) -> Vec<String> {
    let mut lines: Vec<String> = checked.problems.iter().map(|problem| file::line(&checked.file, problem)).collect();
    if let (Some(name), Some(version)) = (&checked.name, checked.version) {
        lines.push(format!("{}: {name} {version} can be used", output::printable(&checked.file)));
    }
    lines
}
