//! The output of commands: tables for people, the server's own JSON for machines, errors in one line.
//!
//! Colors are used on terminals unless NO_COLOR is set. Text from a server is shown without characters that control or
//! mislead a terminal: [`printable`].

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

/// Prints a result to standard output; returns whether the reader accepts more. A closed pipe (`| head`) is not an
/// error.
pub(crate) fn print(text: &str) -> Result<Reader, Failure> {
    console::write(&format!("{text}\n")).map_err(|error| Failure::Broken(format!("cannot write the output: {error}")))
}

/// Prints a server's JSON document as [`print`] does. Its JSON value is unchanged.
pub(crate) fn print_json(document: &str) -> Result<Reader, Failure> {
    print(&printable_json(document.trim_end()))
}

/// Prints the outcome of finished work. A write error is only logged: the exit code carries the outcome too.
pub(crate) fn tell(text: &str) {
    if let Err(failure) = print(text) {
        match telemetry::logs_are_json() {
            true => tracing::error!("{failure}"),
            false => error(&failure),
        }
    }
}

/// As [`tell`], for a server's JSON document.
pub(crate) fn tell_json(document: &str) {
    tell(&printable_json(document.trim_end()));
}

/// Prints a question; the answer is typed on the same line.
pub(crate) fn ask(question: &str) -> Result<Reader, Failure> {
    console::write(question).map_err(|error| Failure::Broken(format!("cannot ask: {error}")))
}

/// Prints a message to standard error.
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

pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    Cell::plain(text.as_ref())
}

/// Makes a cell of an optional text.
pub(crate) fn optional(text: Option<impl AsRef<str>>) -> Cell {
    text.map_or_else(|| Cell::plain(table::NOTHING), cell)
}

/// Makes a cell of an optional time, to the second; `--json` has the exact one.
pub(crate) fn moment(time: Option<impl AsRef<str>>) -> Cell {
    optional(time.map(|time| to_the_second(time.as_ref())))
}

/// Leaves out the fraction of a second of a time in RFC 3339.
pub(crate) fn to_the_second(time: &str) -> String {
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
    match has_colours() {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
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
