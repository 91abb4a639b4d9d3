//! The classification of an answer. Pure, and strict: only a recorded decision is a refusal, only a valid 200 of the
//! participant for this saga is done, everything else is unknown.
//!
//! A participant that a user names is done by any 2xx but 202. It may be judged by its statuses alone, for services that
//! were not written for sagas, and may have statuses that confirm a compensation since there is nothing to undo.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::config::Judgement;
use common::wire;
use serde::Deserialize;
use serde_json::Value;
use tracing::error;

use saga_engine::definition::{Outputs, ReplyError};
use saga_engine::outcome::{Failure, Found, Outcome, Retry, Sent, Unknown};
use saga_engine::world::{Call, Purpose};

/// Maximum length of a participant's text that is stored, in characters: enough for a person, and it bounds the row.
const MAX_SAID_CHARS: usize = 500;

/// Maximum `Retry-After` of a participant. Longer ones are mistakes, or not meant for programs.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Wait after a 425 without a `Retry-After`, and after one of zero.
const ONGOING_WAIT: Duration = Duration::from_secs(1);

/// Wait before a participant is asked again that takes no requests. A restart takes about a second; if it takes longer,
/// the circuit breaker sets the pace.
const AWAY_WAIT: Duration = Duration::from_millis(250);

/// Fields of a body that say why something was refused, in order of preference.
const SAID_IN: [&str; 4] = ["error", "message", "detail", "title"];

/// The owner of a participant, and how its answers are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judging {
    /// One of our own services.
    Own,
    /// A participant that a user names, with the statuses by which it confirms a compensation.
    Named(Judgement, Vec<u16>),
}

impl Judging {
    fn is_done(&self, status: u16) -> bool {
        match self {
            Judging::Own => status == 200,
            Judging::Named(..) => (200..300).contains(&status) && status != 202,
        }
    }

    fn is_by_status(&self) -> bool {
        matches!(self, Judging::Named(Judgement::Status, _))
    }

    fn is_refusal(&self, status: u16, decision: Option<&str>) -> bool {
        status == 409 && (decision == Some(wire::REFUSED) || self.is_by_status())
    }

    fn is_absent(&self, status: u16) -> bool {
        match self {
            Judging::Own => false,
            Judging::Named(_, absent) => absent.contains(&status),
        }
    }

    /// Tells whether an answer needs no body, which may be too long.
    pub(super) fn is_decided_by_head(&self, purpose: &Purpose, status: u16, decision: Option<&str>) -> bool {
        self.is_refusal(status, decision)
            || (self.is_by_status() && status == 425)
            || (*purpose == Purpose::Compensation && self.is_absent(status))
    }

    /// Returns why a participant refuses, in its own words.
    fn reason(&self, reply: &Reply<'_>) -> String {
        match self {
            Judging::Own => {
                let RefusalFields { error, message, .. } = said(reply);
                error.or(message).unwrap_or_else(|| "refused".to_owned())
            }
            Judging::Named(..) => words(reply.body).unwrap_or_else(|| reply.status.to_string()),
        }
    }

    /// Describes an answer that decides nothing. A participant that a user names explains itself: its words are the only
    /// hint at a request that it does not take.
    fn answered(&self, service: &str, reply: &Reply<'_>) -> String {
        let words = match self {
            Judging::Own => None,
            Judging::Named(..) => words(reply.body).or_else(|| plain_text(reply.body)),
        };
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        format!("{service} answered {}{words}", reply.status)
    }
}

/// Returns the explanation in a JSON body.
fn words(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    SAID_IN.iter().find_map(|field| text_of(body.get(field)?))
}

/// Returns a body that is text for people; none if it is HTML or JSON.
fn plain_text(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && !text.starts_with(['<', '{', '['])).then(|| text.to_owned())
}

/// Returns the text of a field: its own, or that of a field in it.
fn text_of(field: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
    text(field).or_else(|| SAID_IN.iter().find_map(|inner| text(field.get(inner)?)))
}

/// The parts of an answer that are classified.
pub struct Reply<'a> {
    /// The status of the answer.
    pub status: u16,
    /// The header `Saga-Decision`.
    pub decision: Option<&'a str>,
    /// The header `Saga-Action`: the state in which a compensation found its action.
    pub action: Option<&'a str>,
    /// The participant's `Retry-After`; zero if it has none.
    pub retry_after: Duration,
    /// The body of the answer.
    pub body: &'a [u8],
}

/// Fields of a participant's refusals and problems.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusalFields {
    r#type: Option<String>,
    detail: Option<String>,
    message: Option<String>,
    error: Option<String>,
}

/// Reads the header [`wire::SAGA_ACTION`]: the state in which a compensation found its action.
fn found(header: Option<&str>) -> Found {
    match header {
        Some(wire::ACTION_DONE) => Found::Done,
        Some(wire::REFUSED) => Found::Refused,
        Some(wire::ACTION_NONE) => Found::Nothing,
        Some(_) | None => Found::NotSaid,
    }
}

/// Classifies an answer of one of our own services.
pub fn classify(service: &str, call: &Call, reply: &Reply<'_>) -> Outcome {
    judge(&Judging::Own, service, call, reply)
}

/// Classifies an answer of a participant that is judged by its statuses alone, with the usual statuses of what is absent.
pub fn classify_by_status(service: &str, call: &Call, reply: &Reply<'_>) -> Outcome {
    judge(&Judging::Named(Judgement::Status, Judgement::Status.absent()), service, call, reply)
}

