//! Answers of the participant, and what the protocol says about each.

use std::{fmt, time::Duration};

use bytes::Bytes;
use common::{printable::printable, wire};
use serde_json::Value;

/// Maximum length of a body in a message, in characters.
const SHOWN_CHARS: usize = 160;

/// The result of a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Reply(Reply),
    /// No answer, with the reason.
    Nothing(String),
}

/// The parts of an answer that the protocol names.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The header `Saga-Decision`.
    pub(super) decision: Option<String>,
    /// The header `Saga-Action`.
    pub(super) action: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// A participant's decision about an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Done,
    Refused,
}

impl Answer {
    /// Whether the outcome is unknown and the request is to be repeated with the same key.
    pub(super) fn asks_again(&self) -> Option<Duration> {
        const DEFAULT_WAIT: Duration = Duration::from_millis(100);
        match self {
            Self::Reply(reply) if matches!(reply.status, 425 | 429 | 503) => {
                Some(reply.retry_after.unwrap_or(DEFAULT_WAIT))
            }
            Self::Reply(_) | Self::Nothing(_) => None,
        }
    }

    /// Reads the decision about an action.
    pub(super) fn decision(&self) -> Result<Decision, String> {
        let expected = "expected any 2xx but 202, or 409 with Saga-Decision: refused";
        match self {
            Self::Nothing(reason) => Err(reason.clone()),
            Self::Reply(Reply { status: 409, decision: None, .. }) => {
                Err("a 409 without Saga-Decision: refused is not a recorded refusal".to_owned())
            }
            Self::Reply(reply) => match (reply.status, reply.decision.as_deref()) {
                (409, Some(wire::REFUSED)) => Ok(Decision::Refused),
                (202, _) => Err(format!("a 202 decides nothing; {expected}")),
                (200..=299, None) => Ok(Decision::Done),
                (401 | 403, _) => Err(format!("{expected}; is token right?")),
                (_, None) => Err(expected.to_owned()),
                (_, Some(_)) => Err("only a 409 has Saga-Decision, and its only value is refused".to_owned()),
            },
        }
    }

    pub(super) fn expect(&self, expected: Decision) -> Result<(), String> {
        match (self.decision()?, expected) {
            (Decision::Done, Decision::Refused) => {
                Err("expected a refusal: 409 with Saga-Decision: refused".to_owned())
            }
            (Decision::Refused, Decision::Done) => Err("expected any 2xx but 202, not a refusal".to_owned()),
            (Decision::Done, Decision::Done) | (Decision::Refused, Decision::Refused) => Ok(()),
        }
    }

    /// Checks that a compensation is confirmed, and what it says that it found.
    pub(super) fn confirms(&self, found: &[&str]) -> Result<(), String> {
        let reply = match self {
            Self::Nothing(reason) => return Err(reason.clone()),
            Self::Reply(reply) => reply,
        };
        match (reply.status, &reply.decision, reply.action.as_deref()) {
            (202, ..) | (..=199 | 300.., ..) => {
                Err("a compensation is confirmed by any 2xx but 202, whatever it finds".to_owned())
            }
            (_, Some(_), _) => Err("only the 409 of an action has Saga-Decision".to_owned()),
            (_, None, Some(action)) if !found.contains(&action) => {
                Err(format!("Saga-Action is {}, if it is sent", found.join(" or ")))
            }
            (_, None, _) => Ok(()),
        }
    }

    /// Checks that a request with other contents is turned down.
    pub(super) fn expect_contents_differ(&self) -> Result<(), String> {
        match self {
            Self::Nothing(reason) => Err(reason.clone()),
            Self::Reply(Reply { status: 422, decision: None, .. }) => Ok(()),
            Self::Reply(Reply { status: 422, .. }) => Err("a 422 has no Saga-Decision".to_owned()),
            Self::Reply(_) => Err("other contents under a key that is taken are answered 422".to_owned()),
        }
    }

    /// Checks that a repeat got the first answer again: status, decision and body.
    pub(super) fn expect_same(&self, first: &Self) -> Result<(), String> {
        match (self, first) {
            (Self::Nothing(reason), _) | (_, Self::Nothing(reason)) => Err(reason.clone()),
            (Self::Reply(again), Self::Reply(first)) if again.status != first.status => {
                Err(format!("the repeat is answered {} after {}", again.status, first.status))
            }
            (Self::Reply(again), Self::Reply(first)) if again.decision != first.decision => {
                Err("the repeat has another Saga-Decision".to_owned())
            }
            (Self::Reply(again), Self::Reply(first)) if again.contents() != first.contents() => {
                Err(format!("the repeat has another body: {}, first {}", again.shown_body(), first.shown_body()))
            }
            (Self::Reply(_), Self::Reply(_)) => Ok(()),
        }
    }
}

impl Reply {
    /// The body as JSON, else as bytes: members may stand in any order.
    fn contents(&self) -> Result<Value, &[u8]> {
        serde_json::from_slice(&self.body).map_err(|_| self.body.as_ref())
    }

    pub(super) fn shown_body(&self) -> String {
        // Members in one order: answers that are the same look the same.
        let text = match self.contents() {
            Ok(json) => printable(&json.to_string()),
            Err(bytes) => printable(&String::from_utf8_lossy(bytes)),
        };
        match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reply = match self {
            Self::Nothing(reason) => return f.write_str(reason),
            Self::Reply(reply) => reply,
        };
        write!(f, "{}", reply.status)?;
        for (name, value) in [("Saga-Decision", &reply.decision), ("Saga-Action", &reply.action)] {
            if let Some(value) = value {
                write!(f, ", {name}: {}", printable(value))?;
            }
        }
        if reply.body.is_empty() { Ok(()) } else { write!(f, " {}", reply.shown_body()) }
    }
}
