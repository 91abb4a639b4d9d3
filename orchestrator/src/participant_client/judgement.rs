//! The judgement of an answer. Pure, and strict: only a recorded decision refuses, only a readable 2xx is done, everything
//! else is unknown.

use std::time::Duration;

use common::wire;
use serde::Deserialize;
use tracing::error;

use crate::saga::definition::Outputs;
use crate::saga::outcome::{Failure, Outcome, Retry, Sent, Unknown};
use crate::simulation::planted::{Planted, is_planted};
use crate::world::{Call, Purpose};

/// An answer, as far as it is judged.
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) decision: Option<&'a str>,
    pub(crate) retry_after: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// What a participant's bodies may say.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    r#type: Option<String>,
    detail: Option<String>,
    message: Option<String>,
    error: Option<String>,
    status: serde_json::Value,
}

/// Says what an answer means.
pub(crate) fn classify(service: &str, call: &Call, reply: &Reply<'_>) -> Outcome {
    let said: Option<Said> = serde_json::from_slice(reply.body).ok();
    let unreadable =
        || unknown(Failure::unavailable(service), "a 2xx that is not the participant's", Duration::ZERO, Sent::Maybe);
    match (reply.status, call.purpose) {
        (200..=299, Purpose::Action { .. }) => match (call.read)(reply.body) {
            Ok(outputs) => Outcome::Done(outputs),
            Err(_) => unreadable(),
        },
        (200..=299, Purpose::Compensation) => match said.is_some_and(|said| said.status.is_string()) {
            true => Outcome::Done(Outputs::default()),
            false => unreadable(),
        },
        (409, Purpose::Action { .. }) if reply.decision == Some(wire::REFUSED) => {
            let said = said.unwrap_or_default();
            let message = said.error.or(said.message).unwrap_or_else(|| "refused".to_owned());
            Outcome::Refused(Failure::refused(409, service, &message))
        }
        (404 | 409, Purpose::Action { .. }) if is_planted(Planted::AnyConflictRefuses) => {
            Outcome::Refused(Failure::refused(reply.status, service, "refused"))
        }
        (404, Purpose::Action { refusal: Some(refusal) })
            if said.as_ref().is_some_and(|said| said.r#type.as_deref() == Some(refusal)) =>
        {
            let detail = said.and_then(|said| said.detail).unwrap_or_default();
            Outcome::Refused(Failure::refused(404, service, &detail))
        }
        (429 | 500..=599, _) => {
            let seconds = reply.retry_after.and_then(|text| text.parse().ok()).unwrap_or(0);
            let detail = format!("{service} answered {}", reply.status);
            unknown(Failure::unavailable(service), &detail, Duration::from_secs(seconds), Sent::Maybe)
        }
        (status, _) => {
            error!(saga.id = %call.saga_id, step = call.step, service, status, "a participant answered what it never should");
            let retry = if status == 422 { Retry::NeverAndRaise } else { Retry::Never };
            let detail = format!("{service} answered {status}");
            Outcome::Unknown(Unknown { failure: Failure::unavailable(service), detail, retry, sent: Sent::Maybe })
        }
    }
}

/// Makes the outcome of an attempt whose effect is not known, and that may be repeated.
pub(super) fn unknown(failure: Failure, detail: &str, retry_after: Duration, sent: Sent) -> Outcome {
    Outcome::Unknown(Unknown { failure, detail: detail.to_owned(), retry: Retry::After(retry_after), sent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::SagaId;
    use crate::saga::definition::{Method, Request};

    fn call(purpose: Purpose) -> Call {
        Call {
            saga_id: SagaId(uuid::Uuid::nil()),
            epoch: 1,
            step: "charge",
            participant: "payments",
            purpose,
            attempt: 1,
            request: Request { method: Method::Get, path: "/".into(), body: None },
            read: |body| serde_json::from_slice::<serde_json::Value>(body).map(|_| Outputs::one("payment_id", "1")),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn only_a_recorded_decision_refuses_and_only_a_readable_2xx_is_done() {
        let action = Purpose::Action { refusal: None };
        let read = Purpose::Action { refusal: Some("product-not-found") };
        let undo = Purpose::Compensation;
        type Case = (&'static str, Purpose, u16, Option<&'static str>, &'static str, &'static str);
        let cases: &[Case] = &[
            ("done", action, 200, None, r#"{"payment_id":1}"#, "done"),
            ("html 200", action, 200, None, "<html>", "again"),
            ("refused", action, 409, Some("refused"), r#"{"message":"no money"}"#, "409: payments conflict: no money"),
            ("409 of something else", action, 409, None, r#"{"message":"no"}"#, "never"),
            ("404 of something else", action, 404, None, "{}", "never"),
            (
                "product not there",
                read,
                404,
                None,
                r#"{"type":"product-not-found","detail":"Product 7 not found"}"#,
                "404: payments conflict: Product 7 not found",
            ),
            ("path not there", read, 404, None, r#"{"type":"about:blank"}"#, "never"),
            ("html 502", action, 502, None, "<html>", "again"),
            ("busy", action, 503, None, "{}", "again"),
            ("other contents", action, 422, None, "{}", "raise"),
            ("undone", undo, 200, None, r#"{"status":"compensated"}"#, "done"),
            ("html 200 to an undo", undo, 200, None, "<html>", "again"),
            ("an undo is never refused", undo, 409, Some("refused"), "{}", "never"),
        ];
        for (name, purpose, status, decision, body, expected) in cases {
            let reply = Reply { status: *status, decision: *decision, retry_after: None, body: body.as_bytes() };
            let shown = match classify("payments", &call(*purpose), &reply) {
                Outcome::Done(_) => "done".to_owned(),
                Outcome::Refused(failure) => failure.to_string(),
                Outcome::Unknown(unknown) => match unknown.retry {
                    Retry::After(_) | Retry::Parked(_) => "again".to_owned(),
                    Retry::Never => "never".to_owned(),
                    Retry::NeverAndRaise => "raise".to_owned(),
                },
            };
            assert_eq!(shown, *expected, "{name}");
        }
    }
}
