//! The state of one connection, derived from its messages.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use super::faults::Faults;

/// Text in the awaited writes of ledgers and saga log, and in no other statement.
const WRITES: [&str; 6] = [
    "insert into app_payment",
    "insert into stock_movement",
    "insert into app_purchase",
    "insert into step_journal",
    "insert into saga (",
    "insert into saga_event",
];

/// The type of the message that ends a batch of extended-protocol requests.
const SYNC: u8 = b'S';
const SIMPLE_QUERY: u8 = b'Q';

/// One connection, derived from its client's messages.
#[derive(Default)]
pub(super) struct Session {
    pub(super) database: String,
    /// Cancelled when the connection is to be cut.
    pub(super) cut: CancellationToken,
    has_started: bool,
    /// The texts of prepared statements, by name.
    prepared: HashMap<String, String>,
    is_in_transaction: bool,
    asked: usize,
    is_synced: bool,
}

/// The effect of a message on the server.
#[derive(Default)]
pub(super) struct Run {
    /// The text of the executed statement.
    pub(super) text: Option<String>,
    /// Whether it commits: by `commit`, or as a writing statement that is a transaction by itself.
    pub(super) commits: bool,
}

impl Session {
    /// Returns the first message, if it is complete. A connection's first message has no type byte.
    pub(super) fn next_message<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let typed = usize::from(self.has_started);
        let length = bytes.get(typed..typed + 4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes are four bytes"));
        bytes.get(..typed + length as usize)
    }

    /// Tracks a message of the client.
    pub(super) fn note(&mut self, message: &[u8], faults: &Faults) -> Run {
        if !self.has_started {
            self.has_started = true;
            self.database = database_in(message);
            self.cut = faults.cut_of(&self.database);
            return Run::default();
        }
        let text = String::from_utf8_lossy(&message[5..]);
        let mut texts = text.split('\0');
        let mut next = || texts.next().unwrap_or_default().to_owned();
        match message[0] {
            SIMPLE_QUERY => {
                let text = next();
                self.is_in_transaction =
                    text == "begin" || self.is_in_transaction && text != "commit" && text != "rollback";
                Run { commits: text == "commit", text: Some(text) }
            }
            b'P' => {
                let (name, text) = (next(), next());
                self.prepared.insert(name, text);
                Run::default()
            }
            b'B' => {
                let (_portal, name) = (next(), next());
                let text = self.prepared.get(&name).cloned();
                let writes = text.as_ref().is_some_and(|text| WRITES.iter().any(|write| text.contains(write)));
                Run { commits: writes && !self.is_in_transaction, text }
            }
            _ => Run::default(),
        }
    }

    /// Tracks a message forwarded to the server.
    pub(super) fn sent(&mut self, message: &[u8]) {
        let is_first = self.asked == 0;
        self.is_synced = is_first || matches!(message.first(), Some(&(SYNC | SIMPLE_QUERY)));
        self.asked += usize::from(self.is_synced);
    }

    /// Returns the number of requests that the server answers with "ready".
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    /// Returns whether the server answers the last forwarded message.
    pub(super) fn is_synced(&self) -> bool {
        self.is_synced
    }
}

/// Reads the database from a connection's first message: names and values, each zero-terminated.
fn database_in(startup: &[u8]) -> String {
    let text = String::from_utf8_lossy(startup);
    let mut parts = text.split('\0');
    parts.find(|part| *part == "database");
    parts.next().unwrap_or_default().to_owned()
}

/// Counts the "ready" messages in the bytes of a server.
#[derive(Default)]
pub(super) struct Replies {
    /// The received part of a message's type and length.
    head: Vec<u8>,
    /// Bytes of its body still to come.
    body: usize,
    answered: usize,
}

impl Replies {
    pub(super) fn answered(&self) -> usize {
        self.answered
    }

    pub(super) fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = bytes.len().min(if self.body > 0 { self.body } else { 5 - self.head.len() });
            let (these, rest) = bytes.split_at(taken);
            bytes = rest;
            if self.body > 0 {
                self.body -= taken;
                continue;
            }
            self.head.extend_from_slice(these);
            if let [kind, length @ ..] = &self.head[..]
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.answered += usize::from(*kind == b'Z');
                // The length includes itself.
                self.body = u32::from_be_bytes(length) as usize - length.len();
                self.head.clear();
            }
        }
    }
}
