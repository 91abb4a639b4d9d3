//! `health`: checks the health of a service. It is the health check of containers, which have no curl, so every kind of
//! failure has exit code 1. Proxies of the environment are ignored: the check would test the proxy.

use std::time::Duration;

use clap::Args;
use reqwest::Url;
use serde::de::IgnoredAny;

use crate::{
    client::{innermost, text_of},
    ending::{Ended, Failure},
    output::{self, OutputFormat},
    way,
};

/// A slower health check counts as unhealthy.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Health {
    /// Address of the service, such as http://127.0.0.1:8001; the default path is /health/
    #[arg(env = "ECOMMERCE_HEALTH_URL", value_parser = way::address)]
    url: Url,
    #[command(flatten)]
    output: OutputFormat,
}

impl Health {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let mut url = self.url;
        if url.path() == "/" {
            url.set_path("/health/");
        }
        let asked = async {
            let in_words = |error: reqwest::Error| innermost(&error.without_url());
            let client = way::straight().timeout(TIMEOUT).build().map_err(in_words)?;
            let response = client.get(url.clone()).send().await.map_err(in_words)?;
            let status = response.status();
            Ok((status, text_of(response).await?))
        };
        match asked.await {
            Ok((status, body)) => {
                // A proxy may answer something that is not JSON.
                match serde_json::from_str::<IgnoredAny>(&body) {
                    Ok(_) => self.output.tell(&body),
                    Err(_) => output::tell(&output::printable(body.trim_end())),
                }
                Ok(if status.is_success() { Ended::Done } else { Ended::Refused })
            }
            Err(reason) => {
                let reason: String = reason;
                if self.output.is_document() {
                    self.output.tell(&serde_json::json!({ "status": "unreachable", "reason": reason }).to_string());
                }
                output::complain(&format!("no answer from {url}: {reason}"));
                Ok(Ended::Refused)
            }
        }
    }
}
