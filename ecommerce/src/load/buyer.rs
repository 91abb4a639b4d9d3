//! One purchase from the first request to its end.

use std::time::Duration;

use common::reason::with_causes;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    client::{Target, text_of},
    ending::Failure,
    way,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than an orchestrator lets a client wait.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Time limit for retries of a request that was not accepted, and for polling one that was.
const PATIENCE: Duration = Duration::from_secs(180);
/// The default wait between attempts, and the longest `Retry-After` that is honored.
const WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Poll interval of a purchase that was answered 202.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The API for purchases; cheap to clone.
#[derive(Clone)]
pub(super) struct Shop {
    client: Client,
    token: Option<String>,
    buy: Url,
    status: Url,
    body: String,
}

/// The end of a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every step is done.
    Completed,
    /// Everything was undone, because of this participant's refusal, such as `payments`, if the answer names it.
    Compensated(Option<String>),
    /// A step could not be undone yet.
    Failed,
    /// The end is not known, for this reason.
    Unknown(String),
}

/// An ended purchase, and the requests that it took.
#[derive(Clone, Debug)]
pub(super) struct Bought {
    pub(super) outcome: Outcome,
    /// Retries because the server was busy, gave no answer or limited the rate.
    pub(super) asked_again: u32,
    /// Retries after a rate limit (429), included above.
    pub(super) limited: u32,
    /// Whether it was answered 202 and then polled.
    pub(super) was_followed: bool,
}

#[derive(Deserialize)]
struct Answer {
    transaction_id: Uuid,
    status: String,
    #[serde(default)]
    details: Details,
    error_message: Option<String>,
}

#[derive(Default, Deserialize)]
struct Details {
    error: Option<String>,
}

/// Next action after an answer.
enum Next {
    End(Outcome),
    AskAgain(Wait, String),
    Follow(Uuid),
}

/// Wait before a retry, by its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The server is busy or gave no answer.
    Busy(Duration),
    /// The client has exceeded its rate limit.
    Limited(Duration),
}

/// Number of retries.
#[derive(Clone, Copy, Default)]
struct Repeats {
    all: u32,
    limited: u32,
}

impl Repeats {
    async fn wait(&mut self, wait: Wait) {
        self.all += 1;
        self.limited += u32::from(matches!(wait, Wait::Limited(_)));
        sleep(wait.time()).await;
    }

    fn bought(self, outcome: Outcome, was_followed: bool) -> Bought {
        Bought { outcome, asked_again: self.all, limited: self.limited, was_followed }
    }
}

impl Wait {
    /// Reads the wait from an answer's `Retry-After`.
    fn of(response: &Response) -> Self {
        let wait = after(response.headers());
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Self::Limited(wait),
            _ => Self::Busy(wait),
        }
    }

    fn time(self) -> Duration {
        match self {
            Self::Busy(time) | Self::Limited(time) => time,
        }
    }
}

impl Shop {
    pub(super) fn new(target: &Target, body: String, concurrency: u32) -> Result<Self, Failure> {
        let buy = target.url(&["saga", "transaction"])?;
        let client = way::to(&buy)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(concurrency as usize)
            .build()
            .map_err(|error| Failure::broken("no HTTP client", &error))?;
        Ok(Self {
            client,
            token: target.bearer()?.map(str::to_owned),
            buy,
            status: target.url(&["saga", "status", ""])?,
            body,
        })
    }

    /// Makes one purchase. All retries carry the same key, so that it stays one purchase.
    pub(super) async fn buy(&self) -> Bought {
        let key = Uuid::new_v4().to_string();
        let begun = Instant::now();
        let mut repeats = Repeats::default();
        loop {
            let request = self.client.post(self.buy.clone()).header("content-type", "application/json");
            let request = request.header("idempotency-key", &key).body(self.body.clone());
            let next = match self.with_token(request).send().await {
                Ok(response) => judge(response).await,
                Err(error) => Next::AskAgain(Wait::Busy(WAIT), with_causes(&error.without_url())),
            };
            let (wait, why) = match next {
                Next::End(outcome) => return repeats.bought(outcome, false),
                Next::Follow(id) => {
                    let outcome = self.follow(id, &mut repeats).await;
                    return repeats.bought(outcome, true);
                }
                Next::AskAgain(wait, why) => (wait, why),
            };
            if begun.elapsed() + wait.time() > PATIENCE {
                return repeats.bought(Outcome::Unknown(why), false);
            }
            repeats.wait(wait).await;
        }
    }

