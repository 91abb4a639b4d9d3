//! Faults at times of their own, independent of what sagas do: kills, pauses, outages, partitions and jumps of clocks.
//! They are drawn before the run starts.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use smol_str::SmolStr;

use super::clocks::{ClockOf, either_way};
use super::fate::intensity;
use super::faults::Faults;
use super::partitions::{Operation, Unreached};
use super::process::{self, ProcessState, pick};
use super::sim::Sim;
use super::standbys::{CutEnd, Database};
use saga_engine::definition::{Definition, Effect};

/// Mixed into the seed for holds.
const HOLDS: u64 = 0x686f_6c64;

/// Mixed into the seed for standbys.
const STANDBYS: u64 = 0x7374_6279;

/// The faults of a run that have times.
pub(super) struct TimedFaults(Vec<(Duration, TimedFault)>);

#[derive(Clone, Debug)]
enum TimedFault {
    Kill,
    KillCoordinator,
    Pause { lasts: Duration, twin: bool },
    Away { what: Unreached, lasts: Duration },
    Partition { what: Unreached, lasts: Duration },
    ClockJump { of: ClockOf, by: TimeDelta },
    Hold { lasts: Duration },
    CutStandby { of: Database, lasts: Duration, end: CutEnd },
}

impl TimedFaults {
    pub(super) fn draw(rng: &mut ChaCha8Rng, faults: &Faults, definition: &Definition, nodes: usize) -> TimedFaults {
        let wildness = intensity(rng);
        let latest = faults.calm_after_ms.max(1);
        let times = |most: u32, rng: &mut ChaCha8Rng| -> Vec<Duration> {
            let most = f64::from(most) * wildness;
            let count = if most > 0.0 { rng.random_range(0..=(most.ceil() as u32)) } else { 0 };
            (0..count).map(|_| Duration::from_millis(rng.random_range(0..latest))).collect()
        };
        let step = |rng: &mut ChaCha8Rng| definition.steps()[rng.random_range(0..definition.steps().len())].clone();
        let mut timed_faults = Vec::new();
        let mut add = |at, trouble| timed_faults.push((at, trouble));
        for at in times(faults.crashes, rng) {
            add(at, TimedFault::Kill);
        }
        for at in times(faults.pauses, rng) {
            let lasts = lasting(rng, faults.pause_ms);
            let twin = rng.random::<f64>() < faults.twin_rate;
            add(at, TimedFault::Pause { lasts, twin });
        }
        for at in times(faults.database_outages, rng) {
            add(at, TimedFault::Away { what: Unreached::Database, lasts: lasting(rng, faults.outage_ms) });
        }
        for at in times(faults.participant_outages, rng) {
            let what = Unreached::Participant(step(rng).participant);
            add(at, TimedFault::Away { what, lasts: lasting(rng, faults.outage_ms) });
        }
        for at in times(faults.operation_outages, rng) {
            let operation = Operation { step: step(rng).name, is_undo: rng.random() };
            add(at, TimedFault::Away { what: Unreached::Operation(operation), lasts: lasting(rng, faults.outage_ms) });
        }
        for at in times(faults.partitions, rng) {
            let what = if rng.random() { Unreached::Database } else { Unreached::Participant(step(rng).participant) };
            add(at, TimedFault::Partition { what, lasts: lasting(rng, faults.outage_ms) });
        }
        for at in times(faults.clock_jumps, rng) {
            let of = match rng.random_range(0..=nodes) {
                0 => ClockOf::Database,
                node => ClockOf::Node(node - 1),
            };
            add(at, TimedFault::ClockJump { of, by: either_way(rng, faults.clock_jump_ms) });
        }
        for at in times(faults.coordinator_deaths, rng) {
            add(at, TimedFault::KillCoordinator);
        }
        TimedFaults(timed_faults)
    }

