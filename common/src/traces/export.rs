//! The export to the collector: the SDK's batches, and the log lines for a collector that does not answer.
//!
//! The messages are the SDK's, and so is the client of gRPC. Its exporters are not used: they read `OTEL_*` themselves, and
//! above the settings of a program, while here `ECOMMERCE__TELEMETRY__…` comes first.

mod grpc;
mod http;
mod send;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor};

use self::send::OtlpExporter;
use crate::config::TelemetrySettings;
use crate::redaction::redacted_url;

/// Capacity of the queue in spans, about a kilobyte each; further ones are dropped.
const MAX_QUEUE: usize = 8_192;
/// Spans per request to the collector.
const MAX_BATCH: usize = 512;
/// How long a span waits for others in its batch.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// Creates the queue and the exporter thread of a service.
///
/// # Errors
/// The reason why spans cannot be sent.
pub(super) fn processor(
    service: &'static str,
    url: String,
    settings: &TelemetrySettings,
    resource: &Resource,
) -> Result<BatchSpanProcessor, String> {
    let exporter = OtlpExporter::to(&url, settings)?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_QUEUE)
        .with_max_export_batch_size(MAX_BATCH)
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    let told = LogOnce { exporter, service, endpoint: redacted_url(&url), silent: AtomicBool::new(false) };
    let mut processor = BatchSpanProcessor::builder(told).with_batch_config(batches).build();
    processor.set_resource(resource);
    Ok(processor)
}

/// An exporter that logs once when the collector stops answering, and once when it answers again.
#[derive(Debug)]
struct LogOnce<E> {
    exporter: E,
    service: &'static str,
    endpoint: String,
    silent: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for LogOnce<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let Self { service, endpoint, .. } = self;
        let spans = batch.len();
        match self.exporter.export(batch).await {
            Ok(()) if self.silent.swap(false, Ordering::Relaxed) => {
                tracing::info!(service, endpoint, "the collector accepts traces again");
            }
            Err(error) if !self.silent.swap(true, Ordering::Relaxed) => {
                tracing::warn!(service, endpoint, spans, %error, "the collector accepts no traces, dropping them");
            }
            Ok(()) | Err(_) => {}
        }
        // Already logged above; the SDK would log it for every batch.
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use opentelemetry_sdk::error::OTelSdkError;
    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// An exporter that fails when the test sets its flag.
    #[derive(Debug)]
    struct Collector(AtomicBool);

    impl SpanExporter for Collector {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            if self.0.load(Ordering::Relaxed) {
                Ok(())
            } else {
                Err(OTelSdkError::InternalFailure("unreachable".to_owned()))
            }
        }
    }

    struct Lines(Arc<AtomicUsize>);

    impl<S: tracing::Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            struct IsOurs(bool);
            impl Visit for IsOurs {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    self.0 |= field.name() == "message" && format!("{value:?}").contains("the collector accepts");
                }
            }
            let mut ours = IsOurs(false);
            event.record(&mut ours);
            self.0.fetch_add(usize::from(ours.0), Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_collector_that_does_not_answer_is_said_once() {
        let lines = Arc::new(AtomicUsize::new(0));
        let _logs = tracing::subscriber::set_default(tracing_subscriber::registry().with(Lines(lines.clone())));
        let collector = Collector(AtomicBool::new(false));
        let told =
            LogOnce { exporter: collector, service: "test", endpoint: String::new(), silent: AtomicBool::new(false) };
        let mut said = Vec::new();
        for answers in [false, false, false, true, true, false] {
            told.exporter.0.store(answers, Ordering::Relaxed);
            assert!(told.export(Vec::new()).await.is_ok(), "the SDK has nothing to add");
            said.push(lines.load(Ordering::Relaxed));
        }
        assert_eq!(said, [1, 1, 1, 2, 2, 3]);
    }
}
