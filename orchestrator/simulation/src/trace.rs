//! The trace of a run: events with their time and actor, byte for byte the same for the same seed. It costs nothing
//! when switched off.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use saga_engine::SagaId;

/// Whether a run records a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// It does.
    On,
    /// It does not: a run is much faster without.
    Off,
}

pub(super) struct Trace {
    tracing: Tracing,
    text: String,
    names: BTreeMap<SagaId, usize>,
}

impl Trace {
    pub(super) fn new(tracing: Tracing) -> Trace {
        Trace { tracing, text: String::new(), names: BTreeMap::new() }
    }

    /// Gives a saga its short name: its number in the order of the clients' requests.
    pub(super) fn named(&mut self, id: SagaId) {
        let next = self.names.len() + 1;
        self.names.entry(id).or_insert(next);
    }

    /// Returns the short name of a saga, or its id if it has none.
    pub(super) fn name(&self, id: SagaId) -> String {
        match self.names.get(&id) {
            Some(name) => format!("saga {name}"),
            None => format!("saga {id}"),
        }
    }

    /// Adds a line; `who` and `what` are called only if a trace is recorded.
    pub(super) fn note(&mut self, at: Duration, who: impl FnOnce() -> String, what: impl FnOnce(&Trace) -> String) {
        if self.tracing == Tracing::Off {
            return;
        }
        let (who, what) = (who(), what(self));
        let _ = writeln!(self.text, "{:>9.3}s  {who:<14}  {what}", at.as_secs_f64());
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
