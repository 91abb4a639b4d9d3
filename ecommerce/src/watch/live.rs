//! The live view: counts and the newest sagas, redrawn until the user presses q.
//!
//! The terminal is restored however the view ends: by key, signal, error or panic (`ratatui::init` covers the panic).

use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures::StreamExt;
use ratatui::{
    DefaultTerminal, Frame,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Cell, Row, Table},
};
use serde::Deserialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::interval,
};

use super::{
    board::{Board, Row as Saga},
    change::Change,
};
use crate::{
    client::Target,
    ending::{Ended, Failure},
    list::STATUSES,
    output,
};

const REDRAW_EVERY: Duration = Duration::from_millis(100);
/// Interval of counts: a count uses an index but still has a cost.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Messages of the connection to the view.
pub(super) enum News {
    /// An event of this kind.
    Event(String, Box<Change>),
    /// New notice about the connection; empty clears it.
    Notice(String),
    /// The connection failed for good.
    Broken(Failure),
}

#[derive(Deserialize)]
struct Total {
    total: u64,
}

/// Shows the view until the user quits.
pub(super) async fn show(target: &Target, mut news: mpsc::Receiver<News>) -> Result<Ended, Failure> {
    let failed = |error| Failure::Broken(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut board = Board::default();
    // Before the terminal is taken over, so that a wrong address is an error in one line.
    count(target, &mut board).await?;
    let mut terminal = ratatui::try_init().map_err(|error| Failure::Broken(format!("no terminal: {error}")))?;
    let shown = tokio::select! {
        shown = draw_on(target, &mut terminal, &mut board, &mut news) => shown,
        _ = terminate.recv() => Ok(Ended::Done),
        _ = hangup.recv() => Ok(Ended::Done),
    };
    ratatui::restore();
    shown
}

async fn draw_on(
    target: &Target,
    terminal: &mut DefaultTerminal,
    board: &mut Board,
    news: &mut mpsc::Receiver<News>,
) -> Result<Ended, Failure> {
    let begun = Instant::now();
    let mut keys = EventStream::new();
    let mut redraw = interval(REDRAW_EVERY);
    let mut recount = interval(COUNT_EVERY);
    loop {
        tokio::select! {
            biased;
            key = keys.next() => match key {
                Some(Ok(event)) if is_end(&event) => return Ok(Ended::Done),
                Some(Ok(_)) => {}
                // No more input: no key can end the view any more.
                Some(Err(_)) | None => return Ok(Ended::Done),
            },
            _ = redraw.tick() => {
                let drawn = terminal.draw(|frame| draw(frame, board, begun.elapsed()));
                drawn.map_err(|error| Failure::Broken(format!("the terminal: {error}")))?;
            }
            _ = recount.tick(), if board.is_stale => {
                // A failed count is repeated later; the connection's notice gives the reason.
                let _ = count(target, board).await;
            }
            one = news.recv() => match one {
                Some(News::Event(kind, change)) => board.hear(&kind, &change),
                Some(News::Notice(notice)) => board.notice = notice,
                Some(News::Broken(failure)) => return Err(failure),
                None => return Ok(Ended::Done),
            },
        }
    }
}

fn is_end(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let is_ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_ctrl_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

/// Requests the number of sagas by status.
async fn count(target: &Target, board: &mut Board) -> Result<(), Failure> {
    board.is_stale = false;
    for status in STATUSES {
        let mut url = target.url(&["saga", "transactions"])?;
        url.query_pairs_mut().append_pair("status", status).append_pair("limit", "1");
        board.totals.insert(status, target.get(url).await?.read::<Total>()?.total);
    }
    Ok(())
}

fn draw(frame: &mut Frame, board: &Board, elapsed: Duration) {
    let [counts, sagas, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
    let mut words = Vec::new();
    for status in STATUSES {
        let count = board.totals.get(status).copied().unwrap_or(0);
        words.push(Span::styled(format!("{status} {count}   "), style(status)));
    }
    let rate = board.ended as f64 / elapsed.as_secs_f64().max(1.0);
    words.push(Span::raw(format!("{rate:.1} ended/s")));
    frame.render_widget(Line::from(words), counts);

    let columns = Columns::that_fit(sagas.width);
    let rows = board.rows.iter().take(usize::from(sagas.height)).map(|saga| columns.of(row(saga)));
    let widths = columns.of([
        Constraint::Length(12),
        Constraint::Length(36),
        Constraint::Length(12),
        Constraint::Length(38),
        Constraint::Fill(1),
    ]);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let header = columns.of(["time (UTC)", "transaction", "status", "steps", "error"]);
    let table = Table::new(rows.map(Row::new), widths)
        .header(Row::new(header).style(bold))
        .block(Block::bordered().title(" newest sagas "));
    frame.render_widget(table, sagas);

    let line = match (board.notice.is_empty(), board.rows.is_empty()) {
        (false, _) => Line::styled(output::printable(&board.notice), bold),
        (true, true) => Line::raw("no events yet: `ecommerce order --user me --amount 9.99` makes a purchase; q quits"),
        (true, false) => Line::raw("✓ done  ✗ refused  ↩ undone  ? unknown  … running     q quits"),
    };
    frame.render_widget(line, foot);
}

/// The columns that fit. The id, for `ecommerce status`, and the reason of a compensation have priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Columns {
    All,
    WithoutSteps,
    WithoutStepsAndTime,
}

impl Columns {
    fn that_fit(width: u16) -> Self {
        match width {
            130.. => Self::All,
            96..130 => Self::WithoutSteps,
            _ => Self::WithoutStepsAndTime,
        }
    }

    fn of<T>(self, [time, id, status, steps, error]: [T; 5]) -> Vec<T> {
        match self {
            Self::All => vec![time, id, status, steps, error],
            Self::WithoutSteps => vec![time, id, status, error],
            Self::WithoutStepsAndTime => vec![id, status, error],
        }
    }
}

fn row(saga: &Saga) -> [Cell<'_>; 5] {
    [
        Cell::from(output::printable(&saga.time)),
        Cell::from(output::printable(&saga.id)),
        Cell::from(Span::styled(output::printable(&saga.status), style(&saga.status))),
        Cell::from(output::printable(&saga.steps())),
        Cell::from(output::printable(&saga.error)),
    ]
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

    #[test]
    fn why_a_purchase_was_turned_back_is_seen_in_a_terminal_of_any_usual_width() {
        let id = "01a20dc8-3e63-75c4-b33b-a023543ca3ed";
        let mut board = Board::default();
        board.rows.push_front(Saga {
            id: id.to_owned(),
            status: "COMPENSATED".to_owned(),
            error: "409: payments conflict: Error processing payment".to_owned(),
            ..Saga::default()
        });
        for width in [80, 100, 120, 200] {
            let mut terminal = Terminal::new(TestBackend::new(width, 10)).unwrap();
            terminal.draw(|frame| draw(frame, &board, Duration::from_secs(1))).unwrap();
            let screen = terminal.backend().to_string();
            for word in [id, "COMPENSATED", "409: payments conflict"] {
                assert!(screen.contains(word), "{word} at {width}\n{screen}");
            }
        }
    }
}
