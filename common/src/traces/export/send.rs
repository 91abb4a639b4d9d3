//! Sends batches of spans, repeats included.

use std::fmt;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use super::grpc::Grpc;
use super::http::Http;
use crate::config::{OtlpProtocol, TelemetrySettings};

/// Wait before the first repeat; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// An attempt that failed.
pub(super) struct Failed {
    pub(super) reason: String,
    pub(super) repeat: Repeat,
}

/// Whether the same batch may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Yes, after this time at least.
    After(Duration),
    /// No: the collector has refused it.
    Never,
}

/// An exporter for OTLP. It has a runtime of its own on the thread of the batches, so it needs nothing of the services',
/// which may be busy or stopping.
pub(super) struct OtlpExporter {
    runtime: Runtime,
    client: Client,
    timeout: Duration,
    resource: ResourceAttributesWithSchema,
}

enum Client {
    Http(Http),
    Grpc(Grpc),
}

impl OtlpExporter {
    pub(super) fn to(url: &str, settings: &TelemetrySettings) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let client = {
            let _context = runtime.enter();
            match settings.otlp_protocol {
                OtlpProtocol::HttpProtobuf => Http::to(url, settings).map(Client::Http),
                OtlpProtocol::Grpc => Grpc::to(url, settings).map(Client::Grpc),
            }
        };
        match client {
            Ok(client) => {
                let timeout = Duration::from_millis(settings.otlp_timeout_ms);
                Ok(Self { runtime, client, timeout, resource: ResourceAttributesWithSchema::default() })
            }
            Err(reason) => {
                // The caller may be a task, which may not wait for the end of a runtime.
                runtime.shutdown_background();
                Err(reason)
            }
        }
    }

    /// Sends a batch until the collector accepts or refuses it, or the time limit passes.
    async fn send(&self, batch: &ExportTraceServiceRequest) -> Result<(), String> {
        let mut wait = FIRST_WAIT;
        let mut last = "no answer in time".to_owned();
        let sent = timeout(self.timeout, async {
            loop {
                let sent = match &self.client {
                    Client::Http(client) => client.send(batch).await,
                    Client::Grpc(client) => client.send(batch).await,
                };
                match sent {
                    Ok(()) => return Ok(()),
                    Err(Failed { reason, repeat: Repeat::Never }) => return Err(reason),
                    Err(Failed { reason, repeat: Repeat::After(asked) }) => {
                        last = reason;
                        sleep(asked.max(wait)).await;
                        wait *= 2;
                    }
                }
            }
        })
        .await;
        sent.unwrap_or(Err(last))
    }
}

impl SpanExporter for OtlpExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let sent = self.runtime.block_on(self.send(&ExportTraceServiceRequest { resource_spans }));
        sent.map_err(OTelSdkError::InternalFailure)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

/// Without the client, whose headers are secrets.
impl fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpExporter").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
