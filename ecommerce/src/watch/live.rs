//! The live view: counts and the newest sagas, redrawn until the user presses q.
//!
//! The terminal is restored however the view ends: by key, signal, error or panic (`ratatui::init` covers the panic).

use std::{
    collections::BTreeMap,
    pin::pin,
    time::{Duration, Instant},
};

use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures::{
    FutureExt, StreamExt,
    future::{Fuse, FusedFuture},
};
use ratatui::DefaultTerminal;
use serde::Deserialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::interval,
};

use super::{board::Board, change::Change, screen::draw};
use crate::{
    client::Target,
    ending::{Ended, Failure},
    list::STATUSES,
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
    board.totals = totals(target).await?;
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
    // A server that hangs keeps no key waiting.
    let mut counting = pin!(Fuse::terminated());
    loop {
        tokio::select! {
            biased;
            key = keys.next() => match key {
                Some(Ok(event)) => {
                    if let After::Quit = pressed(&event, board) {
                        return Ok(Ended::Done);
                    }
                    redraw_now(terminal, board, begun)?;
                }
                // No more input: no key can end the view any more.
                Some(Err(_)) | None => return Ok(Ended::Done),
            },
            _ = redraw.tick() => redraw_now(terminal, board, begun)?,
            _ = recount.tick(), if board.is_stale && counting.is_terminated() => {
                board.is_stale = false;
                counting.set(totals(target).fuse());
            }
            counted = &mut counting => match counted {
                Ok(totals) => board.totals = totals,
                // The count is repeated; the connection's notice gives the reason.
                Err(_) => board.is_stale = true,
            },
            one = news.recv() => match one {
                Some(News::Event(kind, change)) => board.hear(&kind, &change),
                Some(News::Notice(notice)) => board.notice = notice,
                Some(News::Broken(failure)) => return Err(failure),
                None => return Ok(Ended::Done),
            },
        }
    }
}

fn redraw_now(terminal: &mut DefaultTerminal, board: &Board, begun: Instant) -> Result<(), Failure> {
    let drawn = terminal.draw(|frame| draw(frame, board, begun.elapsed()));
    drawn.map(drop).map_err(|error| Failure::Broken(format!("the terminal: {error}")))
}

/// The reaction to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Quit,
    Stay,
}

/// Handles a key: quits, or moves the selection. Esc deselects first.
fn pressed(event: &Event, board: &mut Board) -> After {
    let Event::Key(key) = event else { return After::Stay };
    if key.kind == KeyEventKind::Release {
        return After::Stay;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return After::Quit,
        KeyCode::Char('q') => return After::Quit,
        KeyCode::Esc if board.selected().is_none() => return After::Quit,
        KeyCode::Esc => board.deselect(),
        KeyCode::Down | KeyCode::Char('j') => board.select_next(),
        KeyCode::Up | KeyCode::Char('k') => board.select_previous(),
        KeyCode::Home | KeyCode::Char('g') => board.select(0),
        KeyCode::End | KeyCode::Char('G') => board.select(usize::MAX),
        _ => {}
    }
    After::Stay
}

/// Requests the number of sagas by status.
async fn totals(target: &Target) -> Result<BTreeMap<&'static str, u64>, Failure> {
    let mut totals = BTreeMap::new();
    for status in STATUSES {
        let mut url = target.url(&["saga", "transactions"])?;
        url.query_pairs_mut().append_pair("status", status).append_pair("limit", "1");
        totals.insert(status, target.get(url).await?.read::<Total>()?.total);
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_select_a_saga_and_quit() {
        let mut board = Board::default();
        for id in ["a", "b", "c"] {
            let change = Change { transaction_id: Some(id.to_owned()), ..Change::default() };
            board.hear("saga", &change);
        }
        let press = |board: &mut Board, code| pressed(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), board);
        for (code, place) in [
            (KeyCode::Down, Some(0)),
            (KeyCode::Char('j'), Some(1)),
            (KeyCode::End, Some(2)),
            (KeyCode::Up, Some(1)),
            (KeyCode::Home, Some(0)),
            (KeyCode::Char('x'), Some(0)),
            (KeyCode::Esc, None),
        ] {
            assert_eq!(press(&mut board, code), After::Stay, "{code:?}");
            assert_eq!(board.selected().map(|(index, _)| index), place, "{code:?}");
        }
        assert_eq!(press(&mut board, KeyCode::Esc), After::Quit, "nothing is selected any more");
        assert_eq!(press(&mut board, KeyCode::Char('q')), After::Quit);
        let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!(pressed(&interrupt, &mut board), After::Quit);
    }
}
