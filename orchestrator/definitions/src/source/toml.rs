//! TOML with the line of every key and every item.

use serde_json::Number;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Data, Member, Node};
use crate::problem::{Place, Problems};

pub(super) fn read(text: &str, problems: &mut Problems) -> Option<Node> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        let reason = error.message().lines().next().unwrap_or("a syntax error");
        problems.error(&lines.place(offset), format!("this is not TOML: {reason}"));
    }
    errors.is_empty().then(|| Node { place: Place::Line(1), data: table_data(table.get_ref(), &lines) })
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

fn table_data(table: &DeTable<'_>, lines: &Lines) -> Data {
    let members = table.iter().map(|(name, value)| Member {
        name: name.get_ref().to_string(),
        node: Node { place: lines.place(name.span().start), data: data(value, lines) },
    });
    Data::Table(members.collect())
}

fn data(value: &Spanned<DeValue<'_>>, lines: &Lines) -> Data {
    match value.get_ref() {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Data::Number(integer.into()),
            Err(_) => Data::Foreign("this integer does not fit into 64 bits: write it as a string"),
        },
        DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => Data::Number(number),
            None => Data::Foreign("JSON has no inf and nan: write a finite number"),
        },
        DeValue::Boolean(flag) => Data::Bool(*flag),
        DeValue::Datetime(_) => Data::Foreign("JSON has no dates: write it as a string, in quotes"),
        DeValue::Array(items) => {
            let items =
                items.iter().map(|item| Node { place: lines.place(item.span().start), data: data(item, lines) });
            Data::List(items.collect())
        }
        DeValue::Table(table) => table_data(table, lines),
    }
}
