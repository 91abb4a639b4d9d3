//! Answers of services, for tests.

use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::Value;

/// An answer, read completely.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub text: String,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.text) {
            Ok(value) => value,
            Err(error) => panic!("the body is no JSON ({error}): {self:?}"),
        }
    }

    /// Returns a header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the answer if it has the status.
    ///
    /// # Panics
    /// When it has another status; the message shows the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Returns whether the answer is a refusal that the participant has recorded.
    pub fn is_recorded_refusal(&self) -> bool {
        self.header("saga-decision") == Some("refused")
    }

    /// Returns whether the answer is replayed from the journal.
    pub fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }
}

/// Makes a client.
///
/// # Panics
/// When that fails.
pub fn client() -> reqwest::Client {
    common::tls::http_client().build().expect("a client can be made")
}

/// Sends a request and reads the whole answer.
///
/// # Errors
/// Without an answer: connection refused, cut, or timeout.
pub async fn try_send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await?;
    Ok(Answer { status, headers, text })
}

/// Sends a request and reads the whole answer.
///
/// # Panics
/// Without an answer.
pub async fn send(request: RequestBuilder) -> Answer {
    match try_send(request).await {
        Ok(answer) => answer,
        Err(error) => panic!("no answer: {error:?}"),
    }
}
