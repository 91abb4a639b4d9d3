//! JSON log lines for machines: one object a line. Lines that belong to a request or a saga have `trace.id` and
//! `saga.id`.
//!
//! The ids of a request are kept in a task local and read only when a line is written: a span with fields would be a
//! cost for every request, logged or not. Log lines about a saga name it themselves, and its trace id is its saga id.

use std::fmt::{self, Write};

use tokio::task::futures::TaskLocalFuture;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

tokio::task_local! {
    static REQUEST: Of;
}

/// The trace and the saga that the lines of a request belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of {
    pub(crate) trace_id: u128,
    /// The calling saga, if any.
    pub(crate) saga_id: Option<Uuid>,
}

/// Runs the work of a request; its log lines get the ids of `of`.
pub(crate) fn within<F: Future>(of: Of, work: F) -> TaskLocalFuture<Of, F> {
    REQUEST.scope(of, work)
}

/// Formats an event as JSON and adds missing ids.
pub(super) struct JsonLines(Format<Json>);

impl JsonLines {
    pub(super) fn new() -> Self {
        let json = tracing_subscriber::fmt::format().json();
        Self(json.flatten_event(true).with_current_span(true).with_span_list(false))
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
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let mut ids = String::new();
        missing(event, &mut ids)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, "{{{ids}{rest}"),
            None => writer.write_str(&line),
        }
    }
}

/// Writes the ids that the event does not have itself.
fn missing(event: &Event<'_>, ids: &mut String) -> fmt::Result {
    let mut own = Own::default();
    event.record(&mut own);
    let request = REQUEST.try_with(|of| *of).ok();
    if !own.names_saga
        && let Some(saga_id) = request.and_then(|of| of.saga_id)
    {
        write!(ids, r#""saga.id":"{saga_id}","#)?;
    }
    // The trace id of a saga is its saga id, also for lines written within another request.
    let of_saga = own.saga_id.map(|id| id.as_u128());
    if !own.names_trace
        && let Some(trace_id) = of_saga.or(request.map(|of| of.trace_id))
    {
        write!(ids, r#""trace.id":"{trace_id:032x}","#)?;
    }
    Ok(())
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
            "trace.id" => self.names_trace = true,
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Other fields are not formatted, to save the cost.
        if matches!(field.name(), "saga.id" | "trace.id") {
            self.record_str(field, &format!("{value:?}"));
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
        let layer = tracing_subscriber::fmt::layer().fmt_fields(JsonFields::new()).event_format(JsonLines::new());
        let registry = tracing_subscriber::registry().with(layer.with_writer(move || writer.clone()));
        let _logs = tracing::subscriber::set_default(registry);
        let (saga, other) = (Uuid::now_v7(), Uuid::now_v7());

        tracing::info!("of nothing");
        tracing::info!(saga.id = %other, "of a saga");
        within(Of { trace_id: 7, saga_id: Some(saga) }, async {
            tracing::info!(text = "quotes \" and\nlines", "of a request");
            tracing::info!(saga.id = %other, "of another saga");
        })
        .await;
        within(Of { trace_id: 7, saga_id: None }, async { tracing::info!("of a client") }).await;

        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let ids = |of: &Value| ["saga.id", "trace.id"].map(|name| of[name].as_str().unwrap_or("-").to_owned());
        let seven = format!("{:032x}", 7);
        let expected = [
            ["-".to_owned(), "-".to_owned()],
            [other.to_string(), other.simple().to_string()],
            [saga.to_string(), seven.clone()],
            [other.to_string(), other.simple().to_string()],
            ["-".to_owned(), seven],
        ];
        assert_eq!(lines.iter().map(ids).collect::<Vec<_>>(), expected, "{text}");
        assert!(text.lines().all(|line| line.matches("saga.id").count() <= 1), "{text}");
    }
}
