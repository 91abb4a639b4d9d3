//! `health`: asks a service whether it is healthy.

use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::Ended;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The options of `health`.
#[derive(Args)]
pub(crate) struct Health {
    /// The service, such as http://127.0.0.1:8000/health/
    url: String,
}

impl Health {
    pub(crate) async fn run(self) -> anyhow::Result<Ended> {
        let request = reqwest::Client::new().get(&self.url).timeout(TIMEOUT);
        let response = request.send().await.with_context(|| format!("nobody answers at {}", self.url))?;
        let status = response.status();
        println!("{}", response.text().await?);
        Ok(if status.is_success() { Ended::Done } else { Ended::Refused })
    }
}
