//! What commands print: tables for people, the server's own JSON for machines, errors in one line.
//!
//! Colours are for terminals, and not where NO_COLOR is set. What a server sent is shown without its control characters:
//! a user's name must not steer a terminal.

mod table;

use std::{
    env,
    io::{self, IsTerminal, Write},
    process,
};

use comfy_table::Color;

pub(crate) use self::table::{Cell, table};
use crate::ending::Failure;

/// Prints to standard output. A reader that has seen enough (`| head`) is no error.
pub(crate) fn print(text: &str) {
    let _ = print_or_stop(text);
}

/// Whether somebody reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Reader {
    There,
    /// It has seen enough.
    Gone,
}

/// Prints to standard output, and tells whether it is worth printing more.
pub(crate) fn print_or_stop(text: &str) -> Reader {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => Reader::There,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Reader::Gone,
        Err(error) => {
            eprintln!("error: cannot write the output: {error}");
            process::exit(4);
        }
    }
}

/// Prints a failure to standard error.
pub(crate) fn error(failure: &Failure) {
    let label = match is_colourful(io::stderr().is_terminal()) {
        true => "\u{1b}[1;31merror:\u{1b}[0m",
        false => "error:",
    };
    eprintln!("{label} {failure}");
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

/// Replaces control characters by what stands for them in Rust source.
pub(crate) fn printable(text: &str) -> String {
    let shown = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Tells whether standard output shows colours.
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
    fn what_a_server_sent_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{9b}c\n"), "a\\u{1b}[31mb\\u{9b}c\\n");
        assert_eq!(printable("José–日本"), "José–日本");
    }
}
