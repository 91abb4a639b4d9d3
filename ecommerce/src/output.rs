//! The output of commands: tables for people, the server's own JSON for machines, errors in one line.
//!
//! Colors are used on terminals unless NO_COLOR is set. Text from a server is shown without characters that control or
//! mislead a terminal: [`printable`].

mod ago;
mod file;
mod format;
mod plain;
mod table;
mod wrap;
mod yaml;

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    sync::OnceLock,
};

use comfy_table::Color;
use common::{
    console,
    printable::{printable_json, printable_lines},
    telemetry,
};
pub(crate) use common::{console::Reader, printable::printable};

pub(crate) use self::plain::in_plain_words;
pub(crate) use self::{
    ago::age,
    file::OutputFile,
    format::{Format, OutputFormat, View},
    table::{Cell, table},
    wrap::wrapped,
};
use crate::ending::Failure;

/// Whether errors are JSON; see [`errors_follow`].
static ERRORS_ARE_JSON: OnceLock<bool> = OnceLock::new();

/// Prints a result to standard output; returns whether the reader accepts more. A closed pipe (`| head`) is not an
/// error.
pub(crate) fn print(text: &str) -> Result<Reader, Failure> {
    console::write(&format!("{text}\n")).map_err(|error| Failure::Broken(format!("cannot write the output: {error}")))
}

/// Prints the outcome of work that changed something, or that has an exit code of its own. A write error is only logged:
/// the exit code carries the outcome too, and a caller that took the error for a failure might repeat the work.
pub(crate) fn tell(text: &str) {
    if let Err(failure) = print(text) {
        if telemetry::logs_are_json() { tracing::error!("{failure}") } else { error(&failure) }
    }
}

/// Prints a question; the answer is typed on the same line.
pub(crate) fn ask(question: &str) -> Result<Reader, Failure> {
    console::write(question).map_err(|error| Failure::Broken(format!("cannot ask: {error}")))
}

/// Prints a message to standard error.
pub(crate) fn complain(text: &str) {
    telemetry::notice(&printable_lines(&in_plain_words(text)));
}

/// Makes errors JSON if the arguments ask for a result in JSON. It looks at the arguments as given, so that an error in
/// them is JSON too.
pub(crate) fn errors_follow(arguments: impl IntoIterator<Item = OsString>) {
    let _ = ERRORS_ARE_JSON.set(asks_for_json(arguments));
}

fn asks_for_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.into_iter().take_while(|argument| argument != "--").collect();
    let is_one =
        |argument: &OsString| ["--json", "-ojson", "-o=json", "--output=json"].iter().any(|form| argument == form);
    let are_two = |pair: &[OsString]| (pair[0] == "-o" || pair[0] == "--output") && pair[1] == "json";
    arguments.iter().any(is_one) || arguments.windows(2).any(are_two)
}

pub(crate) fn errors_are_json() -> bool {
    ERRORS_ARE_JSON.get().copied().unwrap_or(false)
}

/// Prints a failure to standard error: one line of text or of JSON.
pub(crate) fn error(failure: &Failure) {
    if errors_are_json() {
        return console::complain(&printable_json(&failure.to_json()));
    }
    let label = if is_colourful(io::stderr().is_terminal()) { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
    console::complain(&format!("{label} {}", printable_lines(&in_plain_words(&failure.to_string()))));
}

pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    Cell::plain(text.as_ref())
}

/// Makes a cell of an optional text.
pub(crate) fn optional(text: Option<impl AsRef<str>>) -> Cell {
    text.map_or_else(|| Cell::plain(table::NOTHING), cell)
}

/// Leaves out the fraction of a second of a time in RFC 3339.
fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

/// Makes a cell of a saga's or step's state, in the state's color.
pub(crate) fn state(name: &str) -> Cell {
    Cell::state(name)
}

/// Formats a saga's or step's state for a line of text, in the same colors.
pub(crate) fn word(state: &str) -> String {
    let text = printable(state);
    match colour(state) {
        Some((_, code)) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        None => text,
    }
}

/// A color with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tint {
    Good,
    Bad,
}

/// Colors a text of our own, on terminals.
pub(crate) fn tinted(text: &str, tint: Tint) -> String {
    let code = match tint {
        Tint::Good => 32,
        Tint::Bad => 31,
    };
    if has_colours() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Returns the color of a state, for tables and as a terminal code; `None` if colors are off.
fn colour(state: &str) -> Option<(Color, u8)> {
    if !has_colours() {
        return None;
    }
    match state.to_ascii_uppercase().as_str() {
        "COMPLETED" | "DONE" => Some((Color::Green, 32)),
        "COMPENSATED" | "REFUSED" => Some((Color::Yellow, 33)),
        "FAILED" => Some((Color::Red, 31)),
        _ => None,
    }
}

/// Returns whether standard output shows colors.
pub(crate) fn has_colours() -> bool {
    is_colourful(io::stdout().is_terminal())
}

fn is_colourful(is_terminal: bool) -> bool {
    is_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json_in_every_form_in_which_json_can_be_asked_for() {
        let asks = |line: &str| asks_for_json(line.split(' ').map(OsString::from));
        for line in ["list --json", "list -o json --limit 1", "list -ojson", "list --output=json", "list --output json"]
        {
            assert!(asks(line), "{line}");
        }
        for line in ["list", "list -o yaml", "list -o wide", "list -- --json", "list --user json"] {
            assert!(!asks(line), "{line}");
        }
    }
}
