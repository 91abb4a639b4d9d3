//! TOML with the line of every key and every item.

use std::thread;

use serde_json::Number;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Data, Member, Node};
use crate::exact;
use crate::problem::{Place, Problems};

/// The deepest value that is read, as in JSON.
const MAX_DEPTH: usize = 128;

/// Stack of the thread that parses. The parser allows 80 levels of values with 80 keys each; dropping so deep a tree takes
/// about 600 bytes a level in a debug build.
const STACK_BYTES: usize = 32 * 1024 * 1024;

pub(super) fn read(text: &str, problems: &mut Problems) -> Option<Node> {
    let parsed = thread::scope(|scope| {
        let parser = thread::Builder::new().stack_size(STACK_BYTES);
        parser.spawn_scoped(scope, || parse(text, problems)).ok()?.join().ok()
    });
    parsed.unwrap_or_else(|| {
        problems.error(&Place::Line(1), "no thread could be started that reads it: try again");
        None
    })
}

fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        let reason = match error.message().lines().next() {
            Some(reason) if reason.contains("recur") => "it is nested too deeply",
            Some(reason) => reason,
            None => "a syntax error",
        };
        problems.error(&lines.place(offset), format!("this is not TOML: {reason}"));
    }
    errors.is_empty().then(|| Node { place: Place::Line(1), data: table_data(table.get_ref(), &lines, 0) })
}

/// Offsets at which lines start.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset + 1);
        Lines(std::iter::once(0).chain(starts).collect())
    }

    fn place(&self, offset: usize) -> Place {
        Place::Line(self.0.partition_point(|start| *start <= offset))
    }
}

fn table_data(table: &DeTable<'_>, lines: &Lines, depth: usize) -> Data {
    let members = table.iter().map(|(name, value)| Member {
        name: name.get_ref().to_string(),
        node: Node { place: lines.place(name.span().start), data: data(value, lines, depth + 1) },
    });
    Data::Table(members.collect())
}

fn data(value: &Spanned<DeValue<'_>>, lines: &Lines, depth: usize) -> Data {
    if depth > MAX_DEPTH {
        return Data::Foreign("this is nested too deeply: make it flatter");
    }
    match value.get_ref() {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Data::Number(integer.into()),
            Err(_) => Data::Foreign("this integer does not fit into 64 bits: write it as a string"),
        },
        DeValue::Float(float) => float_data(float.as_str()),
        DeValue::Boolean(flag) => Data::Bool(*flag),
        DeValue::Datetime(_) => Data::Foreign("JSON has no dates: write it as a string, in quotes"),
        DeValue::Array(items) => {
            let items = items
                .iter()
                .map(|item| Node { place: lines.place(item.span().start), data: data(item, lines, depth + 1) });
            Data::List(items.collect())
        }
        DeValue::Table(table) => table_data(table, lines, depth),
    }
}

fn float_data(text: &str) -> Data {
    if text.ends_with(['f', 'n']) {
        return Data::Foreign("JSON has no inf and nan: write a finite number");
    }
    match text.parse().ok().and_then(Number::from_f64) {
        Some(number) if exact::has_value_of(&number, text) => Data::Number(number),
        Some(_) | None => Data::Foreign("this number cannot be carried exactly: write it as a string"),
    }
}