/// Classifies an answer.
pub(super) fn judge(judging: &Judging, service: &str, call: &Call, reply: &Reply<'_>) -> Outcome {
    let again = |detail: &str| unknown(Failure::unavailable(service), detail, reply.retry_after, Sent::Maybe);
    match (reply.status, &call.purpose) {
        (status, _) if judging.is_done(status) => match (call.read)(&call.context, reply.body) {
            Ok(outputs) if outputs.fit_the_log() => match call.purpose {
                Purpose::Action { .. } => Outcome::Done(outputs),
                Purpose::Compensation => Outcome::Undone(found(reply.action), outputs),
            },
            Ok(_) => again(&format!("a {status} with outputs that the saga log cannot store")),
            Err(error @ ReplyError::NotTheAnswer(_)) => again(&format!("a {status} with an invalid body: {error}")),
            // A repeated request has the same answer.
            Err(error @ (ReplyError::OutputMissing(_) | ReplyError::OutputInexact(_))) => {
                error!(saga.id = %call.saga_id, step = %call.step, service, %error, "an answer lacks a usable output");
                let (failure, detail) = (Failure::unavailable(service), legible(&error.to_string()));
                Outcome::Unknown(Unknown { failure, detail, retry: Retry::Never, sent: Sent::Maybe })
            }
        },
        // 202 and other 2xx confirm nothing.
        (201..=299, _) => again(&judging.answered(service, reply)),
        (status, Purpose::Action { .. }) if judging.is_refusal(status, reply.decision) => {
            Outcome::Refused(Failure::refused(status, service, &legible(&judging.reason(reply))))
        }
        // Perhaps an earlier attempt has undone the action, so this does not say that it never ran.
        (status, Purpose::Compensation) if judging.is_absent(status) => {
            Outcome::Undone(Found::NotSaid, Outputs::default())
        }
        (425, _) if judging.is_by_status() => {
            let wait = if reply.retry_after.is_zero() { ONGOING_WAIT } else { reply.retry_after };
            let (failure, detail) =
                (Failure::unavailable(service), format!("{service} answered 425, it is still at work"));
            Outcome::Unknown(Unknown { failure, detail, retry: Retry::Ongoing(wait), sent: Sent::Maybe })
        }
        (409, Purpose::Compensation) if judging.is_by_status() => again(&judging.answered(service, reply)),
        (404, Purpose::Action { refusal: Some(refusal) }) if said(reply).r#type.as_deref() == Some(&**refusal) => {
            let detail = said(reply).detail.unwrap_or_default();
            Outcome::Refused(Failure::refused(404, service, &legible(&detail)))
        }
        (503, _) if said(reply).r#type.as_deref() == Some(wire::STOPPING) => {
            let (failure, detail) = (Failure::unavailable(service), format!("{service} is stopping"));
            let retry = Retry::Ongoing(reply.retry_after.max(AWAY_WAIT));
            Outcome::Unknown(Unknown { failure, detail, retry, sent: Sent::Maybe })
        }
        (425 | 429 | 500..=599, _) => again(&judging.answered(service, reply)),
        (status, _) => {
            let detail = legible(&judging.answered(service, reply));
            error!(saga.id = %call.saga_id, step = %call.step, detail, "unexpected answer of a participant");
            let retry = if status == 422 { Retry::NeverAndRaise } else { Retry::Never };
            Outcome::Unknown(Unknown { failure: Failure::unavailable(service), detail, retry, sent: Sent::Maybe })
        }
    }
}

/// Reads `Retry-After`: seconds or a date (RFC 9110, 10.2.3), at most an hour; zero if it is neither.
pub fn retry_after(text: &str, now: DateTime<Utc>) -> Duration {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let asked = match (is_number, DateTime::parse_from_rfc2822(text)) {
        // A number that overflows is a long time too.
        (true, _) => text.parse().map_or(Duration::MAX, Duration::from_secs),
        (false, Ok(date)) => date.to_utc().signed_duration_since(now).to_std().unwrap_or_default(),
        (false, Err(_)) => Duration::ZERO,
    };
    asked.min(MAX_RETRY_AFTER)
}

fn said(reply: &Reply<'_>) -> RefusalFields {
    serde_json::from_slice(reply.body).unwrap_or_default()
}

/// Cleans foreign text for rows, logs and terminals: no control characters, limited length.
pub(crate) fn legible(text: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().take(MAX_SAID_CHARS).map(plain).collect()
}

/// Makes the outcome of an attempt whose effect is unknown and which may be repeated.
pub(super) fn unknown(failure: Failure, detail: &str, retry_after: Duration, sent: Sent) -> Outcome {
    Outcome::Unknown(Unknown { failure, detail: legible(detail), retry: Retry::After(retry_after), sent })
}

/// Makes the outcome of a call that no server takes: the participant is restarting or being replaced. It does not count as
/// an attempt, so a restart reverts no saga; the saga's deadline bounds the wait.
pub fn away(service: &str, detail: &str) -> Outcome {
    Outcome::Unknown(Unknown {
        failure: Failure::unavailable(service),
        detail: legible(detail),
        retry: Retry::Parked(AWAY_WAIT),
        sent: Sent::Nothing,
    })
}

#[cfg(test)]
mod tests;
