//! JSON log lines for machines: one object a line. All have `service.name`; lines that belong to a request or a saga have
//! `trace_id` and `span_id`, the names that OpenTelemetry gives them outside of its own protocol, and `saga.id`.
//!
//! The ids of a request are kept in a task local and read only when a line is written: a span with fields would be a
//! cost for every request, logged or not. Log lines about a saga name it themselves, and its trace id is its saga id.

use std::fmt;

use foundation::trace_context::{SAGA, TraceContext, span_id_of};
use tokio::task::futures::TaskLocalFuture;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

tokio::task_local! {
    static REQUEST: LineContext;
}

/// The service, the span and the saga that the lines of a request belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineContext {
    pub(crate) service: &'static str,
    pub(crate) trace: TraceContext,
    /// The calling saga, if any.
    pub(crate) saga_id: Option<Uuid>,
}

/// Runs the work of a request; its log lines get the ids of `of`.
pub(crate) fn within<F: Future>(of: LineContext, work: F) -> TaskLocalFuture<LineContext, F> {
    REQUEST.scope(of, work)
}

/// The service that a line names.
#[derive(Clone, Copy, Debug)]
pub enum ServiceName {
    /// The same for all lines.
    Of(&'static str),
    /// Of several services in a process: that of the line's request, or else that of its target, the path of a module.
    ByTarget(fn(&str) -> &'static str),
}

/// Formats an event as JSON and adds missing ids.
pub(super) struct JsonLines {
    format: Format<Json>,
    service: ServiceName,
    /// The name in the settings, which replaces all.
    service_name: String,
}

impl JsonLines {
    pub(super) fn new(service: ServiceName, service_name: &str) -> Self {
        let json = tracing_subscriber::fmt::format().json();
        let format = json.flatten_event(true).with_current_span(true).with_span_list(false);
        Self { format, service, service_name: service_name.to_owned() }
    }

    fn service_name(&self, request: Option<LineContext>, target: &str) -> &str {
        match (self.service_name.as_str(), self.service, request) {
            ("", ServiceName::Of(name), _) => name,
            ("", ServiceName::ByTarget(_), Some(request)) => request.service,
            ("", ServiceName::ByTarget(name_of), None) => name_of(target),
            (given, ..) => given,
        }
    }
}

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::with_capacity(256);
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let Some(rest) = line.strip_prefix('{') else { return writer.write_str(&line) };
        let request = REQUEST.try_with(|of| *of).ok();
        let service = self.service_name(request, event.metadata().target());
        write!(writer, r#"{{"service.name":{},"#, serde_json::Value::from(service))?;
        write_missing_ids(event, request, &mut writer)?;
        writer.write_str(rest)
    }
}

/// Writes the ids that the event does not have itself.
fn write_missing_ids(event: &Event<'_>, request: Option<LineContext>, writer: &mut Writer<'_>) -> fmt::Result {
    let mut own = Own::default();
    event.record(&mut own);
    if !own.names_saga
        && let Some(saga_id) = request.and_then(|of| of.saga_id)
    {
        write!(writer, r#""saga.id":"{saga_id}","#)?;
    }
    if own.names_trace {
        return Ok(());
    }
    // The trace id of a saga is its saga id, also for lines written within another request.
    let (trace_id, span_id) = match (own.saga_id, request.map(|of| of.trace)) {
        (Some(id), Some(trace)) if id.as_u128() == trace.trace_id => (trace.trace_id, trace.span_id),
        (Some(id), _) => (id.as_u128(), span_id_of(id, SAGA)),
        (None, Some(trace)) => (trace.trace_id, trace.span_id),
        (None, None) => return Ok(()),
    };
    write!(writer, r#""trace_id":"{trace_id:032x}","span_id":"{span_id:016x}","#)
}

/// Ids among the event's own fields.
#[derive(Default)]
struct Own {
    names_saga: bool,
    names_trace: bool,
    saga_id: Option<Uuid>,
}

impl Visit for Own {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "saga.id" => {
                self.names_saga = true;
                self.saga_id = value.parse().ok();
            }
            "trace_id" => self.names_trace = true,
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "saga.id" => self.record_str(field, &format!("{value:?}")),
            "trace_id" => self.names_trace = true,
            // Other fields are not formatted, to save the cost.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_names_the_trace_and_the_saga_that_it_belongs_to() {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines::new(ServiceName::ByTarget(|_| "process"), ""));
        let registry = tracing_subscriber::registry().with(layer.with_writer(move || writer.clone()));
        let _logs = tracing::subscriber::set_default(registry);
        let (saga, other) = (Uuid::now_v7(), Uuid::now_v7());

        tracing::info!("of nothing");
        tracing::info!(saga.id = %other, "of a saga");
        let of = |trace_id, saga_id| {
            let trace = TraceContext { trace_id, span_id: 5, sampled: false };
            LineContext { service: "payments", trace, saga_id }
        };
        within(of(7, Some(saga)), async {
            tracing::info!(text = "quotes \" and\nlines", "of a request");
            tracing::info!(saga.id = %other, "of another saga");
        })
        .await;
        within(of(7, None), async { tracing::info!("of a client") }).await;
        within(of(saga.as_u128(), Some(saga)), async { tracing::info!(saga.id = %saga, "of a saga's request") }).await;

        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let ids = |of: &Value| {
            ["saga.id", "trace_id", "span_id", "service.name"].map(|name| of[name].as_str().unwrap_or("-").to_owned())
        };
        let line = |saga: &str, trace: &str, span: &str, service: &str| [saga, trace, span, service].map(str::to_owned);
        let (saga_id, other_id) = (saga.to_string(), other.to_string());
        let (seven, five) = (format!("{:032x}", 7), format!("{:016x}", 5));
        let (saga_trace, other_trace) = (saga.simple().to_string(), other.simple().to_string());
        let other_span = format!("{:016x}", span_id_of(other, "saga"));
        let expected = [
            line("-", "-", "-", "process"),
            line(&other_id, &other_trace, &other_span, "process"),
            line(&saga_id, &seven, &five, "payments"),
            line(&other_id, &other_trace, &other_span, "payments"),
            line("-", &seven, &five, "payments"),
            line(&saga_id, &saga_trace, &five, "payments"),
        ];
        assert_eq!(lines.iter().map(ids).collect::<Vec<_>>(), expected, "{text}");
        for name in ["saga.id", "trace_id", "span_id", "service.name"] {
            assert!(text.lines().all(|line| line.matches(name).count() <= 1), "{text}");
        }
    }
}
