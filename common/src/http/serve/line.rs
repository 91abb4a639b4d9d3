//! The state shared by a connection, its requests and its bytes, and the time limits that follow from it.
//!
//! ```text
//! fresh ─► idle ─ first byte ─► head ─ request ─► at work ─ answer handed over ─► idle …
//!          idle_timeout         header_timeout    write_timeout, while the client reads nothing
//! ```
//! Requests set no timers. Their times are recorded and checked at intervals no longer than the shortest limit: a phase
//! that begins after a check cannot expire before the next one.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use hyper::StatusCode;
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The first bytes of an HTTP/2 client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of a head is kept to explain errors in it.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Buffer kept for the next head: nearly all heads fit.
const USUAL_HEAD_BYTES: usize = 2 * 1024;

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

/// A time limit that has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A head has begun and is not complete.
    Head,
    /// No request came.
    Idle,
    /// The client does not read its answer.
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    Http2,
}

/// The state of the answer to an invalid head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    None,
    /// Answered; the client may still be sending.
    Said,
    /// To be answered with this status.
    Unsaid(StatusCode),
}

/// The state of a connection.
pub(super) struct Line {
    times: Times,
    state: Mutex<State>,
    /// Number of answers that are event streams.
    streams: AtomicUsize,
    /// Whether the client was waited for: the socket had nothing to read.
    waited: AtomicBool,
    /// Whether the next answer is the last one.
    is_last: AtomicBool,
    /// Notified if an answer cuts the connection, or if its place is needed.
    pub(super) cut: Notify,
    /// Notified if the connection must end after the answers in transit.
    pub(super) last: Notify,
}

struct State {
    protocol: Protocol,
    /// Requests whose answers are not handed over yet.
    at_work: usize,
    idle_since: Instant,
    /// The bytes of the next head so far (HTTP/1).
    head: Vec<u8>,
    head_began: Option<Instant>,
    /// Answers with data that the client has yet to read, and when it last read some.
    untaken: usize,
    taken_at: Instant,
    /// Start of the time in which the socket accepts no data.
    blocked_since: Option<Instant>,
    refusal: Refusal,
    /// The socket, once HTTP has ended on it.
    left: Option<TcpStream>,
}

impl Line {
    pub(super) fn new(times: Times) -> Self {
        let now = Instant::now();
        let state = State {
            protocol: Protocol::Unknown,
            at_work: 0,
            idle_since: now,
            head: Vec::new(),
            head_began: None,
            untaken: 0,
            taken_at: now,
            blocked_since: None,
            refusal: Refusal::None,
            left: None,
        };
        Self {
            times,
            state: Mutex::new(state),
            streams: AtomicUsize::new(0),
            waited: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            cut: Notify::new(),
            last: Notify::new(),
        }
    }

    /// Tells whether no request is in progress. A new connection that was not read yet may have one.
    pub(super) fn is_idle(&self) -> bool {
        self.waited.load(Ordering::Relaxed) && !self.is_at_work()
    }

    /// Notes that the socket has nothing to read.
    pub(super) fn wait(&self) {
        self.waited.store(true, Ordering::Relaxed);
    }

    /// Makes the next answer the last one of an HTTP/1 connection.
    pub(super) fn end_with_next_answer(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    pub(super) fn ends_with_next_answer(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    pub(super) fn speaks_http2(&self) -> bool {
        self.state.lock().protocol == Protocol::Http2
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.state.lock().at_work > 0
    }

    pub(super) fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > 0
    }

    /// Records bytes read. Between requests they belong to the next head.
    pub(super) fn read(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        if state.at_work > 0 || state.protocol == Protocol::Http2 || bytes.is_empty() {
            return;
        }
        let room = MAX_HEAD_BYTES.saturating_sub(state.head.len());
        state.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // The client's settings belong to the preface.
        if state.head.len() > PREFACE.len() && state.head.starts_with(PREFACE) {
            state.protocol = Protocol::Http2;
            state.head = Vec::new();
            state.head_began = None;
            state.idle_since = Instant::now();
        } else if state.head_began.is_none() {
            state.head_began = Some(Instant::now());
        }
    }

    /// Records the arrival of a request.
    pub(super) fn begin(&self, version: hyper::Version) {
        let mut state = self.state.lock();
        state.at_work += 1;
        state.protocol = if version == hyper::Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 };
        state.head.clear();
        state.head.shrink_to(USUAL_HEAD_BYTES);
        state.head_began = None;
    }

