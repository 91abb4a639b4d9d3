//! The [`World`] of one simulated process, which also kills single actors.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::fate::FaultPhase;
use super::process::ProcessId;
use super::sim::{Sim, saga_id};
use super::{leases, log_access, looks, network, watch};
use saga_engine::SagaId;
use saga_engine::lease::{LeaseState, RenewRequest, Renewal};
use saga_engine::outcome::Outcome;
use saga_engine::owner::Owner;
use saga_engine::record::{LogWrite, WriteReport};
use saga_engine::recovery::{ClaimRequest, Claimed};
use saga_engine::world::{Answer, Call, World};

/// Reason of the death of an actor that the simulator killed.
pub(super) const KILLED: &str = "the simulator killed this actor";

pub(super) struct SimulatedWorld {
    pub(super) sim: Arc<Sim>,
    pub(super) process: ProcessId,
    pub(super) lease: Arc<LeaseState>,
}

impl SimulatedWorld {
    /// Kills the calling actor with some probability, before or after its request is sent.
    fn maybe_die(&self) {
        if self.sim.phase() == FaultPhase::Calm {
            return;
        }
        let dies = {
            let mut inner = self.sim.lock();
            let dies = inner.chance(self.sim.faults.actor_death_rate / 2.0);
            inner.tally.actor_deaths += u64::from(dies);
            dies
        };
        if dies {
            self.sim.note_at(self.process, |_| "loses an actor".to_owned());
            // Without the panic hook: this panic is not a bug to report.
            std::panic::resume_unwind(Box::new(KILLED.to_owned()));
        }
    }
}

impl World for SimulatedWorld {
    fn write(&self, write: Arc<LogWrite>, answer: Answer<WriteReport>) {
        let process = self.process;
        self.maybe_die();
        self.sim.at(process, move |sim| log_access::write(sim, process, write, answer));
        self.maybe_die();
    }

    fn call(&self, call: Call, answer: Answer<Outcome>) {
        let process = self.process;
        self.maybe_die();
        watch::call(&self.sim, process, &call);
        self.sim.at(process, move |sim| network::call(sim, process, call, answer));
        self.maybe_die();
    }

    fn may_call_actions(&self) -> bool {
        self.lease.covers_actions()
    }

    fn claim(&self, request: ClaimRequest, answer: Answer<Result<Claimed, String>>) {
        let process = self.process;
        self.maybe_die();
        watch::claim(&self.sim, process);
        self.sim.at(process, move |sim| looks::look(sim, process, request, answer));
        self.maybe_die();
    }

    fn renew(&self, request: RenewRequest, answer: Answer<Result<Renewal, String>>) {
        let process = self.process;
        self.sim.at(process, move |sim| leases::renew(sim, process, request, answer));
    }

    fn give_up_lease(&self, owner: Arc<Owner>, answer: Answer<Result<(), String>>) {
        self.sim.at(self.process, move |sim| leases::give_up(sim, &owner, answer));
    }

    fn now(&self) -> DateTime<Utc> {
        self.sim.node_now(self.process)
    }

    fn random(&self) -> f64 {
        self.sim.lock().fate.random()
    }

    fn new_saga_id(&self) -> SagaId {
        let now = self.sim.node_now(self.process);
        saga_id(&mut self.sim.lock().rng, now)
    }

    fn new_nonce(&self) -> Uuid {
        self.sim.lock().uuid()
    }
}
