//! Tables that stay readable at any terminal width.
//!
//! Only the last column, free text such as an error, is wrapped: ids, states and times are for copying and comparing.
//! If the terminal leaves too little room for that column, each row becomes a block of lines instead:
//!
//! ```text
//! 01a20dc8-3e63-75c4-b33b-a023543ca3ed  COMPENSATED
//!   user me, product 19, amount 5.00, created 2026-11-24T13:39:16Z
//!   error 409: payments conflict: Error processing payment
//! ```

use std::io::{self, IsTerminal};

use comfy_table::{Cell as Column, Color, ColumnConstraint, ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};

use super::{cell, colour, printable};

/// Minimum width of the last column, unless its contents are shorter.
const TEXT_WIDTH: usize = 24;
/// Assumed width of a terminal that does not report its width (serial line, container).
const USUAL_WIDTH: usize = 80;
/// Shown for a missing value.
pub(super) const NOTHING: &str = "–";

/// A cell: text, and the color of a state.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    colour: Option<(Color, u8)>,
}

impl Cell {
    pub(super) fn plain(text: &str) -> Self {
        Self { text: printable(text), colour: None }
    }

    pub(super) fn state(name: &str) -> Self {
        Self { text: printable(name), colour: colour(name) }
    }

    fn coloured(&self) -> String {
        match self.colour {
            Some((_, code)) => format!("\u{1b}[{code}m{}\u{1b}[0m", self.text),
            None => self.text.clone(),
        }
    }
}

/// Makes a table as wide as the terminal; without a terminal, as wide as needed.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [Cell; N]>) -> String {
    let width = io::stdout().is_terminal().then(|| match Table::new().width() {
        None | Some(0) => USUAL_WIDTH,
        Some(width) => usize::from(width),
    });
    arranged(header, &rows.into_iter().collect::<Vec<_>>(), width)
}

/// Makes a table for a given width; `None` means no limit.
fn arranged<const N: usize>(header: [&str; N], rows: &[[Cell; N]], width: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header(header.map(|name| cell(name).text));
    for row in rows {
        table.add_row(row.iter().map(|cell| match cell.colour {
            Some((colour, _)) => Column::new(&cell.text).fg(colour),
            None => Column::new(&cell.text),
        }));
    }
    let Some(width) = width else {
        table.force_no_tty();
        return table.to_string();
    };
    table.enforce_styling().set_width(u16::try_from(width).unwrap_or(u16::MAX));
    let needed: Vec<usize> = table.column_max_content_widths().into_iter().map(usize::from).collect();
    let Some((last, others)) = needed.split_last() else { return String::new() };
    // Each column has a blank on both sides, with one separator between two columns and a border at either end.
    let taken = others.iter().map(|needed| needed + 3).sum::<usize>() + 4;
    let left = width.saturating_sub(taken);
    // The last column's header may be an id.
    let wanted = TEXT_WIDTH.max(header[N - 1].chars().count());
    if left < wanted.min(*last) {
        return blocks(header, rows, width);
    }
    table.set_content_arrangement(ContentArrangement::Dynamic);
    for column in table.column_iter_mut().take(N - 1) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.to_string()
}

/// Formats each row as lines: the first two columns, the middle ones, the last one.
fn blocks<const N: usize>(header: [&str; N], rows: &[[Cell; N]], width: usize) -> String {
    let mut lines = Vec::new();
    // In a table of names and values the header holds the first value.
    if N == 2 {
        lines.push(format!("{}  {}", printable(header[0]), printable(header[1])));
    }
    for row in rows {
        let head: Vec<String> = row.iter().take(2).map(Cell::coloured).collect();
        lines.push(head.join("  "));
        let facts = header.iter().zip(row).skip(2).filter(|(_, cell)| cell.text != NOTHING);
        let mut line = String::new();
        for (index, (name, cell)) in facts.enumerate() {
            let fact = format!("{name} {}", cell.coloured());
            let is_last = *name == header[N - 1];
            if index > 0 && (is_last || line.chars().count() + fact.chars().count() + 4 > width) {
                lines.push(format!("  {line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push_str(", ");
            }
            line.push_str(&fact);
        }
        if !line.is_empty() {
            lines.push(format!("  {line}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 4] = ["transaction", "status", "amount", "error"];
    const ERROR: &str = "409: payments conflict: Error processing payment";

    fn rows() -> Vec<[Cell; 4]> {
        let row = |status, error| {
            [
                Cell::plain("01a20dc8-3e63-75c4-b33b-a023543ca3ed"),
                Cell::plain(status),
                Cell::plain("5.00"),
                Cell::plain(error),
            ]
        };
        vec![row("COMPENSATED", ERROR), row("COMPLETED", NOTHING)]
    }

    fn longest(table: &str) -> usize {
        table.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn a_table_without_a_terminal_is_as_wide_as_it_needs() {
        let long = "x".repeat(300);
        let table = arranged(["name", "state"], &[[Cell::plain(&long), Cell::state("COMPLETED")]], None);
        assert!(table.contains(&long), "{table}");
        assert!(!table.contains('\u{1b}'), "{table}");
    }

    #[test]
    fn only_the_last_column_is_broken_and_never_to_shreds() {
        for width in 40..200 {
            let table = arranged(HEADER, &rows(), Some(width));
            assert!(table.contains("01a20dc8-3e63-75c4-b33b-a023543ca3ed"), "{width}\n{table}");
            for word in ["COMPENSATED", "COMPLETED", "amount", "5.00", "conflict:", "processing"] {
                assert!(table.contains(word), "{word} at {width}\n{table}");
            }
            assert!(longest(&table) <= width.max(ERROR.chars().count() + 10), "{width}\n{table}");
            assert!(table.lines().count() < 10, "{width}\n{table}");
        }
        assert!(arranged(HEADER, &rows(), Some(200)).starts_with('┌'));
    }

    #[test]
    fn a_row_that_does_not_fit_is_a_block_of_lines() {
        let table = arranged(HEADER, &rows(), Some(60));
        let id = "01a20dc8-3e63-75c4-b33b-a023543ca3ed";
        let expected = format!("{id}  COMPENSATED\n  amount 5.00\n  error {ERROR}\n{id}  COMPLETED\n  amount 5.00");
        assert_eq!(table, expected);
    }

    #[test]
    fn names_and_values_that_do_not_fit_are_lines() {
        let facts = [[Cell::plain("status"), Cell::plain("COMPLETED")], [Cell::plain("error"), Cell::plain(ERROR)]];
        assert_eq!(arranged(["id", "7"], &facts, Some(20)), format!("id  7\nstatus  COMPLETED\nerror  {ERROR}"));
        let id = "01a20dc8-3e63-75c4-b33b-a023543ca3ed";
        assert!(arranged(["transaction", id], &facts, Some(50)).contains(id));
    }
}
