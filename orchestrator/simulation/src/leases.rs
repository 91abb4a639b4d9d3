//! The lease's session in a run: a statement takes time, can fail before it takes effect, and can lose its answer. The
//! lease's actor is the real one.

use std::sync::Arc;

use tokio::time::Instant;

use super::fate::LookEnd;
use super::process::ProcessId;
use super::sim::Sim;
use saga_engine::lease::{RenewRequest, Renewal};
use saga_engine::owner::Owner;
use saga_engine::world::Answer;

/// Renews the lease of a process.
pub(super) fn renew(
    sim: &Arc<Sim>,
    process: ProcessId,
    request: RenewRequest,
    answer: Answer<Result<Renewal, String>>,
) {
    let fate = {
        let phase = sim.phase();
        sim.lock().fate.look(phase)
    };
    let (sim, sent_at) = (sim.clone(), Instant::now());
    tokio::spawn(async move {
        tokio::time::sleep(fate.takes).await;
        let renewal = match fate.end {
            _ if !sim.reaches_database(process) => Err("the database is away".to_owned()),
            LookEnd::CutBefore(0) => Err("the connection went".to_owned()),
            LookEnd::Lost => {
                renew_now(&sim, &request, sent_at);
                Err("the connection went".to_owned())
            }
            _ => Ok(renew_now(&sim, &request, sent_at)),
        };
        sim.at(process, move |_| answer.give(renewal));
    });
}

fn renew_now(sim: &Sim, request: &RenewRequest, sent_at: Instant) -> Renewal {
    let RenewRequest { owner, was_registered, lease, .. } = request;
    let time = sim.database_now();
    let log = &mut sim.lock().log;
    if !was_registered {
        log.register(owner, time, *lease);
    }
    match log.renew(owner, time, *lease) {
        true => Renewal::Granted { sent_at, time },
        false => Renewal::Superseded,
    }
}

/// Gives up the lease of a process.
pub(super) fn give_up(sim: &Arc<Sim>, owner: &Owner, answer: Answer<Result<(), String>>) {
    let now = sim.database_now();
    sim.lock().log.give_up_lease(owner, now);
    answer.give(Ok(()));
}
