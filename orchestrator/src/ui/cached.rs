//! A response that all clients share for a while.

use std::time::Duration;

use common::http::{ApiError, Response, StatusCode, with_body};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The last body, and when it was made.
#[derive(Default)]
pub(super) struct Cached(Mutex<Option<(Instant, Vec<u8>)>>);

impl Cached {
    /// Answers with the body while it is younger than `fresh`, or with a new one.
    ///
    /// # Errors
    /// That of `make`.
    pub(super) async fn answer<T: Serialize>(
        &self,
        fresh: Duration,
        make: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<Response, ApiError> {
        // Held meanwhile, so that concurrent requests share the result.
        let mut kept = self.0.lock().await;
        let body = match kept.as_ref().filter(|(at, _)| at.elapsed() < fresh) {
            Some((_, body)) => body.clone(),
            None => {
                let body = serde_json::to_vec(&make.await?).map_err(|error| ApiError::internal(error.to_string()))?;
                *kept = Some((Instant::now(), body.clone()));
                body
            }
        };
        Ok(with_body(StatusCode::OK, "application/json", body))
    }
}
