//! The queue of calls of one process to one participant, with a maximum number in flight. The wait counts towards a
//! call's timeout, as in production.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use smol_str::SmolStr;

use super::network::{self, Pending};
use super::process::ProcessId;
use super::sim::Sim;

/// The queue of one process to one participant.
#[derive(Default)]
pub(super) struct Line {
    in_flight: usize,
    waiting: VecDeque<Arc<Pending>>,
}

/// Sends a call, or queues it if the maximum is in flight.
pub(super) fn enter(sim: &Arc<Sim>, process: ProcessId, pending: Arc<Pending>) {
    let goes = {
        let mut inner = sim.lock();
        let line = inner.processes[process.0].lines.entry(pending.call.participant.clone()).or_default();
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

/// Ends a call, and sends the next one from the queue.
pub(super) fn leave(sim: &Arc<Sim>, process: ProcessId, participant: &SmolStr) {
    let next = {
        let mut inner = sim.lock();
        let line = inner.processes[process.0].lines.entry(participant.clone()).or_default();
        let next = line.waiting.pop_front();
        if next.is_none() {
            line.in_flight -= 1;
        }
        next
    };
    let Some(next) = next else { return };
    if next.since.elapsed() < next.call.timeout {
        network::send(sim, process, &next)
    } else {
        network::time_was_up(sim, process, &next)
    }
}

/// Returns when a call times out.
pub(super) fn give_up_at(pending: &Pending) -> Instant {
    pending.since + pending.call.timeout
}
