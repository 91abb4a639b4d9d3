//! One run: a seed, and what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::clients;
use super::durable_log::DurableLog;
use super::fate::{Drawn, Fate, intensity};
use super::faults::Faults;
use super::participants::Participants;
use super::process::{self, ProcessState, pick};
use super::sim::{Inner, Sim};
use super::tally::Tally;
use super::trace::{Trace, Tracing};
use super::verdict::{self, Violation};
use crate::checkout;
use crate::saga::Status;
use crate::saga::definition::{Definition, DefinitionError};

/// How long after the last trouble everything must have ended.
const LIVENESS: Duration = Duration::from_secs(180);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often, once it is calm, the operator has everything tried again that stands in the attention list.
const OPERATOR_EVERY: Duration = Duration::from_secs(15);
/// Pieces of each product: few enough to run out now and then.
const STOCK: i32 = 4;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many orchestrators, 1 to 9; `None`: 1 to 3, drawn from the seed.
    pub nodes: Option<usize>,
    /// How many clients; `None`: 3 to 10, drawn from the seed.
    pub sagas: Option<usize>,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether a trace is wanted.
    pub tracing: Tracing,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { nodes: None, sagas: None, faults: Faults::default(), tracing: Tracing::Off }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The seed.
    pub seed: u64,
    /// What breaks an invariant.
    pub violations: Vec<Violation>,
    /// What it went through.
    pub tally: Tally,
    /// How long it lasted, by its own clock.
    pub lasted: Duration,
    /// Its trace, if one was wanted.
    pub trace: String,
}

impl RunReport {
    /// Returns what of the trace concerns a violation: the lines of its saga, and of what happened to processes,
    /// participants and the database.
    pub fn timeline(&self, violation: &Violation) -> String {
        let concerns = |line: &&str| names(line, &violation.name) || !line.contains(" saga ");
        self.trace.lines().filter(concerns).collect::<Vec<_>>().join("\n")
    }
}

/// Tells whether a line names this saga: `saga 1` is not named by `saga 12`.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| !line[at + name.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

/// Runs a seed.
///
/// # Errors
/// If a definition breaks a rule of the engine.
///
/// # Panics
/// If no runtime can be made, or called inside of one.
pub fn run(seed: u64, plan: &Plan) -> Result<RunReport, DefinitionError> {
    let known: Vec<Arc<Definition>> = checkout::known_definitions()?.into_iter().map(Arc::new).collect();
    let fate = Box::new(Drawn::new(seed, plan.faults.clone()));
    Ok(run_with(seed, plan, known, fate))
}

/// Runs a seed with definitions and fates of the caller's.
pub(super) fn run_with(seed: u64, plan: &Plan, known: Vec<Arc<Definition>>, fate: Box<dyn Fate>) -> RunReport {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing that can be missing");
    runtime.block_on(drive(seed, plan, known, fate))
}

async fn drive(seed: u64, plan: &Plan, known: Vec<Arc<Definition>>, fate: Box<dyn Fate>) -> RunReport {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let nodes = plan.nodes.unwrap_or_else(|| dice.random_range(1..=3)).max(1);
    let sagas = plan.sagas.unwrap_or_else(|| dice.random_range(3..=10));
    let which = dice.random_range(0..known.len());
    let troubles = Troubles::draw(&mut dice, &plan.faults, &known[which]);
    let inner = Inner {
        fate,
        log: DurableLog::default(),
        participants: Participants::new(STOCK),
        processes: Vec::new(),
        trace: Trace::new(plan.tracing),
        tally: Tally::default(),
        told: Vec::new(),
        cancelled: Vec::new(),
        clients: sagas,
        under_way: 0,
        database_back: Duration::ZERO,
        participant_back: BTreeMap::new(),
        dice,
    };
    let calm_after = Duration::from_millis(plan.faults.calm_after_ms);
    let sim = Sim::new(inner, calm_after, known, which);
    for node in 0..nodes {
        process::start(&sim, node, format!("node {node}")).await;
    }
    troubles.start(&sim);
    for index in 0..sagas {
        let (sim, faults) = (sim.clone(), plan.faults.clone());
        tokio::spawn(async move { clients::run(sim, seed, index, &faults).await });
    }
    tokio::spawn(operator(sim.clone()));
    wait_for_the_end(&sim).await;
    let violations = verdict::violations(&sim);
    let lasted = sim.elapsed();
    process::stop_all(&sim).await;
    let mut inner = sim.lock();
    let tally = tally(&inner);
    let trace = std::mem::replace(&mut inner.trace, Trace::new(Tracing::Off)).into_text();
    RunReport { seed, violations, tally, lasted, trace }
}

