//! A participant that knows nothing of this workspace's services: bookings in memory, correct or with one fault.
//!
//! It is for tests of the rules themselves: each [`Fault`] is a mistake that participants have.

use std::{collections::HashMap, iter, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle, time::sleep};
use warp::{
    Filter,
    http::{Method, Response, StatusCode},
    path::FullPath,
};

/// The city whose bookings are refused.
pub const REFUSED_CITY: &str = "Atlantis";

/// Pause of a slow or unsafe fault.
const PAUSE: Duration = Duration::from_millis(30);

/// A mistake of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answers 202 before anything is decided.
    AnswersBeforeItDecides,
    /// A repeat books again, and gets the first answer.
    BooksAgain,
    /// A repeat books nothing, and gets another answer.
    OtherAnswer,
    /// Repeats wait for each other for long.
    SlowLock,
    /// Other contents under a key that is taken get the first answer.
    IgnoresContents,
    /// A compensation answers 200 although the booking stays.
    KeepsBooking,
    /// A repeated compensation is a 404.
    ForgetsCompensation,
    /// A compensated action gets its first answer again.
    RepeatsUndoneAction,
    /// A compensation that comes first leaves nothing behind.
    NoTombstone,
    /// A compensation looks for its action, and only later takes the key.
    LooksBeforeItLocks,
    /// A refusal is a 409 like any other.
    NoDecision,
    /// A repeated refusal is decided again.
    DecidesAgain,
    /// The compensation of a refused action is a 409.
    RefusesUndo,
    /// A body is read inside the transaction.
    ReadsUnderLock,
    /// The booking is committed before its journal row.
    BooksBeforeJournal,
    /// The journal is in memory, and the bookings are not.
    JournalInMemory,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::AnswersBeforeItDecides,
        Self::BooksAgain,
        Self::OtherAnswer,
        Self::SlowLock,
        Self::IgnoresContents,
        Self::KeepsBooking,
        Self::ForgetsCompensation,
        Self::RepeatsUndoneAction,
        Self::NoTombstone,
        Self::LooksBeforeItLocks,
        Self::NoDecision,
        Self::DecidesAgain,
        Self::RefusesUndo,
        Self::ReadsUnderLock,
        Self::BooksBeforeJournal,
        Self::JournalInMemory,
    ];
}

/// A running participant; it ends when dropped.
pub struct ForeignParticipant {
    /// Its address.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    fault: Option<Fault>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    journal: HashMap<String, Entry>,
    /// Bookings by saga.
    bookings: HashMap<String, Vec<u64>>,
    newest: u64,
    decisions: u64,
    /// The entries that the journal shows instead of the truth, by saga.
    falsified: HashMap<String, Vec<Value>>,
}

/// A row of the journal.
#[derive(Clone, Default)]
struct Entry {
    contents: Value,
    status: u16,
    reply: Value,
    /// The state in which the compensation found the action.
    found: Option<&'static str>,
}

type Answer = Response<String>;

impl ForeignParticipant {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(fault: Option<Fault>) -> Self {
        let shared = Arc::new(Shared { fault, state: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let serving = shared.clone();
        let routes = warp::method().and(warp::path::full()).and(warp::body::stream()).then(
            move |method: Method, path: FullPath, body| {
                let shared = serving.clone();
                async move { shared.answer(&method, path.as_str(), body).await }
            },
        );
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let service = TowerToHyperService::new(warp::service(routes.clone()));
                // Clients that cut their connections are part of the tests, so errors are not logged.
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(connection), service).await;
                });
            }
        });
        Self { address, shared, server }
    }

    /// Changes only the journal's entries of a saga.
    pub async fn falsify(&self, saga: &str, change: impl FnOnce(&mut Vec<Value>)) {
        let mut state = self.shared.state.lock().await;
        let mut shown = state.shown(saga);
        change(&mut shown);
        state.falsified.insert(saga.to_owned(), shown);
    }

    /// Restarts it: state that is only in memory is lost.
    pub async fn restart(&self) {
        if self.shared.fault == Some(Fault::JournalInMemory) {
            self.shared.state.lock().await.journal.clear();
        }
    }

    /// The file of `ecommerce conformance` for it.
    pub fn plan(&self) -> String {
        // Faults that show by a silence need a short limit, for a short test; for the rest a busy machine is not silent.
        let timeout_ms = match self.shared.fault {
            Some(Fault::SlowLock | Fault::ReadsUnderLock) => 1_500,
            _ => 20_000,
        };
        format!(
            r#"
            url = "http://{}"
            step = "booking"
            timeout_ms = {timeout_ms}
            [action]
            path = "/bookings"
            body = {{ transaction_id = "{{saga.id}}", city = "Lima" }}
            [compensation]
            method = "DELETE"
            path = "/bookings/{{saga.id}}"
            [other_contents]
            body = {{ city = "Cusco" }}
            [refusal]
            body = {{ city = "{REFUSED_CITY}" }}
            [effects]
            path = "/bookings/{{saga.id}}"
            count = "/bookings"
            "#,
            self.address
        )
    }
}

