//! `watch`: follows the changes of all purchases, or of one until it ends.
//!
//! ```text
//! connect ─► a mark, then events ─► lines
//!    ▲                               │ connection lost
//!    └── after a wait, with the id of the last event ──┘
//! ```
//! A client that reconnects with the id of the last event misses no event; if events are no longer kept, the server
//! reports a gap. On a terminal all purchases are shown as a live view, elsewhere as lines.

mod board;
mod change;
mod live;
mod screen;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::Args;
use common::http::MAX_ANSWER_BYTES;
use futures::{StreamExt, future::ready};
use reqwest::{Response, StatusCode};
use sse_stream::{Sse, SseByteStream};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use self::{change::Change, live::News};
use crate::{
    client::{NotOpened, Target},
    ending::{Ended, Failure},
    ids::{self, SagaId, saga_id},
    output::{self, Format, Reader},
};

/// Timeout of a silent connection: the server sends at least a keep-alive every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);
/// Wait before the first attempt to reconnect; it doubles up to the maximum.
const COME_BACK_AFTER: Duration = Duration::from_millis(500);
const COME_BACK_AFTER_MAX: Duration = Duration::from_secs(10);
/// Capacity of the queue of events for the view; when it is full, the connection exerts back-pressure on the server.
const NEWS: usize = 1024;
/// Shown characters of a transaction id: its end, since ids begin with the time.
const SHORT_ID: usize = 8;

#[derive(Args)]
pub(crate) struct Watch {
    /// Only this purchase, until it ends: exit code 0 if completed, else 1 [default: all, until Ctrl-C]
    #[arg(value_parser = saga_id, add = ids::completer())]
    id: Option<SagaId>,
    /// Print lines instead of the live view, even on a terminal
    #[arg(long)]
    lines: bool,
    #[command(flatten)]
    target: Target,
}

/// Destination of the events.
enum Audience {
    /// Standard output, one line per change.
    Lines,
    /// The live view.
    View(mpsc::Sender<News>),
}

/// The end of a connection.
enum StreamEnd {
    /// There are no more events to show.
    Over(Ended),
    /// The connection was lost; more events may follow.
    Lost,
}