    /// Adds a hold on all sagas, drawn with random numbers of its own, which do not shift the others. It is released
    /// when faults end.
    pub(super) fn with_hold(mut self, seed: u64, faults: &Faults) -> TimedFaults {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ HOLDS);
        if rng.random::<f64>() < faults.hold_rate {
            let at = rng.random_range(0..faults.calm_after_ms.max(1));
            let lasts = lasting(&mut rng, faults.pause_ms.min(faults.calm_after_ms - at));
            self.0.push((Duration::from_millis(at), TimedFault::Hold { lasts }));
        }
        self
    }

    /// Adds cuts of databases from their standbys, drawn with random numbers of their own.
    pub(super) fn with_standbys(mut self, seed: u64, faults: &Faults, definition: &Definition) -> TimedFaults {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ STANDBYS);
        let with_journals: Vec<SmolStr> = definition
            .steps()
            .iter()
            .filter(|step| !matches!(step.effect, Effect::ReadOnly { .. }))
            .map(|step| step.participant.clone())
            .collect();
        let wildness = intensity(&mut rng);
        let most = |count: u32| (f64::from(count) * wildness).ceil() as u32;
        let cuts = rng.random_range(0..=most(faults.log_standby_cuts));
        let mut databases = vec![Database::SagaLog; cuts as usize];
        for _ in 0..rng.random_range(0..=most(faults.participant_standby_cuts)) {
            databases.push(Database::Participant(with_journals[rng.random_range(0..with_journals.len())].clone()));
        }
        for of in databases {
            let at = Duration::from_millis(rng.random_range(0..faults.calm_after_ms.max(1)));
            let lasts = lasting(&mut rng, faults.outage_ms);
            let takes_over = rng.random::<f64>() < faults.take_over_rate;
            let end = if takes_over { CutEnd::TakesOver } else { CutEnd::Back };
            self.0.push((at, TimedFault::CutStandby { of, lasts, end }));
        }
        self
    }

    pub(super) fn start(self, sim: &Arc<Sim>) {
        for (at, trouble) in self.0 {
            let sim = sim.clone();
            tokio::spawn(async move {
                tokio::time::sleep(at).await;
                make(&sim, trouble).await;
            });
        }
    }
}

fn lasting(rng: &mut ChaCha8Rng, most: u64) -> Duration {
    Duration::from_millis(rng.random_range(100..most.max(101)))
}

fn is_alive(state: ProcessState) -> bool {
    state == ProcessState::Alive
}

async fn make(sim: &Arc<Sim>, trouble: TimedFault) {
    match trouble {
        TimedFault::Kill => {
            let process = pick(&mut sim.lock(), is_alive);
            if let Some(process) = process {
                process::kill(sim, process);
            }
        }
        TimedFault::KillCoordinator => {
            let process = pick(&mut sim.lock(), is_alive);
            let Some(process) = process else { return };
            let coordinator = sim.lock().processes[process.0].coordinator.get();
            if let Some(coordinator) = coordinator {
                sim.lock().tally.coordinator_deaths += 1;
                sim.note_at(process, |_| "loses its coordinator".to_owned());
                coordinator.kill();
            }
        }
        TimedFault::Pause { lasts, twin } => {
            let process = pick(&mut sim.lock(), is_alive);
            let Some(process) = process else { return };
            process::pause(sim, process, lasts);
            if twin {
                tokio::time::sleep(lasts / 2).await;
                let (node, name) = {
                    let inner = sim.lock();
                    let stopped = &inner.processes[process.0];
                    if stopped.state != ProcessState::Paused {
                        return;
                    }
                    (stopped.node, stopped.owner.node_id.clone())
                };
                process::start(sim, node, name).await;
            }
        }
        TimedFault::Away { what, lasts } => {
            let back = sim.elapsed() + lasts;
            sim.note(|_| "network".to_owned(), |_| format!("{what:?} is away for {lasts:?}"));
            let mut inner = sim.lock();
            match what {
                Unreached::Database => inner.tally.database_outages += 1,
                Unreached::Participant(_) => inner.tally.participant_outages += 1,
                Unreached::Operation(_) => inner.tally.operation_outages += 1,
            }
            inner.partitions.cut(None, what, back);
        }
        TimedFault::Partition { what, lasts } => {
            let process = pick(&mut sim.lock(), is_alive);
            let Some(process) = process else { return };
            let back = sim.elapsed() + lasts;
            sim.note_at(process, |_| format!("cannot reach {what:?} for {lasts:?}"));
            let mut inner = sim.lock();
            inner.tally.partitions += 1;
            inner.partitions.cut(Some(process), what, back);
        }
        TimedFault::ClockJump { of, by } => {
            sim.note(|_| "clock".to_owned(), |_| format!("of {of:?} jumps by {} ms", by.num_milliseconds()));
            let mut inner = sim.lock();
            inner.tally.clock_jumps += 1;
            inner.clocks.jump(of, by);
        }
        TimedFault::CutStandby { of, lasts, end } => sim.cut_standby_off(of, lasts, end),
        TimedFault::Hold { lasts } => {
            sim.note(|_| "operator".to_owned(), |_| format!("puts all sagas on hold for {lasts:?}"));
            let since = sim.database_now();
            {
                let mut inner = sim.lock();
                inner.tally.holds += 1;
                inner.log.leases.hold(since);
            }
            sim.after(lasts, |sim| sim.lock().log.leases.release());
        }
    }
}