    /// Records that an answer was handed over, or never will be.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.at_work -= 1;
        if state.at_work == 0 {
            state.idle_since = Instant::now();
        }
    }

    /// Records that an answer has data for the client.
    pub(super) fn offer(&self) {
        let mut state = self.state.lock();
        state.untaken += 1;
        state.taken_at = Instant::now();
    }

    /// Records that the client read some data and more is left.
    pub(super) fn take_some(&self) {
        self.state.lock().taken_at = Instant::now();
    }

    /// Records that the client read all data that an answer has for now.
    pub(super) fn take_all(&self) {
        let mut state = self.state.lock();
        state.untaken -= 1;
        state.taken_at = Instant::now();
    }

    pub(super) fn stream_began(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stream_ended(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Records that the socket accepts no data, if that is not recorded yet.
    pub(super) fn blocked(&self) {
        self.state.lock().blocked_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn unblocked(&self) {
        self.state.lock().blocked_since = None;
    }

    /// Detects and records a refusal by hyper in the bytes it writes: an answer without a request, and without the
    /// request id that all our answers have.
    pub(super) fn is_refusal(&self, written: &[u8]) -> bool {
        let Some(status) = written.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)) else { return false };
        let Some(status) = StatusCode::from_bytes(status).ok().filter(StatusCode::is_client_error) else {
            return false;
        };
        let mut state = self.state.lock();
        let of_ours = || written.windows(REQUEST_ID_LINE.len()).any(|part| part == REQUEST_ID_LINE);
        if state.at_work > 0 || of_ours() {
            return false;
        }
        state.refusal = Refusal::Unsaid(status);
        true
    }

    /// Records that the client is refused by an answer in transit.
    pub(super) fn refuse(&self) {
        self.state.lock().refusal = Refusal::Said;
    }

    pub(super) fn refusal(&self) -> Refusal {
        self.state.lock().refusal
    }

    /// Returns the bytes of the next head, if the client may understand an HTTP/1 answer.
    pub(super) fn take_head(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        let head = std::mem::take(&mut state.head);
        (state.protocol != Protocol::Http2 && !head.starts_with(b"PRI")).then_some(head)
    }

    pub(super) fn leave(&self, stream: TcpStream) {
        self.state.lock().left = Some(stream);
    }

    pub(super) fn take_stream(&self) -> Option<TcpStream> {
        self.state.lock().left.take()
    }

    /// Waits until a time limit expires.
    pub(super) async fn overdue(&self) -> Overdue {
        loop {
            match self.look(Instant::now()) {
                Ok(next) => sleep_until(next).await,
                Err(overdue) => return overdue,
            }
        }
    }

    /// Returns the time of the next check, or the limit that has expired.
    fn look(&self, now: Instant) -> Result<Instant, Overdue> {
        let Times { head, idle, write } = self.times;
        let state = self.state.lock();
        let is_idle = state.at_work == 0 && state.head_began.is_none();
        let due = [
            (state.blocked_since.map(|since| since + write), Overdue::Write),
            ((state.untaken > 0).then_some(state.taken_at + write), Overdue::Write),
            (state.head_began.map(|since| since + head), Overdue::Head),
            (is_idle.then_some(state.idle_since + idle), Overdue::Idle),
        ];
        let mut next = now + head.min(idle).min(write);
        for (at, what) in due {
            match at {
                Some(at) if at <= now => return Err(what),
                Some(at) => next = next.min(at),
                None => {}
            }
        }
        Ok(next)
    }
}

const REQUEST_ID_LINE: &[u8] = b"\r\nx-request-id: ";

#[cfg(test)]
mod tests;
