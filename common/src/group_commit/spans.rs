//! The span of a write, from its queueing to its outcome.

use std::time::{Duration, SystemTime};

use super::batch::Traced;
use super::flush::Ended;
use super::{BatchWriter, Shared};
use crate::db::describe;
use crate::traces::{Span, SpanKind, Status, attribute};

impl<W: BatchWriter> Shared<W> {
    /// Records the outcome of a write whose batch began at `began`.
    pub(super) fn trace<A>(&self, ended: &Ended<A>, traced: &Traced, items: usize, began: SystemTime) {
        let (outcome, error, sqlstate) = match ended {
            Ended::Committed(_) => ("committed", None, None),
            Ended::Refused(error) => {
                ("refused", Some(describe(error)), error.code().map(|code| code.code().to_owned()))
            }
            Ended::NotWritten(reason) | Ended::NoDatabase(reason) => ("not written", Some(reason.clone()), None),
            Ended::InDoubt(reason) => ("in doubt", Some(reason.clone()), None),
        };
        let waited = began.duration_since(traced.queued).unwrap_or(Duration::ZERO);
        self.tracer.record(&traced.part_of.child(), || {
            let mut attributes = vec![
                attribute("db.system.name", "postgresql"),
                attribute("db.namespace", self.pool.database().to_owned()),
                attribute("db.operation.name", "COMMIT"),
                attribute("db.query.summary", format!("COMMIT {}", self.name)),
                attribute("commit.of", traced.what),
                attribute("commit.outcome", outcome),
                attribute("commit.batch_items", integer(items as u128)),
                attribute("commit.queued_us", integer(waited.as_micros())),
            ];
            if items > 1 {
                // The conventions have no size for a batch of one.
                attributes.push(attribute("db.operation.batch.size", integer(items as u128)));
            }
            if error.is_some() {
                let class = sqlstate.clone().unwrap_or_else(|| outcome.replace(' ', "_"));
                attributes.push(attribute("error.type", class));
            }
            attributes.extend(sqlstate.map(|code| attribute("db.response.status_code", code)));
            Span {
                name: format!("commit {}", self.name).into(),
                kind: SpanKind::Client,
                parent: Some(traced.part_of.span_id),
                began: traced.queued,
                ended: SystemTime::now(),
                attributes,
                links: Vec::new(),
                status: error.map_or(Status::Ok, Status::error),
            }
        });
    }
}

fn integer(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
