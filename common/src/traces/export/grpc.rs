//! OTLP over gRPC: <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>.

use std::error::Error;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use secrecy::ExposeSecret;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Extensions, Request};

use super::send::{Failed, Repeat};
use crate::config::{OtlpCompression, TelemetrySettings, headers};
use crate::reason::with_causes;
use crate::tls;

pub(super) struct Grpc {
    client: TraceServiceClient<Channel>,
    metadata: MetadataMap,
}

impl Grpc {
    /// Must be called in the context of the runtime that sends. The connection is opened with the first batch.
    pub(super) fn to(url: &str, settings: &TelemetrySettings) -> Result<Self, String> {
        let mut endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| with_causes(&error))?;
        if url.starts_with("https:") {
            let tls = endpoint.tls_config_with_verifier(ClientTlsConfig::new(), tls::verifier());
            endpoint = tls.map_err(|error| with_causes(&error))?;
        }
        let mut client = TraceServiceClient::new(endpoint.connect_lazy());
        if settings.otlp_compression == OtlpCompression::Gzip {
            // A server may answer as it was asked.
            client = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self { client, metadata: MetadataMap::from_headers(headers(settings.otlp_headers.expose_secret())?) })
    }

    pub(super) async fn send(&self, batch: &ExportTraceServiceRequest) -> Result<(), Failed> {
        let request = Request::from_parts(self.metadata.clone(), Extensions::default(), batch.clone());
        let Err(status) = self.client.clone().export(request).await else { return Ok(()) };
        let repeat = match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Repeat::After(Duration::ZERO),
            _ => Repeat::Never,
        };
        // A message from the server may repeat what it was sent, headers too; one of this side has a source.
        let reason = match status.source() {
            Some(_) => format!("{}: {}", status.code(), status.message()),
            None => status.code().to_string(),
        };
        Err(Failed { reason, repeat })
    }
}
