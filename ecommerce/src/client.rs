//! Calls to the orchestrator, for the commands that are clients.

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

/// Where the orchestrator is.
#[derive(Args)]
pub(crate) struct Target {
    /// The orchestrator
    #[arg(long, default_value = "http://127.0.0.1:8000", env = "ECOMMERCE_TARGET")]
    target: String,
    /// The API token, where one is needed
    #[arg(long, env = "ECOMMERCE_API_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Prints JSON, for machines
    #[arg(long)]
    pub(crate) json: bool,
}

impl Target {
    /// Sends a request and returns the status and the JSON of the answer.
    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<(u16, Value)> {
        let url = format!("{}{path}", self.target.trim_end_matches('/'));
        let mut request = reqwest::Client::new().request(method, &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.with_context(|| {
            format!("nobody answers at {}; is it running? (`ecommerce up`, or --target)", self.target)
        })?;
        let status = response.status().as_u16();
        let body = response.bytes().await?;
        let body =
            serde_json::from_slice(&body).with_context(|| format!("{url} answered {status}, and not with JSON"))?;
        Ok((status, body))
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        match self.call(reqwest::Method::GET, path, None).await? {
            (200, body) => Ok(body),
            (status, problem) => {
                bail!("{status}: {}", problem["detail"].as_str().unwrap_or("the server gave no reason"))
            }
        }
    }
}
