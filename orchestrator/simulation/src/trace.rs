//! The trace of a run: who did what when, byte for byte the same for the same seed. It costs nothing until it is asked
//! for.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use saga_engine::SagaId;

/// Whether a trace is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Yes.
    On,
    /// No: a run is much faster without.
    Off,
}

/// The trace.
pub(super) struct Trace {
    tracing: Tracing,
    text: String,
    names: BTreeMap<SagaId, usize>,
}

impl Trace {
    pub(super) fn new(tracing: Tracing) -> Trace {
        Trace { tracing, text: String::new(), names: BTreeMap::new() }
    }

    /// Gives a saga its short name: the order in which clients asked for it.
    pub(super) fn named(&mut self, id: SagaId) {
        let next = self.names.len() + 1;
        self.names.entry(id).or_insert(next);
    }

    /// Returns the short name of a saga.
    pub(super) fn name(&self, id: SagaId) -> String {
        match self.names.get(&id) {
            Some(name) => format!("saga {name}"),
            None => format!("saga {id}"),
        }
    }

    /// Adds a line; `what` is called only if a trace is wanted.
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
