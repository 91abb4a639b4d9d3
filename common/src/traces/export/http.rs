//! OTLP over HTTP with protobuf: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use secrecy::ExposeSecret;

use super::send::{Failed, Repeat};
use crate::config::{OtlpCompression, TelemetrySettings, headers};
use crate::loopback::is_loopback;
use crate::reason::with_causes;
use crate::tls;

pub(super) struct Http {
    client: reqwest::Client,
    url: String,
    headers: HeaderMap,
    compression: OtlpCompression,
}

impl Http {
    /// A collector on this machine is called without the proxy from the environment: to a proxy, a loopback address means
    /// another machine.
    pub(super) fn to(url: &str, settings: &TelemetrySettings) -> Result<Self, String> {
        let client = tls::http_client();
        let client = if is_loopback(url) { client.no_proxy().build() } else { client.build() };
        let mut headers = headers(settings.otlp_headers.expose_secret())?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if settings.otlp_compression == OtlpCompression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let client = client.map_err(|error| with_causes(&error))?;
        Ok(Self { client, url: url.to_owned(), headers, compression: settings.otlp_compression })
    }

    pub(super) async fn send(&self, batch: &ExportTraceServiceRequest) -> Result<(), Failed> {
        let body = match self.compression {
            OtlpCompression::None => batch.encode_to_vec(),
            OtlpCompression::Gzip => zipped(&batch.encode_to_vec()),
        };
        let sent = self.client.post(&self.url).headers(self.headers.clone()).body(body).send().await;
        let answer =
            sent.map_err(|error| Failed { reason: with_causes(&error), repeat: Repeat::After(Duration::ZERO) })?;
        let status = answer.status();
        let repeat = match status.as_u16() {
            200..=299 => return Ok(()),
            429 | 502 | 503 | 504 => {
                let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Repeat::After(Duration::from_secs(asked.unwrap_or(0)))
            }
            _ => Repeat::Never,
        };
        Err(Failed { reason: format!("it answered {status}"), repeat })
    }
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(bytes).and_then(|()| zip.finish()).expect("memory takes all bytes")
}
