//! Files on the command line: definitions, and inputs of sagas.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use saga_definitions::{Format, Place, Problem, Severity};

use crate::{ending::Failure, output};

/// The name of standard input.
const STANDARD_INPUT: &str = "-";

/// Reads a text of at most `limit` bytes; `-` is standard input.
///
/// # Errors
/// Usage: the file cannot be read, is longer, or is not UTF-8.
pub(super) fn read(file: &Path, limit: usize) -> Result<String, Failure> {
    let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", file.display()));
    // One byte more shows that a text is too long.
    let some = limit as u64 + 1;
    let mut text = Vec::new();
    let opened = if file.as_os_str() == STANDARD_INPUT {
        io::stdin().take(some).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(some).read_to_end(&mut text))
    };
    opened.map_err(|error| wrong(error.to_string()))?;
    if text.len() > limit {
        Err(wrong(format!("it is longer than {limit} bytes")))
    } else {
        String::from_utf8(text).map_err(|_| wrong("it is not UTF-8".to_owned()))
    }
}

/// Returns the format of a definition: JSON if the name ends in `.json`, else TOML.
pub(super) fn format(file: &Path) -> Format {
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        Format::Json
    } else {
        Format::Toml
    }
}

/// Formats a problem of a file as compilers do.
pub(super) fn line(file: &str, problem: &Problem) -> String {
    let file = output::printable(file);
    let place = match &problem.place {
        Place::Pointer(pointer) if pointer.is_empty() => String::new(),
        place => format!("{}:", output::printable(&place.to_string())),
    };
    let label = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    format!("{file}:{place} {label}: {}", output::printable(&problem.text))
}
