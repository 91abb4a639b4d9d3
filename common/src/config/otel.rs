//! The standard variables of OpenTelemetry, `OTEL_*`, as a layer between the files and the variables of this program.
//! A variable that is empty is not set. <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>
//!
//! A value that cannot be used is a problem of the load, as in the other layers. Where the specification demands that a
//! value is ignored instead, it is, with a warning: the samplers, the compression and `OTEL_SDK_DISABLED`.

use config::{Value, ValueKind};

use super::{
    error::{ConfigProblem, Findings},
    layers::Layer,
    values::check_value,
};

/// Prefix of the standard variables.
pub(super) const PREFIX: &str = "OTEL_";

const ENDPOINT: &str = "telemetry.otlp_endpoint";
const TRACES_ENDPOINT: &str = "telemetry.otlp_traces_endpoint";
const EXPORTER: &str = "telemetry.traces_exporter";
const SAMPLER: &str = "telemetry.traces_sampler";
const RATIO: &str = "telemetry.otlp_sample_ratio";
const COMPRESSION: &str = "telemetry.otlp_compression";

/// A key, and the standard variables that set it: the first one that is set wins, so the one of traces comes before the
/// one of all signals.
const VARIABLES: [(&str, &[&str]); 11] = [
    (ENDPOINT, &["OTEL_EXPORTER_OTLP_ENDPOINT"]),
    (TRACES_ENDPOINT, &["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]),
    ("telemetry.otlp_protocol", &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]),
    ("telemetry.otlp_headers", &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]),
    ("telemetry.otlp_timeout_ms", &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]),
    (COMPRESSION, &["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]),
    ("telemetry.service_name", &["OTEL_SERVICE_NAME"]),
    ("telemetry.resource_attributes", &["OTEL_RESOURCE_ATTRIBUTES"]),
    (EXPORTER, &["OTEL_TRACES_EXPORTER"]),
    (SAMPLER, &["OTEL_TRACES_SAMPLER"]),
    (RATIO, &["OTEL_TRACES_SAMPLER_ARG"]),
];

/// Turns tracing off, above `OTEL_TRACES_EXPORTER`.
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// Returns whether a standard variable sets this key too. The variable of this program counts for such a key only if it
/// is not empty.
pub(super) fn sets(key: &str) -> bool {
    VARIABLES.iter().any(|(name, _)| *name == key)
}

/// Reads the standard variables.
pub(super) fn read(variables: &[(String, String)], findings: &mut Findings) -> Layer {
    let mut layer = Layer::default();
    let given = |name: &str| {
        let set = variables.iter().rev().find(|(variable, _)| variable == name);
        set.map(|(_, text)| text.trim()).filter(|text| !text.is_empty())
    };
    for (key, names) in VARIABLES {
        let Some((name, text)) = names.iter().find_map(|name| Some((name, given(name)?))) else { continue };
        let place = format!("environment variable {name}");
        let value = match value(key, text) {
            Ok(value) => value,
            Err(message) if is_ignored(key) => {
                let message = format!("{message}; the variable is ignored");
                findings.warnings.push(ConfigProblem::new(key, place, message));
                continue;
            }
            Err(message) => {
                findings.problems.push(ConfigProblem::new(key, place, message));
                continue;
            }
        };
        layer.0.insert(key.to_owned(), Value::new(Some(&place), value));
    }
    let place = format!("environment variable {DISABLED}");
    match given(DISABLED).map(str::to_ascii_lowercase).as_deref() {
        Some("true") => drop(layer.0.insert(EXPORTER.to_owned(), Value::new(Some(&place), "none"))),
        None | Some("false") => {}
        Some(other) => {
            let message = format!("is {other:?}, expected true or false; it counts as false");
            findings.warnings.push(ConfigProblem::new(EXPORTER, place, message));
        }
    }
    layer
}

/// Parses a value and checks its range.
fn value(key: &str, text: &str) -> Result<ValueKind, String> {
    let value = match key {
        "telemetry.otlp_timeout_ms" => {
            let number =
                text.parse().map_err(|_| "cannot be read, expected milliseconds, a whole number".to_owned())?;
            ValueKind::I64(number)
        }
        RATIO => ValueKind::Float(text.parse().map_err(|_| format!("is {text:?}, expected a ratio from 0 to 1"))?),
        // Names of the specification, whose case does not matter.
        "telemetry.otlp_protocol" | COMPRESSION | EXPORTER | SAMPLER => ValueKind::String(text.to_ascii_lowercase()),
        _ => ValueKind::String(text.to_owned()),
    };
    check_value(key, &value).map(|()| value)
}

fn is_ignored(key: &str) -> bool {
    matches!(key, SAMPLER | RATIO | COMPRESSION)
}

/// Lays a layer over others. An endpoint in the upper layer replaces both endpoints below. A ratio in the upper layer
/// replaces a sampler below that has no ratio.
pub(super) fn lay_over(below: &mut Layer, above: Layer) {
    let is_set = |key: &str| {
        let value = above.0.get(key).map(|value| &value.kind);
        value.is_some_and(|kind| *kind != ValueKind::String(String::new()))
    };
    if is_set(ENDPOINT) && !is_set(TRACES_ENDPOINT) && below.0.contains_key(TRACES_ENDPOINT) {
        below.0.insert(TRACES_ENDPOINT.to_owned(), Value::new(None, ""));
    }
    let has_ratio = |value: &Value| value.clone().into_string().is_ok_and(|name| name.ends_with("traceidratio"));
    if is_set(RATIO) && !is_set(SAMPLER) && below.0.get(SAMPLER).is_some_and(|below| !has_ratio(below)) {
        below.0.insert(SAMPLER.to_owned(), Value::new(None, "parentbased_traceidratio"));
    }
    below.0.extend(above.0);
}

#[cfg(test)]
mod tests;
