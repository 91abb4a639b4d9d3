//! The resource of the spans: which service of which process recorded them.

use std::sync::LazyLock;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use uuid::Uuid;

use super::Attribute;
use super::attribute;
use crate::build::VERSION;
use crate::config::{Settings, pairs};

/// Tells the processes of a service apart. The services of one process share it: they differ by their names.
static INSTANCE: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);

/// Makes the resource of a service. Attributes of the configuration replace those of this program, and its service name
/// replaces both.
pub(super) fn of(service: &'static str, settings: &Settings) -> Resource {
    let telemetry = &settings.telemetry;
    // The load has checked the list.
    let given = pairs(&telemetry.resource_attributes).unwrap_or_default();
    let named = (!telemetry.service_name.is_empty()).then(|| attribute("service.name", telemetry.service_name.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            attribute("service.namespace", "ecommerce-saga"),
            attribute("service.name", service),
            attribute("service.version", VERSION),
            attribute("service.instance.id", INSTANCE.to_string()),
            attribute("deployment.environment.name", settings.profile.clone()),
            attribute("process.pid", i64::from(std::process::id())),
        ])
        .with_attributes(given.into_iter().map(|(name, value)| Attribute::new(name, value)))
        .with_attributes(named)
        .build()
}
