//! Metrics of sagas and of their calls, with their descriptions in `/metrics`.
//!
//! Handles are created once and kept: a lookup by labels costs more than counting.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use common::telemetry::{self, Metric, MetricKind};
use metrics::{Gauge, Histogram, counter, gauge, histogram};
use smol_str::SmolStr;

use saga_engine::lease::LeaseState;
use saga_engine::meters::{ENDED, RECOVERED, ROWS_GONE, SECONDS, STARTED, TURNED_BACK};
use saga_engine::recovery;
use saga_engine::running::Running;

const RUNNING: &str = "ecommerce_sagas_running";
const WITHOUT_ACTOR: &str = "ecommerce_sagas_without_actor";
const ATTENTION: &str = "ecommerce_sagas_attention";
const EVENT_LAG: &str = "ecommerce_event_lag_seconds";
const ON_HOLD: &str = "ecommerce_sagas_on_hold";
const LEASE: &str = "ecommerce_node_lease_valid";
const CALL_SECONDS: &str = "ecommerce_saga_call_seconds";
const BREAKER: &str = "ecommerce_participant_breaker_state";
const IN_FLIGHT: &str = "ecommerce_participant_calls_in_flight";
const WAITING: &str = "ecommerce_participant_calls_waiting";

const METRICS: [Metric; 18] = [
    (MetricKind::Counter, STARTED, "Sagas that this node started."),
    (MetricKind::Counter, RECOVERED, "Sagas that this node took over, from other nodes or from itself."),
    (MetricKind::Counter, ENDED, "Sagas that ended on this node, by status."),
    (MetricKind::Histogram, SECONDS, "Age of a saga at its end, by status."),
    (MetricKind::Gauge, RUNNING, "Sagas that run on this node."),
    (
        MetricKind::Gauge,
        WITHOUT_ACTOR,
        "Unfinished sagas without an actor that this node could run: its own and (up to 10,000) those of dead nodes.",
    ),
    (MetricKind::Gauge, ATTENTION, "Sagas of all nodes in the attention list, counted up to 10,000."),
    (
        MetricKind::Counter,
        TURNED_BACK,
        "Sagas that ended COMPENSATED on this node, by reason: refused, unknown (after all attempts), deadline, cancelled or \
         earlier_owner.",
    ),
    (MetricKind::Gauge, ON_HOLD, "1 while this node knows of a hold on all sagas, else 0."),
    (MetricKind::Gauge, LEASE, "1 while this node holds its lease, else 0: without a lease it starts no sagas."),
    (
        MetricKind::Gauge,
        "ecommerce_sagas_stalled",
        "Sagas of this node without progress for orchestrator.stalled_after_ms.",
    ),
    (MetricKind::Counter, ROWS_GONE, "Sagas of this node whose rows were missing from the saga log at a write."),
    (MetricKind::Gauge, "ecommerce_event_listeners", "Listeners of /saga/events on this node."),
    (
        MetricKind::Gauge,
        EVENT_LAG,
        "Age of the oldest committed event that this node has not sent to its listeners; 0 without listeners.",
    ),
    (
        MetricKind::Histogram,
        CALL_SECONDS,
        "Time of one attempt, including the queue, by participant, step, kind and outcome.",
    ),
    (MetricKind::Gauge, BREAKER, "Circuit breaker of a participant's operation: 0 closed, 1 half-open, 2 open."),
    (MetricKind::Gauge, IN_FLIGHT, "Calls in flight to a participant."),
    (MetricKind::Gauge, WAITING, "Calls queued for a participant."),
];

/// Maximum number of a participant's steps, and of its operations, with series of their own: definitions may name any
/// number, and series stay until the process ends.
const MAX_SHOWN: usize = 500;

/// Label of the steps beyond them.
const OTHER_STEPS: &str = "other";

