//! The contents of the live view: counts, the newest sagas, the selected one, and the keys.
//!
//! | columns of the terminal | a saga's row |
//! |---|---|
//! | 130 and more | time, id, status, steps, error |
//! | 96 to 129 | time, id, status, error |
//! | 60 to 95 | time, end of the id, status, error |
//! | less | end of the id, status, error |
//!
//! The end of an id is enough for every command. The selected saga is shown below with its whole id, its steps and its
//! error. Lines that do not fit are wrapped.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Block, Cell, Paragraph, Row, Table, TableState},
};

use super::{
    board::{Board, Row as Saga},
    short,
};
use crate::{
    list::STATUSES,
    output::{self, printable, wrapped},
};

/// Blanks between two counts or two keys.
const GAP: usize = 2;
/// Rows of the list that the selected saga leaves visible: header, borders and some sagas.
const LIST_HEIGHT_MIN: u16 = 6;

pub(super) fn draw(frame: &mut Frame, board: &Board, elapsed: Duration) {
    let area = frame.area();
    let width = usize::from(area.width);
    let counts = packed(counts(board, elapsed), width);
    let foot = foot(board, width);
    let selected = board.selected().map(|(_, saga)| details(saga, width.saturating_sub(2)));
    let height = |lines: &[Line]| Constraint::Length(u16::try_from(lines.len()).unwrap_or(u16::MAX));
    let details_height = selected.as_ref().map_or(0, |lines| {
        let wanted = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
        wanted.min(area.height.saturating_sub(LIST_HEIGHT_MIN))
    });
    let [counts_area, list_area, details_area, foot_area] =
        Layout::vertical([height(&counts), Constraint::Fill(1), Constraint::Length(details_height), height(&foot)])
            .areas(area);
    frame.render_widget(Text::from(counts), counts_area);
    draw_list(frame, board, list_area);
    if let Some(lines) = selected {
        frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" selected ")), details_area);
    }
    frame.render_widget(Text::from(foot), foot_area);
}

fn draw_list(frame: &mut Frame, board: &Board, area: Rect) {
    let columns = Columns::that_fit(area.width);
    let rows = board.rows.iter().map(|saga| Row::new(columns.of(cells(saga, columns))));
    let table = Table::new(rows, columns.of(columns.widths()))
        .header(Row::new(columns.of(["time (UTC)", "id", "status", "steps", "error"])).style(bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title(" newest first "));
    let mut state = TableState::new().with_selected(board.selected().map(|(index, _)| index));
    frame.render_stateful_widget(table, area, &mut state);
}

/// The numbers of sagas by status, and the rate of ends.
fn counts(board: &Board, elapsed: Duration) -> Vec<Span<'static>> {
    let of_status = |status: &'static str| {
        let count = board.totals.get(status).copied().unwrap_or(0);
        Span::styled(format!("{status} {count}"), style(status))
    };
    let rate = board.ended as f64 / elapsed.as_secs_f64().max(1.0);
    STATUSES.into_iter().map(of_status).chain([Span::raw(format!("{rate:.1} ended/s"))]).collect()
}

/// The notice about the connection, or the available keys.
fn foot(board: &Board, width: usize) -> Vec<Line<'static>> {
    if !board.notice.is_empty() {
        let lines = wrapped(&printable(&board.notice), width);
        return lines.into_iter().map(|line| Line::styled(line, bold())).collect();
    }
    if board.rows.is_empty() {
        let text = "no events yet: `ecommerce order --user me --amount 9.99` makes a purchase; q quits";
        return wrapped(text, width).into_iter().map(Line::raw).collect();
    }
    let mut words = vec!["↑↓ select", "q quits"];
    if board.selected().is_some() {
        words.insert(1, "Esc deselects");
    }
    let shows_steps =
        board.selected().is_some() || Columns::that_fit(u16::try_from(width).unwrap_or(u16::MAX)) == Columns::All;
    if shows_steps {
        words.extend(["✓ done", "✗ refused", "↩ undone", "? unknown", "… running"]);
    }
    packed(words.into_iter().map(Span::raw).collect(), width)
}

/// The selected saga: whole id, status, steps, error.
fn details(saga: &Saga, width: usize) -> Vec<Line<'static>> {
    let mut lines = packed(
        vec![Span::styled(printable(&saga.id), bold()), Span::styled(printable(&saga.status), style(&saga.status))],
        width,
    );
    for text in [saga.steps(), saga.error.clone()].into_iter().filter(|text| !text.is_empty()) {
        lines.extend(wrapped(&printable(&text), width).into_iter().map(Line::raw));
    }
    lines
}