    /// Polls a running purchase until it ends.
    async fn follow(&self, id: Uuid, repeats: &mut Repeats) -> Outcome {
        let begun = Instant::now();
        loop {
            let Ok(url) = self.status.join(&id.to_string()) else {
                return Outcome::Unknown("the URL of its status is invalid".to_owned());
            };
            let mut wait = None;
            if let Ok(response) = self.with_token(self.client.get(url)).send().await {
                wait = is_later(response.status()).then(|| Wait::of(&response));
                if response.status().is_success()
                    && let Ok(body) = text_of(response).await
                    && let Ok(answer) = serde_json::from_str::<Answer>(&body)
                    && let Some(outcome) = ended(&answer.status, answer.error_message)
                {
                    return outcome;
                }
            }
            if begun.elapsed() > PATIENCE {
                return Outcome::Unknown(format!("the purchase had not ended after {} s", PATIENCE.as_secs()));
            }
            match wait {
                Some(wait) => repeats.wait(wait).await,
                None => sleep(LOOK_EVERY).await,
            }
        }
    }

    fn with_token(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

async fn judge(response: Response) -> Next {
    let status = response.status();
    let wait = Wait::of(&response);
    // A connection that breaks during the answer: a retry with the same key returns the outcome.
    let body = match text_of(response).await {
        Ok(body) => body,
        Err(reason) => return Next::AskAgain(Wait::Busy(WAIT), reason),
    };
    let answer = serde_json::from_str::<Answer>(&body);
    match (status, answer) {
        (StatusCode::ACCEPTED, Ok(answer)) => Next::Follow(answer.transaction_id),
        (StatusCode::OK | StatusCode::CONFLICT | StatusCode::BAD_GATEWAY, Ok(answer)) => {
            match ended(&answer.status, answer.details.error) {
                Some(outcome) => Next::End(outcome),
                None => Next::Follow(answer.transaction_id),
            }
        }
        (status, _) if is_later(status) => Next::AskAgain(wait, format!("answered {}", status.as_u16())),
        // A proxy's answer for a server that gave none.
        (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, Err(_)) => {
            Next::AskAgain(wait, format!("answered {}, not by the orchestrator", status.as_u16()))
        }
        _ => Next::End(Outcome::Unknown(format!("answered {}", status.as_u16()))),
    }
}

/// Maps a final status to its outcome; `None` while the purchase runs.
fn ended(status: &str, error: Option<String>) -> Option<Outcome> {
    match status {
        "COMPLETED" => Some(Outcome::Completed),
        "COMPENSATED" => Some(Outcome::Compensated(error.as_deref().and_then(refuser))),
        "FAILED" => Some(Outcome::Failed),
        _ => None,
    }
}

/// Extracts the refusing participant: the error is `409: payments conflict: …` then.
fn refuser(error: &str) -> Option<String> {
    let (before, _) = error.split_once(" conflict")?;
    let (_, name) = before.split_once(": ")?;
    Some(name.to_owned())
}

/// Returns whether an answer only asks for a later retry.
pub(super) fn is_later(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

/// Reads `Retry-After`, with default and maximum.
pub(super) fn after(headers: &HeaderMap) -> Duration {
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = header.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    seconds.unwrap_or(WAIT).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_tells_who_refused_and_what_runs_has_none() {
        let of = |status, error: &str| ended(status, Some(error.to_owned()));
        let refused = of("COMPENSATED", "409: inventory conflict: Insufficient stock for product 1 (random failure)");
        assert_eq!(refused, Some(Outcome::Compensated(Some("inventory".to_owned()))));
        assert_eq!(of("COMPENSATED", "408: Deadline passed"), Some(Outcome::Compensated(None)));
        assert_eq!(of("COMPENSATING", "409: payments conflict"), None);
        assert_eq!(ended("PENDING", None), None);
    }

    #[test]
    fn the_wait_is_the_servers_own_up_to_a_limit() {
        let of = |text: &'static str| after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]));
        assert_eq!([of("7"), of("3600"), of("soon")], [Duration::from_secs(7), WAIT_MAX, WAIT]);
        assert_eq!(after(&HeaderMap::new()), WAIT);
    }
}