impl Drop for ForeignParticipant {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    async fn answer(
        &self,
        method: &Method,
        path: &str,
        body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send,
    ) -> Answer {
        let saga = path.trim_start_matches("/bookings").trim_start_matches('/').to_owned();
        match method.as_str() {
            "POST" if self.is(Fault::ReadsUnderLock) => {
                let mut state = self.state.lock().await;
                let Some(body) = read(body).await else { return plain(400, &json!({})) };
                self.book(&mut state, &body)
            }
            "POST" => match read(body).await {
                Some(body) => self.act(&body).await,
                None => plain(400, &json!({})),
            },
            "DELETE" => self.cancel(saga).await,
            _ if path.starts_with("/journal/") => {
                let saga = path.trim_start_matches("/journal/").trim_end_matches('/');
                let entries = self.state.lock().await.shown(saga);
                plain(200, &json!({ "transaction_id": saga, "entries": entries }))
            }
            _ => {
                let live = self.state.lock().await.bookings.get(&saga).cloned().unwrap_or_default();
                plain(200, &json!({ "bookings": live }))
            }
        }
    }

    async fn act(&self, body: &Value) -> Answer {
        let mut state = self.state.lock().await;
        if self.is(Fault::SlowLock) {
            sleep(PAUSE).await;
        }
        if self.is(Fault::BooksBeforeJournal) && !state.journal.contains_key(&saga_of(body)) {
            let saga = saga_of(body);
            let booking = state.insert(&saga);
            // A client that is cut off cancels this.
            sleep(4 * PAUSE).await;
            state.bookings.get_mut(&saga).expect("booked").retain(|known| *known != booking);
        }
        self.book(&mut state, body)
    }

    fn book(&self, state: &mut State, body: &Value) -> Answer {
        let saga = saga_of(body);
        let entry = match state.journal.get(&saga).cloned() {
            Some(entry) => return self.repeat(state, &saga, body, &entry),
            None => self.decide(state, &saga, body),
        };
        state.journal.insert(saga, entry.clone());
        self.decided(&entry)
    }

    fn repeat(&self, state: &mut State, saga: &str, body: &Value, entry: &Entry) -> Answer {
        if entry.found.is_some() && !(self.is(Fault::RepeatsUndoneAction) && entry.status == 200) {
            return self.decided(&Entry { status: 409, reply: json!({ "error": "compensated" }), ..Entry::default() });
        }
        if entry.contents != body["city"] && !self.is(Fault::IgnoresContents) {
            return plain(422, &json!({ "error": "other contents" }));
        }
        match self.fault {
            Some(Fault::BooksAgain) if entry.status == 200 => {
                state.insert(saga);
                self.decided(entry)
            }
            Some(Fault::OtherAnswer) if entry.status == 200 => {
                state.newest += 1;
                self.decided(&Entry { reply: json!({ "booking_id": state.newest }), ..entry.clone() })
            }
            Some(Fault::DecidesAgain) if entry.status == 409 => {
                let entry = self.decide(state, saga, body);
                state.journal.insert(saga.to_owned(), entry.clone());
                self.decided(&entry)
            }
            _ => self.decided(entry),
        }
    }

