//! The span of a write, from its queueing to its outcome.

use std::time::{Duration, SystemTime};

use super::flush::Ended;
use super::{BatchWriter, Shared};
use crate::db::describe;
use crate::http::TraceContext;
use crate::traces::{Span, SpanKind, Status, Tracer, attribute};

/// A write that is part of a trace.
pub(super) struct Traced {
    part_of: TraceContext,
    what: &'static str,
    queued: SystemTime,
}

impl Traced {
    pub(super) fn of<W: BatchWriter>(tracer: &Tracer, writer: &W, item: &W::Item) -> Option<Box<Self>> {
        if !tracer.is_on() {
            return None;
        }
        let (part_of, what) = writer.traced(item).filter(|(part_of, _)| part_of.sampled)?;
        Some(Box::new(Self { part_of, what, queued: SystemTime::now() }))
    }
}

impl<W: BatchWriter> Shared<W> {
    /// Records the outcome of a write whose batch began at `began`.
    pub(super) fn trace<A>(&self, ended: &Ended<A>, traced: &Traced, items: usize, began: SystemTime) {
        let (outcome, status) = match ended {
            Ended::Committed(_) => ("committed", Status::Ok),
            Ended::Refused(error) => ("refused", Status::error(describe(error))),
            Ended::NotWritten(reason) | Ended::NoDatabase(reason) => ("not written", Status::error(reason.clone())),
            Ended::InDoubt(reason) => ("in doubt", Status::error(reason.clone())),
        };
        let waited = began.duration_since(traced.queued).unwrap_or(Duration::ZERO);
        self.tracer.record(&traced.part_of.child(), || Span {
            name: format!("commit {}", self.name).into(),
            kind: SpanKind::Client,
            parent: Some(traced.part_of.span_id),
            began: traced.queued,
            ended: SystemTime::now(),
            attributes: vec![
                attribute("db.system.name", "postgresql"),
                attribute("commit.of", traced.what),
                attribute("commit.outcome", outcome),
                attribute("commit.batch_items", i64::try_from(items).unwrap_or(i64::MAX)),
                attribute("commit.queued_us", i64::try_from(waited.as_micros()).unwrap_or(i64::MAX)),
            ],
            links: Vec::new(),
            status,
        });
    }
}
