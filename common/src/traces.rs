//! Traces of a service, sent to an OpenTelemetry collector by OTLP. The spans are those of [`foundation::traces`].

mod export;
mod resource;

pub use foundation::traces::*;

use crate::config::{Settings, TelemetrySettings, TracesSampler};

/// Creates the tracer of a service; off if no collector is configured.
pub fn tracer(service: &'static str, settings: &Settings) -> Tracer {
    let telemetry = &settings.telemetry;
    let Some(url) = telemetry.traces_url() else { return Tracer::off() };
    let resource = resource::of(service, settings);
    match export::processor(service, url, telemetry, &resource) {
        Ok(processor) => Tracer::to(processor, sampler(telemetry)),
        Err(reason) => {
            tracing::error!(service, reason, "traces are not exported");
            Tracer::off()
        }
    }
}

fn sampler(settings: &TelemetrySettings) -> Sampler {
    use TracesSampler::*;
    let (follows_parent, ratio) = match settings.traces_sampler {
        AlwaysOn => (FollowsParent::No, 1.0),
        AlwaysOff => (FollowsParent::No, 0.0),
        TraceIdRatio => (FollowsParent::No, settings.otlp_sample_ratio),
        ParentBasedAlwaysOn => (FollowsParent::Yes, 1.0),
        ParentBasedAlwaysOff => (FollowsParent::Yes, 0.0),
        ParentBasedTraceIdRatio => (FollowsParent::Yes, settings.otlp_sample_ratio),
    };
    Sampler { follows_parent, ratio }
}
