//! Logs and metrics of the process.
//!
//! Counters and histograms are updated as events happen. The current state (queues, pools, leases) is read at each
//! scrape ([`at_scrape`]), which costs nothing in between and is always current.
//!
//! Both are process-wide and set up by the first caller: several services and many tests share a process.

pub(crate) mod lines;

use std::{
    env,
    io::{self, IsTerminal},
    panic,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, fmt, fmt::format::JsonFields, prelude::*};

use self::lines::JsonLines;
pub use self::lines::ServiceName;
use crate::config::{LogFormat, TelemetrySettings};
use crate::console::{self, LogLine};

/// Filter for settings that cannot be parsed. ractor opens a span for the whole life of each actor; these spans are of
/// no use and left out.
const DEFAULT_FILTER: &str = "info,ractor=warn,refinery_core=warn";

/// Interval of the exporter's upkeep; without it, histograms grow between two scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Bucket bounds of duration histograms, in seconds: fine for commits and calls, coarse for waits.
const SECONDS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bucket bounds of batch size histograms.
const ITEMS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Bucket bounds of the duration of sagas, in seconds: they can wait minutes for an unavailable participant.
const SAGA_SECONDS: [f64; 21] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0,
    300.0, 1800.0,
];

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A metric: kind, name, and HELP text.
pub type Metric = (MetricKind, &'static str, &'static str);

/// Registers the HELP texts of metrics.
pub fn describe(metrics: &[Metric]) {
    metrics_handle();
    for (kind, name, help) in metrics {
        match kind {
            MetricKind::Counter => describe_counter!(*name, *help),
            MetricKind::Gauge => describe_gauge!(*name, *help),
            MetricKind::Histogram => describe_histogram!(*name, *help),
        }
    }
}

/// Reads the state of an object into gauges; `None` once the object is gone.
type Reading = Box<dyn Fn() -> Option<()> + Send>;

static READINGS: Mutex<Vec<Reading>> = Mutex::new(Vec::new());

/// Registers a reading that runs at every scrape until it returns `None`. It must not block, and should hold its object
/// by a weak reference.
pub fn at_scrape(reading: impl Fn() -> Option<()> + Send + 'static) {
    READINGS.lock().push(Box::new(reading));
}

/// Returns all metrics of the process in the Prometheus text format.
pub fn scrape() -> String {
    let handle = metrics_handle();
    READINGS.lock().retain(|reading| reading().is_some());
    metrics_process::Collector::default().collect();
    handle.render()
}

/// Sets up the logs of this process on standard error: standard output belongs to the output of commands. A second call
/// changes nothing. An invalid filter is replaced by the default one, and an error is logged.
pub fn init(settings: &TelemetrySettings, service: ServiceName) {
    let (filter, problem) = match EnvFilter::builder().parse(with_engine(&settings.filter)) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let first = match settings.format {
        LogFormat::Text => {
            // A file or a pipe gets plain text, and so does a terminal whose user set NO_COLOR (https://no-color.org).
            let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let layer = fmt::layer().with_ansi(io::stderr().is_terminal() && !no_color);
            registry.with(layer.with_writer(LogLine::Text).log_internal_errors(false)).try_init()
        }
        LogFormat::Json => {
            let layer = fmt::layer()
                .fmt_fields(JsonFields::new())
                .event_format(JsonLines::new(service, &settings.service_name));
            registry.with(layer.with_writer(LogLine::Json).log_internal_errors(false)).try_init()
        }
    };
    if first.is_ok() && settings.format == LogFormat::Json {
        LOGS_ARE_JSON.store(true, Ordering::Relaxed);
        // A panic is logged as a line like any other.
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            tracing::error!(place, "a panic: {}", panic.payload_as_str().unwrap_or("without a message"));
        }));
    }
    // An error means that another caller set the logs up before, which is fine.
    if let (Ok(()), Some(error)) = (first, problem) {
        tracing::error!(filter = settings.filter, %error, "telemetry.filter is invalid; using {DEFAULT_FILTER}");
    }
}

