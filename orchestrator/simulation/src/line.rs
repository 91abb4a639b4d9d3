//! The calls of one process to one participant: so many at once, the others wait in line. Waiting counts for a call's
//! timeout, as live.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::network::{self, Pending};
use super::process::ProcessId;
use super::sim::Sim;

/// A line.
#[derive(Default)]
pub(super) struct Line {
    in_flight: usize,
    waiting: VecDeque<Arc<Pending>>,
}

/// Sends a call, or has it wait.
pub(super) fn enter(sim: &Arc<Sim>, process: ProcessId, pending: Arc<Pending>) {
    let goes = {
        let mut inner = sim.lock();
        let line = inner.processes[process.0].lines.entry(pending.call.participant).or_default();
        let goes = line.in_flight < sim.knobs.calls_at_once;
        if goes {
            line.in_flight += 1;
        } else {
            line.waiting.push_back(pending.clone());
            inner.tally.waited_in_line += 1;
        }
        goes
    };
    if goes {
        network::send(sim, process, &pending);
    }
}

/// One call is over: the next one goes.
pub(super) fn leave(sim: &Arc<Sim>, process: ProcessId, participant: &'static str) {
    let next = {
        let mut inner = sim.lock();
        let line = inner.processes[process.0].lines.entry(participant).or_default();
        let next = line.waiting.pop_front();
        if next.is_none() {
            line.in_flight -= 1;
        }
        next
    };
    let Some(next) = next else { return };
    match next.since.elapsed() < next.call.timeout {
        true => network::send(sim, process, &next),
        false => network::time_was_up(sim, process, &next),
    }
}

/// Returns when a call must be answered.
pub(super) fn give_up_at(pending: &Pending) -> Instant {
    pending.since + pending.call.timeout
}
