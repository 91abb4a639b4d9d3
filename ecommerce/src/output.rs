//! What commands print: tables for people, the server's own JSON for machines, errors in one line.
//!
//! Colours are for terminals, and not where NO_COLOR is set. What a server sent is shown without the characters that steer
//! or mislead a terminal: [`printable`].

mod table;

use std::{
    env,
    io::{self, IsTerminal},
};

use comfy_table::Color;
use common::{
    console,
    printable::{printable_json, printable_lines},
    telemetry,
};
pub(crate) use common::{console::Reader, printable::printable};

pub(crate) use self::table::{Cell, table};
use crate::ending::Failure;

/// Prints what a command was asked for to standard output, and returns whether there is a reader for more. A reader that
/// has seen enough (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<Reader, Failure> {
    console::write(&format!("{text}\n")).map_err(|error| Failure::Broken(format!("cannot write the output: {error}")))
}

/// Prints a server's JSON document, as [`print`] does. It stays the same document.
pub(crate) fn print_json(document: &str) -> Result<Reader, Failure> {
    print(&printable_json(document.trim_end()))
}

/// Prints the outcome of work that is done. The exit code tells it too, so that it is kept where this cannot be written.
pub(crate) fn tell(text: &str) {
    if let Err(failure) = print(text) {
        match telemetry::logs_are_json() {
            true => tracing::error!("{failure}"),
            false => error(&failure),
        }
    }
}

/// As [`tell`], of a server's JSON document.
pub(crate) fn tell_json(document: &str) {
    tell(&printable_json(document.trim_end()));
}

/// Asks something, on the line where the answer is typed.
pub(crate) fn ask(question: &str) -> Result<Reader, Failure> {
    console::write(question).map_err(|error| Failure::Broken(format!("cannot ask: {error}")))
}

/// Says something beside the output, in lines on standard error.
pub(crate) fn complain(text: &str) {
    telemetry::notice(&printable_lines(text));
}

/// Prints a failure to standard error.
pub(crate) fn error(failure: &Failure) {
    let label = match is_colourful(io::stderr().is_terminal()) {
        true => "\u{1b}[1;31merror:\u{1b}[0m",
        false => "error:",
    };
    console::complain(&format!("{label} {}", printable_lines(&failure.to_string())));
}

/// Makes a cell of a text.
pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    Cell::plain(text.as_ref())
}

/// Makes a cell of something that may not be there.
pub(crate) fn optional(text: Option<impl AsRef<str>>) -> Cell {
    text.map_or_else(|| Cell::plain(table::NOTHING), cell)
}

/// Makes a cell of a time that may not be there, to the second: `--json` has the rest.
pub(crate) fn moment(time: Option<impl AsRef<str>>) -> Cell {
    optional(time.map(|time| match time.as_ref().split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.as_ref().to_owned(),
    }))
}

/// Makes a cell of a saga's or step's state, in the colour of how good that is.
pub(crate) fn state(name: &str) -> Cell {
    Cell::state(name)
}

/// Shows a saga's or step's state within a line, in the same colours.
pub(crate) fn word(state: &str) -> String {
    let text = printable(state);
    match colour(state) {
        Some((_, code)) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        None => text,
    }
}

/// Returns the colour of a state, for tables and as the code of a terminal; none where there are to be none.
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

/// Tells whether standard output shows colours.
pub(crate) fn has_colours() -> bool {
    is_colourful(io::stdout().is_terminal())
}

fn is_colourful(is_terminal: bool) -> bool {
    is_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
