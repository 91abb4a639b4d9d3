//! Traces of a service, sent to an OpenTelemetry collector by OTLP. The spans are those of [`foundation::traces`].

mod export;

pub use foundation::traces::*;

use crate::config::TelemetrySettings;

/// Creates the tracer of a service; off if no collector is configured.
pub fn tracer(service: &'static str, settings: &TelemetrySettings) -> Tracer {
    if settings.otlp_endpoint.is_empty() {
        return Tracer::off();
    }
    match export::processor(service, &settings.otlp_endpoint) {
        Ok(processor) => Tracer::to(processor, settings.otlp_sample_ratio),
        Err(reason) => {
            tracing::error!(service, reason, "traces are not exported");
            Tracer::off()
        }
    }
}