static LOGS_ARE_JSON: AtomicBool = AtomicBool::new(false);

/// Returns whether the log is for machines: then nothing else may be written to standard error.
pub fn logs_are_json() -> bool {
    LOGS_ARE_JSON.load(Ordering::Relaxed)
}

/// Writes a text for the user to standard error; as a log line if the log is for machines.
pub fn notice(text: &str) {
    if logs_are_json() { tracing::info!("{text}") } else { console::complain(text) }
}

/// Warns about a setting that should have another value.
pub fn warning(text: &str) {
    if logs_are_json() { tracing::warn!("{text}") } else { console::complain(&format!("warning: {text}")) }
}

/// Returns the renderer of this process's metrics; the first call sets it up. Counters and histograms created before
/// are not included.
pub fn metrics_handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("the buckets are not empty")
            .set_buckets_for_metric(Matcher::Full("ecommerce_saga_seconds".to_owned()), &SAGA_SECONDS)
            .expect("the buckets are not empty")
            .set_buckets_for_metric(Matcher::Suffix("_items".to_owned()), &ITEMS)
            .expect("the buckets are not empty")
            .build_recorder();
        let handle = recorder.handle();
        // A recorder set up by other code stays; then this one renders nothing, which is no reason to stop.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        metrics_process::Collector::default().describe();
        let upkeep = handle.clone();
        // A separate thread: the runtime of the first caller may end long before the process.
        let started = thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(move || {
            loop {
                thread::sleep(UPKEEP_INTERVAL);
                upkeep.run_upkeep();
            }
        });
        if let Err(error) = started {
            tracing::warn!(%error, "cannot start the metrics upkeep thread; only scrapes do the upkeep");
        }
        handle
    })
}

/// Lets the directives for `orchestrator` select the lines of its crate `saga_engine` as well. A directive that names
/// `saga_engine` comes later, and so takes precedence.
fn with_engine(filter: &str) -> String {
    let engine = filter.split(',').filter_map(|directive| {
        let rest = directive.strip_prefix("orchestrator")?;
        let rest = rest.strip_prefix("::saga").unwrap_or(rest);
        (rest.is_empty() || rest.starts_with(['=', ':', '['])).then(|| format!("saga_engine{rest},"))
    });
    engine.collect::<String>() + filter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigSource;

    #[test]
    fn a_filter_for_the_orchestrator_selects_its_engine_too() {
        for (filter, expected) in [
            ("info,ractor=warn,refinery_core=warn", "info,ractor=warn,refinery_core=warn"),
            ("warn,orchestrator=info", "saga_engine=info,warn,orchestrator=info"),
            ("orchestrator::saga::lease=debug", "saga_engine::lease=debug,orchestrator::saga::lease=debug"),
            ("orchestrator=info,saga_engine=warn", "saga_engine=info,orchestrator=info,saga_engine=warn"),
            ("orchestrator_of_mine=info", "orchestrator_of_mine=info"),
        ] {
            assert_eq!(with_engine(filter), expected);
            assert!(EnvFilter::builder().parse(with_engine(filter)).is_ok(), "{filter}");
        }
    }

    #[test]
    fn a_second_call_and_a_broken_filter_do_no_harm() {
        for (filter, format) in [("warn,common=info", LogFormat::Text), ("no=such=filter", LogFormat::Json)] {
            let settings = ConfigSource::embedded("bench").load().unwrap().telemetry;
            init(&TelemetrySettings { filter: filter.to_owned(), format, ..settings }, ServiceName::Of("test"));
        }
    }

    #[test]
    fn durations_are_counted_in_buckets() {
        let handle = metrics_handle();
        metrics::histogram!("telemetry_test_seconds").record(0.002);
        let text = metrics_handle().render();
        assert!(std::ptr::eq(handle, metrics_handle()));
        assert!(text.contains(r#"telemetry_test_seconds_bucket{le="0.0025"} 1"#), "{text}");
    }
}