/// Sets up the metrics of the node as a whole; they are read at each scrape while the node lives.
pub(crate) fn measure_node(lease: &Arc<LeaseState>, running: &Arc<Running>) {
    telemetry::describe(&METRICS);
    let (valid, on_hold) = (gauge!(LEASE), gauge!(ON_HOLD));
    let (sagas, without_actor) = (gauge!(RUNNING), gauge!(WITHOUT_ACTOR));
    // Shown from the start, before the first listener.
    gauge!("ecommerce_event_listeners").set(0.0);
    event_lag().set(0.0);
    counter!(ROWS_GONE).absolute(0);
    let (lease, running): (Weak<LeaseState>, Weak<Running>) = (Arc::downgrade(lease), Arc::downgrade(running));
    telemetry::at_scrape(move || {
        let (lease, running) = (lease.upgrade()?, running.upgrade()?);
        valid.set(if lease.is_valid() { 1.0 } else { 0.0 });
        on_hold.set(if lease.hold().is_some() { 1.0 } else { 0.0 });
        sagas.set(running.len() as f64);
        without_actor.set(recovery::without_actor(&lease, &running) as f64);
        Some(())
    });
}

pub(crate) fn event_lag() -> Gauge {
    gauge!(EVENT_LAG)
}

pub(crate) fn attention() -> Gauge {
    gauge!(ATTENTION)
}

/// One attempt, measured.
#[derive(Clone, Debug)]
pub(crate) struct Attempted {
    pub(crate) step: SmolStr,
    /// `action` or `compensation`.
    pub(crate) kind: &'static str,
    /// `done`, `refused` or `unknown`.
    pub(crate) outcome: &'static str,
    pub(crate) took: Duration,
}

/// Metrics of one participant's client.
pub(crate) struct ClientMeters {
    participant: SmolStr,
    steps: HashSet<SmolStr>,
    operations: HashSet<String>,
    seconds: HashMap<(SmolStr, &'static str, &'static str), Histogram>,
}

impl ClientMeters {
    /// `reading` returns the calls in flight and in the queue while the client lives.
    pub(crate) fn new(participant: SmolStr, reading: impl Fn() -> Option<(usize, usize)> + Send + 'static) -> Self {
        let (in_flight, waiting) = (
            gauge!(IN_FLIGHT, "participant" => participant.to_string()),
            gauge!(WAITING, "participant" => participant.to_string()),
        );
        telemetry::at_scrape(move || {
            let (out, in_line) = reading()?;
            in_flight.set(out as f64);
            waiting.set(in_line as f64);
            Some(())
        });
        Self { participant, steps: HashSet::new(), operations: HashSet::new(), seconds: HashMap::new() }
    }

    /// Shows the breaker of an operation: 0 closed, 1 half-open, 2 open.
    pub(crate) fn breaker(&mut self, operation: &str, level: f64) {
        if !self.operations.contains(operation) {
            if self.operations.len() >= MAX_SHOWN {
                return;
            }
            self.operations.insert(operation.to_owned());
        }
        show_breaker(&self.participant, operation, level);
    }

    pub(crate) fn attempted(&mut self, attempted: Attempted) {
        let Attempted { mut step, kind, outcome, took } = attempted;
        if !self.steps.contains(&step) {
            if self.steps.len() < MAX_SHOWN {
                self.steps.insert(step.clone());
            } else {
                step = SmolStr::new_static(OTHER_STEPS);
            }
        }
        let participant = &self.participant;
        let seconds = self.seconds.entry((step.clone(), kind, outcome)).or_insert_with(|| {
            let (participant, step) = (participant.to_string(), step.to_string());
            histogram!(CALL_SECONDS, "participant" => participant, "step" => step, "kind" => kind, "outcome" => outcome)
        });
        seconds.record(took);
    }
}

/// Sets the level of a breaker: 0 closed, 1 half-open, 2 open.
pub(crate) fn show_breaker(participant: &str, operation: &str, level: f64) {
    gauge!(BREAKER, "participant" => participant.to_owned(), "operation" => operation.to_owned()).set(level);
}
