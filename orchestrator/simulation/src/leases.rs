//! The lease's session in a run: a statement takes time, can fail before it takes effect, and can lose its answer or
//! get it late. The lease's actor is the real one.

use std::sync::Arc;

use tokio::time::Instant;

use super::fate::LookEnd;
use super::process::ProcessId;
use super::sim::Sim;
use super::standbys::Database;
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
    let (fate, answers_after) = {
        let phase = sim.phase();
        let mut inner = sim.lock();
        let fate = (inner.fate.look(phase), inner.fate.renewal_answers_after(phase));
        inner.tally.slow_renewals += u64::from(!fate.1.is_zero());
        fate
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
            _ => match renew_now(&sim, &request, sent_at) {
                Renewal::Granted { .. } if !sim.confirms(&Database::SagaLog) => {
                    Err("the standby did not confirm the renewal".to_owned())
                }
                renewal => Ok(renewal),
            },
        };
        tokio::time::sleep(answers_after).await;
        sim.at(process, move |_| answer.give(renewal));
    });
}

fn renew_now(sim: &Sim, request: &RenewRequest, sent_at: Instant) -> Renewal {
    let RenewRequest { owner, was_registered, lease, .. } = request;
    let time = sim.database_now();
    sim.lock().log.leases.renew(owner, *was_registered, sent_at, time, *lease)
}

/// Gives up the lease of a process.
pub(super) fn give_up(sim: &Arc<Sim>, owner: &Owner, answer: Answer<Result<(), String>>) {
    let now = sim.database_now();
    sim.lock().log.leases.give_up(owner, now);
    answer.give(Ok(()));
}