async fn wait_for_the_end(sim: &Arc<Sim>) {
    let give_up = sim.calm_after + LIVENESS;
    while sim.elapsed() < give_up {
        tokio::time::sleep(LOOK_EVERY).await;
        let inner = sim.lock();
        let all_ended = inner.log.rows().all(|(_, row)| row.ended_at.is_some());
        if inner.clients == 0 && all_ended && inner.under_way == 0 && sim.elapsed() >= sim.calm_after {
            return;
        }
    }
}

/// Looks after the attention list once it is calm, as a person would.
async fn operator(sim: Arc<Sim>) {
    tokio::time::sleep(sim.calm_after).await;
    loop {
        tokio::time::sleep(OPERATOR_EVERY).await;
        let now = sim.now();
        sim.lock().log.retry_all(now);
    }
}

fn tally(inner: &Inner) -> Tally {
    let seen = inner.participants.seen();
    let ended = |status| inner.log.rows().filter(|(_, row)| row.status == status).count() as u64;
    Tally {
        sagas: inner.log.rows().count() as u64,
        completed: ended(Status::Completed),
        compensated: ended(Status::Compensated),
        tombstones_left: seen.tombstones_left,
        tombstones_hit: seen.tombstones_hit,
        replays: seen.replays,
        takeovers: inner.log.takeovers,
        wakes: inner.log.wakes,
        ..inner.tally
    }
}

/// What happens by itself, whatever the sagas do.
struct Troubles(Vec<(Duration, Trouble)>);

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill,
    Pause { lasts: Duration, twin: bool },
    DatabaseAway { lasts: Duration },
    ParticipantAway { name: &'static str, lasts: Duration },
}

impl Troubles {
    fn draw(dice: &mut ChaCha8Rng, faults: &Faults, definition: &Definition) -> Troubles {
        let wildness = intensity(dice);
        let mut troubles = Vec::new();
        let latest = faults.calm_after_ms.max(1);
        let times = |most: u32, dice: &mut ChaCha8Rng| -> Vec<Duration> {
            let most = f64::from(most) * wildness;
            let count = if most > 0.0 { dice.random_range(0..=(most.ceil() as u32)) } else { 0 };
            (0..count).map(|_| Duration::from_millis(dice.random_range(0..latest))).collect()
        };
        for at in times(faults.crashes, dice) {
            troubles.push((at, Trouble::Kill));
        }
        for at in times(faults.pauses, dice) {
            let lasts = lasting(dice, faults.pause_ms);
            let twin = dice.random::<f64>() < faults.twin_rate;
            troubles.push((at, Trouble::Pause { lasts, twin }));
        }
        for at in times(faults.database_outages, dice) {
            troubles.push((at, Trouble::DatabaseAway { lasts: lasting(dice, faults.outage_ms) }));
        }
        for at in times(faults.participant_outages, dice) {
            let name = definition.steps[dice.random_range(0..definition.steps.len())].participant;
            troubles.push((at, Trouble::ParticipantAway { name, lasts: lasting(dice, faults.outage_ms) }));
        }
        Troubles(troubles)
    }

    fn start(self, sim: &Arc<Sim>) {
        for (at, trouble) in self.0 {
            let sim = sim.clone();
            tokio::spawn(async move {
                tokio::time::sleep(at).await;
                make(&sim, trouble).await;
            });
        }
    }
}

fn lasting(dice: &mut ChaCha8Rng, most: u64) -> Duration {
    Duration::from_millis(dice.random_range(100..most.max(101)))
}

fn is_alive(state: ProcessState) -> bool {
    state == ProcessState::Alive
}

async fn make(sim: &Arc<Sim>, trouble: Trouble) {
    match trouble {
        Trouble::Kill => {
            let process = pick(&mut sim.lock(), is_alive);
            if let Some(process) = process {
                process::kill(sim, process);
            }
        }
        Trouble::Pause { lasts, twin } => {
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
        Trouble::DatabaseAway { lasts } => {
            let back = sim.elapsed() + lasts;
            sim.note(|_| "database".to_owned(), |_| format!("is away for {lasts:?}"));
            let mut inner = sim.lock();
            inner.database_back = inner.database_back.max(back);
        }
        Trouble::ParticipantAway { name, lasts } => {
            let back = sim.elapsed() + lasts;
            sim.note(|_| name.to_owned(), |_| format!("is away for {lasts:?}"));
            sim.lock().participant_back.insert(name, back);
        }
    }
}
