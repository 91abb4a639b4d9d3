//! `sagas check`: the problems of definitions, without starting anything.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use saga_definitions::{Accepted, Format, Identity, Place, Problem, Rejected, SagaFile, Severity, limits::MAX_BYTES};
use serde::Serialize;

use crate::{
    ending::{Ended, Failure},
    output,
};

#[derive(Args)]
pub(crate) struct Check {
    /// Files with one definition each
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A participant besides catalog, payments, inventory and purchases; may be repeated
    #[arg(long = "participant", value_name = "NAME")]
    participants: Vec<String>,
    /// Print the results as JSON, for machines
    #[arg(long)]
    json: bool,
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
        let own = domain_services::PARTICIPANTS.iter().copied();
        let participants: Vec<&str> = own.chain(self.participants.iter().map(String::as_str)).collect();
        let files = self.files.iter().map(|file| check(file, &participants)).collect::<Result<Vec<_>, _>>()?;
        let clean = files.iter().flat_map(|file| &file.problems).all(|problem| problem.severity == Severity::Warning);
        match self.json {
            true => {
                let document = serde_json::to_string_pretty(&Document { clean, files });
                output::tell_json(&document.map_err(|error| Failure::broken("the report", &error))?);
            }
            false => files.iter().flat_map(lines).for_each(|line| output::tell(&line)),
        }
        Ok(if clean { Ended::Done } else { Ended::Refused })
    }
}

fn check(file: &Path, participants: &[&str]) -> Result<Checked, Failure> {
    let text = read(file).map_err(|reason| Failure::Usage(format!("{}: {reason}", file.display())))?;
    let format = match file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        true => Format::Json,
        false => Format::Toml,
    };
    let name = file.display().to_string();
    Ok(match SagaFile::parse(&text, format, Identity::Inside, participants) {
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

/// Reads a text, and no more of it than tells that it is too long.
fn read(file: &Path) -> Result<String, String> {
    let mut text = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let opened = File::open(file).and_then(|file| file.take(limit).read_to_end(&mut text));
    opened.map_err(|error| error.to_string())?;
    match text.len() > MAX_BYTES {
        true => Err(format!("it is longer than {MAX_BYTES} bytes")),
        false => String::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned()),
    }
}

/// Returns the lines about a file: its problems, or that it can be used.
fn lines(checked: &Checked) -> Vec<String> {
    let file = output::printable(&checked.file);
    let line = |problem: &Problem| {
        let place = match &problem.place {
            Place::Pointer(pointer) if pointer.is_empty() => String::new(),
            place => format!("{}:", output::printable(&place.to_string())),
        };
        let label = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("{file}:{place} {label}: {}", output::printable(&problem.text))
    };
    let mut lines: Vec<String> = checked.problems.iter().map(line).collect();
    if let (Some(name), Some(version)) = (&checked.name, checked.version) {
        lines.push(format!("{file}: {name} {version} can be used"));
    }
    lines
}