impl Watch {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
        if !is_terminal || self.lines || self.target.output.is_document() || self.id.is_some() {
            return self.listen(&Audience::Lines).await;
        }
        let (sender, news) = mpsc::channel(NEWS);
        let hearing = async {
            if let Err(failure) = self.listen(&Audience::View(sender.clone())).await {
                let _ = sender.send(News::Broken(failure)).await;
            }
            // The view decides when to end.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            shown = live::show(&self.target, news) => shown,
            () = hearing => Ok(Ended::Done),
        }
    }

    /// Shows events until the watch is over; reconnects when the connection is lost.
    async fn listen(&self, audience: &Audience) -> Result<Ended, Failure> {
        let mut url = self.target.url(&["saga", "events"])?;
        if let Some(id) = &self.id {
            let id = self.target.find(id).await?;
            url.query_pairs_mut().append_pair("saga", &id.to_string());
        }
        let mut last_id = None;
        let mut has_worked = false;
        let mut wait = COME_BACK_AFTER;
        loop {
            match self.target.open(url.clone(), last_id.as_deref()).await {
                Ok(response) => {
                    if has_worked {
                        audience.notice("reconnected", "").await;
                    }
                    has_worked = true;
                    wait = COME_BACK_AFTER;
                    if let StreamEnd::Over(ended) = self.follow(response, &mut last_id, audience).await? {
                        return Ok(ended);
                    }
                    let gone = "connection lost; reconnecting";
                    audience.notice(gone, gone).await;
                }
                // The server worked before, so the error may pass.
                Err(NotOpened::Unreachable(_)) if has_worked => {}
                Err(NotOpened::Refused(status, _)) if has_worked && is_passing(status) => {}
                Err(NotOpened::Unreachable(failure) | NotOpened::Refused(_, failure)) => return Err(failure),
            }
            sleep(wait).await;
            wait = (wait * 2).min(COME_BACK_AFTER_MAX);
        }
    }

    /// Shows the events of one connection.
    async fn follow(
        &self,
        response: Response,
        last_id: &mut Option<String>,
        audience: &Audience,
    ) -> Result<StreamEnd, Failure> {
        let mut of_one_event = 0;
        let pieces = response.bytes_stream().take_while(|piece| {
            let piece = piece.as_deref().unwrap_or_default();
            let ends_one = piece.windows(2).any(|pair| pair == b"\n\n");
            of_one_event = if ends_one { 0 } else { of_one_event + piece.len() };
            ready(of_one_event <= MAX_ANSWER_BYTES)
        });
        let mut events = SseByteStream::new(pieces);
        // End of stream, error and silence all mean a lost connection.
        while let Ok(Some(Ok(event))) = timeout(SILENCE, events.next()).await {
            let Sse { event, data, id, .. } = event;
            let Some(data) = data else {
                // A mark: the server's position in the log of events.
                *last_id = id.or(last_id.take());
                continue;
            };
            let kind = event.as_deref().unwrap_or_default();
            match audience {
                Audience::Lines => {
                    if let Some(ended) = self.shown(kind, &data)? {
                        return Ok(StreamEnd::Over(ended));
                    }
                }
                Audience::View(view) => {
                    let change = Change::read(&data)?;
                    let news = match kind {
                        "gap" => News::Notice(change.detail.unwrap_or_else(|| "events are missing".to_owned())),
                        _ => News::Event(kind.to_owned(), Box::new(change)),
                    };
                    let _ = view.send(news).await;
                }
            }
            *last_id = id.or(last_id.take());
        }
        Ok(StreamEnd::Lost)
    }

    /// Shows one event; returns the outcome if it was the last one.
    fn shown(&self, kind: &str, data: &str) -> Result<Option<Ended>, Failure> {
        let change = Change::read(data)?;
        let format = self.target.output.format();
        let line = match (format.is_document(), kind) {
            // A stream of documents: a line each, or in YAML a separator before each.
            (true, _) if format == Format::Yaml => Some(format!("---\n{}", format.document(data))),
            (true, _) => Some(format.document(data)),
            (false, "saga") => Some(of_saga(&change)),
            (false, "step") => Some(of_step(&change)),
            (false, "gap") => {
                output::complain(&change.detail.unwrap_or_else(|| "events are missing".to_owned()));
                return Ok(None);
            }
            // An event of a later version; `--json` shows it.
            (false, _) => None,
        };
        if let Some(line) = line
            && output::print(&line)? == Reader::Gone
        {
            return Ok(Some(Ended::Done));
        }
        let is_last = self.id.is_some() && kind == "saga" && change.ended;
        Ok(match change.status.as_deref() {
            _ if !is_last => None,
            Some("COMPLETED") => Some(Ended::Done),
            _ => Some(Ended::Refused),
        })
    }
}

impl Audience {
    /// Reports a change of the connection: as a line, or as the view's standing notice.
    async fn notice(&self, line: &str, standing: &str) {
        match self {
            Audience::Lines => output::complain(line),
            Audience::View(view) => drop(view.send(News::Notice(standing.to_owned())).await),
        }
    }
}

/// Returns whether the status is typical of a server that is starting, stopping or overloaded.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn of_saga(change: &Change) -> String {
    let status = change.status.as_deref().unwrap_or("?");
    let mut line = format!("{}  {}", beginning(change), output::word(status));
    // The first line of a saga shows its whole id once, for copying.
    if status == "PENDING"
        && let Some(id) = &change.transaction_id
    {
        line.push_str(&format!("  {}", output::printable(id)));
    }
    line + &error(change)
}

fn of_step(change: &Change) -> String {
    let text = |text: &Option<String>| output::printable(text.as_deref().unwrap_or("?"));
    let attempt = match change.attempts {
        None | Some(0 | 1) => String::new(),
        Some(attempts) => format!(", attempt {attempts}"),
    };
    format!(
        "{}  {} ({}) {}{attempt}{}",
        beginning(change),
        text(&change.step),
        text(&change.participant),
        output::word(change.state.as_deref().unwrap_or("?")),
        error(change)
    )
}

/// The time of day in UTC, to the millisecond, and the end of the id.
fn beginning(change: &Change) -> String {
    let id = change.transaction_id.as_deref().unwrap_or_default();
    format!("{}  {}", output::printable(change.time()), output::printable(&short(id)))
}

/// Returns the end of an id, as the commands take it.
fn short(id: &str) -> String {
    let end = id.get(id.len().saturating_sub(SHORT_ID)..).unwrap_or(id);
    format!("…{end}")
}

fn error(change: &Change) -> String {
    change.error.as_ref().map_or_else(String::new, |error| format!("  {}", output::printable(error)))
}
