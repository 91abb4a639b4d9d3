//! Calls of branches, judged as DTM does: the status and the words ONGOING and FAILURE in the body decide alone.

use std::sync::Arc;
use std::time::Duration;

use common::http::read_answer;
use common::reason::with_causes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::participant_client::{http_method, legible};
use saga_engine::definition::Outputs;
use saga_engine::outcome::{Failure, Found, Outcome, Retry, Sent, Unknown};
use saga_engine::world::{Answer, Call, Purpose};

/// The participant of all branches.
pub(crate) const PARTICIPANT: &str = "dtm";

/// The client of all branches.
pub(crate) struct Branches {
    http: reqwest::Client,
    /// Limits the calls in flight.
    room: Arc<Semaphore>,
}

impl Branches {
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new(connect_timeout: Duration, max_concurrent: usize) -> Result<Branches, reqwest::Error> {
        let http = common::tls::internal_client().connect_timeout(connect_timeout).build()?;
        Ok(Branches { http, room: Arc::new(Semaphore::new(max_concurrent)) })
    }

    /// Makes a call in the background.
    pub(crate) fn call(&self, call: Call, answer: Answer<Outcome>) {
        if call.request.path.is_empty() {
            return answer.give(done(&call.purpose));
        }
        let (http, room) = (self.http.clone(), self.room.clone());
        let until = Instant::now() + call.timeout;
        tokio::spawn(async move {
            let outcome = match timeout_at(until, room.acquire_owned()).await {
                Ok(Ok(_place)) => send(&http, &call, until).await,
                // The semaphore is never closed.
                Ok(Err(_)) | Err(_) => unknown(
                    Failure::timeout(PARTICIPANT),
                    "the timeout passed before the call was sent".to_owned(),
                    Retry::After(Duration::ZERO),
                    Sent::Nothing,
                ),
            };
            answer.give(outcome);
        });
    }
}

async fn send(http: &reqwest::Client, call: &Call, until: Instant) -> Outcome {
    let method = http_method(call.request.method);
    let mut request = http.request(method, &call.request.path).headers(headers(call));
    if let Some(body) = &call.request.body {
        request = request.body(body.clone());
    }
    let exchange = async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok::<_, reqwest::Error>((status, read_answer(reqwest::Body::from(response)).await))
    };
    let again = |failure, detail, sent| unknown(failure, detail, Retry::After(Duration::ZERO), sent);
    match timeout_at(until, exchange).await {
        Ok(Ok((status, Ok(body)))) => judge(status, &body, &call.purpose),
        Ok(Ok((_, Err(reason)))) => again(Failure::unavailable(PARTICIPANT), reason, Sent::Maybe),
        Ok(Err(error)) => {
            let sent = if error.is_connect() { Sent::Nothing } else { Sent::Maybe };
            again(Failure::unavailable(PARTICIPANT), with_causes(&error.without_url()), sent)
        }
        Err(_) => again(Failure::timeout(PARTICIPANT), "no answer in time".to_owned(), Sent::Maybe),
    }
}

/// A later header of the same name replaces an earlier one.
fn headers(call: &Call) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &call.request.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

fn done(purpose: &Purpose) -> Outcome {
    match purpose {
        Purpose::Action { .. } => Outcome::Done(Outputs::default()),
        Purpose::Compensation => Outcome::Undone(Found::NotSaid, Outputs::default()),
    }
}

fn unknown(failure: Failure, detail: String, retry: Retry, sent: Sent) -> Outcome {
    Outcome::Unknown(Unknown { failure, detail, retry, sent })
}

fn judge(status: u16, body: &[u8], purpose: &Purpose) -> Outcome {
    let body = String::from_utf8_lossy(body);
    let answered = format!("a branch answered {status}");
    let again = |retry| unknown(Failure::unavailable(PARTICIPANT), answered.clone(), retry, Sent::Maybe);
    match purpose {
        _ if status == 425 || body.contains("ONGOING") => again(Retry::Ongoing(Duration::ZERO)),
        Purpose::Action { .. } if status == 409 || body.contains("FAILURE") => {
            Outcome::Refused(Failure::refused(409, PARTICIPANT, &legible(body.trim())))
        }
        Purpose::Compensation if status == 409 || body.contains("FAILURE") => again(Retry::After(Duration::ZERO)),
        purpose if status == 200 => done(purpose),
        _ => again(Retry::After(Duration::ZERO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_in_the_order_of_dtm() {
        let (action, undo) = (Purpose::Action { refusal: None }, Purpose::Compensation);
        let cases = [
            (200, "", "done", "done"),
            (200, r#"{"dtm_result":"SUCCESS"}"#, "done", "done"),
            (200, r#"{"dtm_result":"FAILURE"}"#, "refused", "again"),
            (200, r#"{"dtm_result":"ONGOING"}"#, "ongoing", "ongoing"),
            (200, "FAILURE and ONGOING", "ongoing", "ongoing"),
            (409, "", "refused", "again"),
            (409, "ONGOING", "ongoing", "ongoing"),
            (425, "FAILURE", "ongoing", "ongoing"),
            (500, "FAILURE", "refused", "again"),
            (500, "", "again", "again"),
            (201, "", "again", "again"),
            (202, "SUCCESS", "again", "again"),
            (204, "", "again", "again"),
            (302, "", "again", "again"),
            (400, "", "again", "again"),
            (404, "", "again", "again"),
        ];
        let shown = |outcome| match outcome {
            Outcome::Done(_) | Outcome::Undone(..) => "done",
            Outcome::Refused(_) => "refused",
            Outcome::Unknown(Unknown { retry: Retry::Ongoing(_), .. }) => "ongoing",
            Outcome::Unknown(_) => "again",
        };
        for (status, body, of_action, of_undo) in cases {
            assert_eq!(shown(judge(status, body.as_bytes(), &action)), of_action, "action {status} {body}");
            assert_eq!(shown(judge(status, body.as_bytes(), &undo)), of_undo, "compensation {status} {body}");
        }
    }
}
