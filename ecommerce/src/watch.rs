//! `watch`: follows the changes of all purchases, or of one until its end.
//!
//! ```text
//! connect ─► a mark, then events ─► lines
//!    ▲                               │ the connection goes
//!    └── after a while, with the id of the last event ──┘
//! ```
//! Who comes back with the id of the last event misses nothing; where events are kept no longer, the server says so.
//! On a terminal all purchases are a live view, elsewhere lines.

mod board;
mod change;
mod live;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::Args;
use common::{http::MAX_ANSWER_BYTES, printable::printable_json};
use futures::{StreamExt, future::ready};
use reqwest::{Response, StatusCode};
use sse_stream::{Sse, SseByteStream};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use uuid::Uuid;

use self::{change::Change, live::News};
use crate::{
    client::{NotOpened, Target, transaction_id},
    ending::{Ended, Failure},
    output::{self, Reader},
};

/// The server speaks every 15 seconds, if only to say that it is there.
const SILENCE: Duration = Duration::from_secs(45);
/// The wait before the first attempt to come back; it doubles up to the longest one.
const COME_BACK_AFTER: Duration = Duration::from_millis(500);
const COME_BACK_AFTER_MAX: Duration = Duration::from_secs(10);
/// Events that wait for the view to take them; the server waits with more.
const NEWS: usize = 1024;
/// So much of a transaction id is shown: its end, since ids begin with the time.
const SHORT_ID: usize = 8;

/// The options of `watch`.
#[derive(Args)]
pub(crate) struct Watch {
    /// Only this purchase, until it ends: exit code 0 if it completed, 1 if not [default: all, until Ctrl-C]
    #[arg(value_parser = transaction_id)]
    id: Option<Uuid>,
    /// Lines instead of the live view, on a terminal too
    #[arg(long)]
    lines: bool,
    #[command(flatten)]
    target: Target,
}

/// Where what is heard goes.
enum Audience {
    /// Standard output, a line a change.
    Lines,
    /// The live view.
    View(mpsc::Sender<News>),
}

/// How a connection ended.
enum Left {
    /// There is no more to be seen.
    Over(Ended),
    /// It went; there is more to come.
    Lost,
}

impl Watch {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
        if !is_terminal || self.lines || self.target.json || self.id.is_some() {
            return self.listen(&Audience::Lines).await;
        }
        let (sender, news) = mpsc::channel(NEWS);
        let hearing = async {
            if let Err(failure) = self.listen(&Audience::View(sender.clone())).await {
                let _ = sender.send(News::Broken(failure)).await;
            }
            // The view decides when it has been seen enough.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            shown = live::show(&self.target, news) => shown,
            () = hearing => Ok(Ended::Done),
        }
    }

    /// Hears of changes until there is nothing more to hear; comes back where the connection is lost.
    async fn listen(&self, audience: &Audience) -> Result<Ended, Failure> {
        let mut url = self.target.url(&["saga", "events"])?;
        if let Some(id) = self.id {
            url.query_pairs_mut().append_pair("saga", &id.to_string());
        }
        let mut last_id = None;
        let mut has_worked = false;
        let mut wait = COME_BACK_AFTER;
        loop {
            match self.target.open(url.clone(), last_id.as_deref()).await {
                Ok(response) => {
                    if has_worked {
                        audience.notice("connected again", "").await;
                    }
                    has_worked = true;
                    wait = COME_BACK_AFTER;
                    if let Left::Over(ended) = self.follow(response, &mut last_id, audience).await? {
                        return Ok(ended);
                    }
                    let gone = "the connection is gone; trying to connect again";
                    audience.notice(gone, gone).await;
                }
                // It was there before, so it may be there again.
                Err(NotOpened::Unreachable(_)) if has_worked => {}
                Err(NotOpened::Refused(status, _)) if has_worked && is_passing(status) => {}
                Err(NotOpened::Unreachable(failure) | NotOpened::Refused(_, failure)) => return Err(failure),
            }
            sleep(wait).await;
            wait = (wait * 2).min(COME_BACK_AFTER_MAX);
        }
    }

    /// Shows events for as long as they come.
    async fn follow(
        &self,
        response: Response,
        last_id: &mut Option<String>,
        audience: &Audience,
    ) -> Result<Left, Failure> {
        let mut of_one_event = 0;
        let pieces = response.bytes_stream().take_while(|piece| {
            let piece = piece.as_deref().unwrap_or_default();
            let ends_one = piece.windows(2).any(|pair| pair == b"\n\n");
            of_one_event = if ends_one { 0 } else { of_one_event + piece.len() };
            ready(of_one_event <= MAX_ANSWER_BYTES)
        });
        let mut events = SseByteStream::new(pieces);
        // An end, an error and a silence are all a connection that is lost.
        while let Ok(Some(Ok(event))) = timeout(SILENCE, events.next()).await {
            let Sse { event, data, id, .. } = event;
            let Some(data) = data else {
                // A mark: how far the server has looked.
                *last_id = id.or(last_id.take());
                continue;
            };
            let kind = event.as_deref().unwrap_or_default();
            match audience {
                Audience::Lines => {
                    if let Some(ended) = self.shown(kind, &data)? {
                        return Ok(Left::Over(ended));
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
        Ok(Left::Lost)
    }

    /// Shows one event, and says whether it is the last one.
    fn shown(&self, kind: &str, data: &str) -> Result<Option<Ended>, Failure> {
        let change = Change::read(data)?;
        let line = match (self.target.json, kind) {
            (true, _) => Some(printable_json(data.trim_end())),
            (false, "saga") => Some(of_saga(&change)),
            (false, "step") => Some(of_step(&change)),
            (false, "gap") => {
                output::complain(&change.detail.unwrap_or_else(|| "events are missing".to_owned()));
                return Ok(None);
            }
            // Of a later version; whoever wants it takes the JSON.
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
    /// Says something of the connection: as a line, or as what stands in the view from now on.
    async fn notice(&self, line: &str, standing: &str) {
        match self {
            Audience::Lines => output::complain(line),
            Audience::View(view) => drop(view.send(News::Notice(standing.to_owned())).await),
        }
    }
}

/// Tells whether an error is of the kind that a server has while it stops, starts or is full.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn of_saga(change: &Change) -> String {
    let status = change.status.as_deref().unwrap_or("?");
    let mut line = format!("{}  {}", beginning(change), output::word(status));
    // Here the whole id is shown once, for copying.
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
    let time = change.time();
    let id = change.transaction_id.as_deref().unwrap_or_default();
    let short = id.get(id.len().saturating_sub(SHORT_ID)..).unwrap_or(id);
    format!("{}  …{}", output::printable(time), output::printable(short))
}

fn error(change: &Change) -> String {
    change.error.as_ref().map_or_else(String::new, |error| format!("  {}", output::printable(error)))
}