/// Packs words into as few lines as the width allows; no word is broken.
fn packed(words: Vec<Span<'static>>, width: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.width() + GAP + word.width() <= width => {
                line.push_span(Span::raw(" ".repeat(GAP)));
                line.push_span(word);
            }
            _ => lines.push(Line::from(word)),
        }
    }
    lines
}

/// The columns that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Columns {
    All,
    WithoutSteps,
    WithShortId,
    WithShortIdAndNoTime,
}

impl Columns {
    fn that_fit(width: u16) -> Self {
        match width {
            130.. => Self::All,
            96..130 => Self::WithoutSteps,
            60..96 => Self::WithShortId,
            _ => Self::WithShortIdAndNoTime,
        }
    }

    fn has_whole_id(self) -> bool {
        match self {
            Self::All | Self::WithoutSteps => true,
            Self::WithShortId | Self::WithShortIdAndNoTime => false,
        }
    }

    fn widths(self) -> [Constraint; 5] {
        let id = if self.has_whole_id() { 36 } else { 9 };
        [
            Constraint::Length(12),
            Constraint::Length(id),
            Constraint::Length(12),
            Constraint::Length(38),
            Constraint::Fill(1),
        ]
    }

    fn of<T>(self, [time, id, status, steps, error]: [T; 5]) -> Vec<T> {
        match self {
            Self::All => vec![time, id, status, steps, error],
            Self::WithoutSteps | Self::WithShortId => vec![time, id, status, error],
            Self::WithShortIdAndNoTime => vec![id, status, error],
        }
    }
}

fn cells(saga: &Saga, columns: Columns) -> [Cell<'static>; 5] {
    let id = if columns.has_whole_id() { saga.id.clone() } else { short(&saga.id) };
    [
        Cell::from(printable(&saga.time)),
        Cell::from(printable(&id)),
        Cell::from(Span::styled(printable(&saga.status), style(&saga.status))),
        Cell::from(printable(&saga.steps())),
        Cell::from(printable(&saga.error)),
    ]
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn style(status: &str) -> Style {
    if !output::has_colours() {
        return Style::new();
    }
    match status {
        "COMPLETED" => Style::new().fg(Color::Green),
        "COMPENSATED" | "COMPENSATING" => Style::new().fg(Color::Yellow),
        "FAILED" => Style::new().fg(Color::Red),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    const ID: &str = "01a20dc8-3e63-75c4-b33b-a023543ca3ed";
    const ERROR: &str = "409: payments conflict: Error processing payment";

    fn board() -> Board {
        let mut board = Board::default();
        board.rows.push_front(Saga {
            id: ID.to_owned(),
            status: "COMPENSATED".to_owned(),
            steps: vec![("choose".to_owned(), "done".to_owned()), ("charge".to_owned(), "refused".to_owned())],
            error: ERROR.to_owned(),
            ..Saga::default()
        });
        for status in STATUSES {
            board.totals.insert(status, 123_456);
        }
        board
    }

    /// Draws the view and returns its lines.
    fn screen(board: &Board, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, board, Duration::from_secs(1))).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn every_width_shows_the_counts_the_end_of_the_id_the_status_and_the_error() {
        for width in [40, 60, 80, 100, 120, 200] {
            let screen = screen(&board(), width, 12);
            let counts = STATUSES.map(|status| format!("{status} 123456"));
            let words = ["543ca3ed", "COMPENSATED", "409: paymen", "q quits", "0.0 ended/s"];
            for word in words.into_iter().chain(counts.iter().map(String::as_str)) {
                assert!(screen.contains(word), "{word} at {width}\n{screen}");
            }
            assert_eq!(screen.contains(ID), width >= 96, "the whole id at {width}\n{screen}");
        }
    }

    #[test]
    fn the_selected_saga_is_shown_whole_at_every_width() {
        let mut board = board();
        board.select_next();
        for width in [40, 80, 200] {
            let screen = screen(&board, width, 24);
            for word in [ID, "choose✓", "charge✗", "409:", "conflict:", "processing", "Esc deselects", "✓ done"] {
                assert!(screen.contains(word), "{word} at {width}\n{screen}");
            }
        }
    }

    #[test]
    fn a_notice_and_the_invitation_are_wrapped() {
        let mut board = Board::default();
        let first = screen(&board, 40, 10);
        assert!(first.contains("9.99`") && first.contains("makes a purchase; q") && first.contains("quits"), "{first}");
        board.notice = "connection lost; reconnecting to the orchestrator".to_owned();
        let lost = screen(&board, 40, 10);
        assert!(lost.contains("connection lost") && lost.contains("orchestrator"), "{lost}");
    }

    #[test]
    fn a_terminal_of_a_few_lines_does_not_break_it() {
        let mut board = board();
        board.select_next();
        for (width, height) in [(1, 1), (10, 3), (40, 6), (300, 2)] {
            assert!(!screen(&board, width, height).is_empty());
        }
    }
}