    /// Decides a booking; the fault's coin shows its other side every other time.
    fn decide(&self, state: &mut State, saga: &str, body: &Value) -> Entry {
        state.decisions += 1;
        let is_refused = body["city"] == REFUSED_CITY;
        let is_lucky =
            self.is(Fault::DecidesAgain) && state.journal.contains_key(saga) && state.decisions.is_multiple_of(2);
        let (status, reply) = if is_refused && !is_lucky {
            (409, json!({ "error": "no airport" }))
        } else {
            (200, json!({ "booking_id": state.insert(saga) }))
        };
        Entry { contents: body["city"].clone(), status, reply, found: None }
    }

    fn decided(&self, entry: &Entry) -> Answer {
        match entry.status {
            200 if self.is(Fault::AnswersBeforeItDecides) => plain(202, &json!({})),
            409 if !self.is(Fault::NoDecision) => with_header(plain(409, &entry.reply), "saga-decision", "refused"),
            status => plain(status, &entry.reply),
        }
    }

    async fn cancel(&self, saga: String) -> Answer {
        if self.is(Fault::LooksBeforeItLocks) && !self.state.lock().await.journal.contains_key(&saga) {
            sleep(PAUSE).await;
            let tombstone = Entry { found: Some("none"), ..Entry::default() };
            self.state.lock().await.journal.insert(saga, tombstone);
            return with_header(plain(200, &json!({ "status": "cancelled" })), "saga-action", "none");
        }
        let mut state = self.state.lock().await;
        let before = state.journal.get(&saga).cloned();
        let found = match &before {
            None => "none",
            Some(Entry { found: Some(_), .. }) if self.is(Fault::ForgetsCompensation) => return plain(404, &json!({})),
            Some(Entry { found: Some(found), .. }) => found,
            Some(Entry { status: 200, .. }) => "done",
            Some(_) if self.is(Fault::RefusesUndo) => return plain(409, &json!({ "error": "nothing to undo" })),
            Some(_) => "refused",
        };
        if !self.is(Fault::KeepsBooking) {
            state.bookings.remove(&saga);
        }
        if before.is_some() || !self.is(Fault::NoTombstone) {
            state.journal.insert(saga, Entry { found: Some(found), ..before.unwrap_or_default() });
        }
        with_header(plain(200, &json!({ "status": "cancelled" })), "saga-action", found)
    }
}

impl State {
    /// Returns the journal's entries of a saga.
    fn shown(&self, saga: &str) -> Vec<Value> {
        if let Some(shown) = self.falsified.get(saga) {
            return shown.clone();
        }
        let Some(entry) = self.journal.get(saga) else { return Vec::new() };
        let is_tombstone = entry.found == Some("none");
        let action = journal_entry("action", if is_tombstone { 409 } else { entry.status }, is_tombstone);
        let compensation = entry.found.map(|_| journal_entry("compensation", 200, false));
        iter::once(action).chain(compensation).collect()
    }

    fn insert(&mut self, saga: &str) -> u64 {
        self.newest += 1;
        self.bookings.entry(saga.to_owned()).or_default().push(self.newest);
        self.newest
    }
}

/// Makes an entry of `GET /journal/{saga id}/`.
pub fn journal_entry(operation: &str, status: u16, is_tombstone: bool) -> Value {
    json!({
        "operation": operation, "status": status, "reply": {}, "decided_at": "2026-11-29T12:00:00Z",
        "from_saga": true, "tombstone": is_tombstone
    })
}

fn saga_of(body: &Value) -> String {
    body["transaction_id"].as_str().unwrap_or_default().to_owned()
}

async fn read(body: impl Stream<Item = Result<impl Buf, warp::Error>>) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut body = std::pin::pin!(body);
    while let Some(piece) = body.next().await {
        let mut piece = piece.ok()?;
        bytes.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    serde_json::from_slice(&Bytes::from(bytes)).ok()
}

fn plain(status: u16, body: &Value) -> Answer {
    let mut answer = Response::new(body.to_string());
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

fn with_header(mut answer: Answer, name: &'static str, value: &'static str) -> Answer {
    answer.headers_mut().insert(name, warp::http::HeaderValue::from_static(value));
    answer
}
