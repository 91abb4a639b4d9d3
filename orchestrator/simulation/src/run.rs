//! One run: all of it follows from a plan and a seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::clocks::Clocks;
use super::definitions::Sagas;
use super::durable_log::{DurableLog, Row};
use super::fate::{Drawn, Fate};
use super::faults::Faults;
use super::knobs::Knobs;
use super::mutated_definition::mutated;
use super::participants::Participants;
use super::partitions::Partitions;
use super::process;
use super::sim::{Inner, Sim};
use super::standbys::Standbys;
use super::tally::Tally;
use super::timed_faults::TimedFaults;
use super::trace::{Trace, Tracing};
use super::verdict::{self, Violation};
use super::versions::Versions;
use super::watch::Watched;
use super::{clients, watch};
use saga_engine::Status;
use saga_engine::definition::{Definition, DefinitionError};

/// Time after the last fault within which every saga and client must end.
const LIVENESS: Duration = Duration::from_secs(180);
/// Interval of checks whether the run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Interval at which the operator, once faults have ended, requests a retry of every saga on the attention list.
const OPERATOR_EVERY: Duration = Duration::from_secs(15);
/// Interval of housekeeping.
pub(super) const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(1);
/// Units of each product: few enough to run out now and then.
const STOCK: i32 = 4;
/// Mixed into the seed for the retention, so that its draws do not shift the others.
const RETENTION: u64 = 0x6b65_7973;
/// Number of clients of a crowd.
const CROWD: std::ops::Range<usize> = 100..400;

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of orchestrators; `None`: 1 to 3, drawn from the seed.
    pub nodes: Option<usize>,
    /// Number of clients; `None`: 3 to 10, or 100 to 399 in a crowd, drawn from the seed.
    pub sagas: Option<usize>,
    /// The sagas that the clients start.
    pub definition: Sagas,
    /// Rates, numbers and times of the faults.
    pub faults: Faults,
    /// Whether the run records a trace.
    pub tracing: Tracing,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { nodes: None, sagas: None, definition: Sagas::Checkout, faults: Faults::default(), tracing: Tracing::Off }
    }
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The seed.
    pub seed: u64,
    /// Violations of invariants.
    pub violations: Vec<Violation>,
    /// Counts of its events.
    pub tally: Tally,
    /// Its duration, by its own clock.
    pub lasted: Duration,
    /// Its trace; empty if none was recorded.
    pub trace: String,
}

impl RunReport {
    /// Returns the lines of the trace that concern a violation: those of its saga, and those of no saga (processes,
    /// participants, the database).
    pub fn timeline(&self, violation: &Violation) -> String {
        let concerns = |line: &&str| names(line, &violation.name) || !line.contains(" saga ");
        self.trace.lines().filter(concerns).collect::<Vec<_>>().join("\n")
    }
}

/// Tells whether a line contains this saga's name: `saga 12` does not count as `saga 1`.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| !line[at + name.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

/// Runs a seed.
///
/// # Errors
/// If a definition breaks a rule of the engine.
///
/// # Panics
/// If no tokio runtime can be built, or if called inside one.
pub fn run(seed: u64, plan: &Plan) -> Result<RunReport, DefinitionError> {
    let known = plan.definition.definitions(seed)?;
    let fate = Box::new(Drawn::new(seed, plan.faults.clone()));
    Ok(run_with(seed, plan, known, fate))
}

/// Runs a seed with the given definitions and fate.
pub(super) fn run_with(seed: u64, plan: &Plan, known: Vec<Arc<Definition>>, fate: Box<dyn Fate>) -> RunReport {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing that can be missing");
    runtime.block_on(drive(seed, plan, known, fate))
}

async fn drive(seed: u64, plan: &Plan, known: Vec<Arc<Definition>>, fate: Box<dyn Fate>) -> RunReport {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let faults = &plan.faults;
    let nodes = plan.nodes.unwrap_or_else(|| rng.random_range(1..=3)).max(1);
    let mut sagas = plan.sagas.unwrap_or_else(|| rng.random_range(3..=10));
    let which = rng.random_range(0..known.len());
    let timed_faults = TimedFaults::draw(&mut rng, faults, &known[which], nodes).with_hold(seed, faults).with_standbys(
        seed,
        faults,
        &known[which],
    );
    let mut tally = Tally::default();
    let mut is_drawn = |rate: f64, count: &mut u64| {
        let is_drawn = rate > 0.0 && rng.random::<f64>() < rate;
        *count += u64::from(is_drawn);
        is_drawn
    };
    let has_small_knobs = is_drawn(faults.small_knobs_rate, &mut tally.small_knobs);
    let is_crowd = plan.sagas.is_none() && is_drawn(faults.crowd_rate, &mut tally.crowds);
    let are_mixed = is_drawn(faults.mixed_versions_rate, &mut tally.mixed_versions);
    let has_operator = faults.operator_rate >= 1.0 || is_drawn(faults.operator_rate, &mut tally.operators);
    let mut knobs = if has_small_knobs { Knobs::small(&mut rng) } else { Knobs::default() };
    let mut retention_dice = ChaCha8Rng::seed_from_u64(seed ^ RETENTION);
    if retention_dice.random::<f64>() < faults.short_retention_rate {
        tally.short_retentions += 1;
        knobs = knobs.with_short_retention(&mut retention_dice);
    }
    if is_crowd {
        sagas = rng.random_range(CROWD);
    }
    tally.skewed_clocks += u64::from(faults.clock_skew_ms > 0);
    let inner = Inner {
        fate,
        log: DurableLog::default(),
        participants: Participants::new(STOCK.max(i32::try_from(sagas / 5).unwrap_or(i32::MAX))),
        processes: Vec::new(),
        trace: Trace::new(plan.tracing),
        tally,
        told: Vec::new(),
        cancelled: Vec::new(),
        watched: Watched::default(),
        clients: sagas,
        under_way: 0,
        last_replies: BTreeMap::new(),
        clocks: Clocks::drawn(&mut rng, nodes, faults.clock_skew_ms),
        partitions: Partitions::default(),
        standbys: Standbys::default(),
        rng,
    };
    let followed = known.iter().map(mutated).collect();
    let sim = Sim::new(inner, faults.clone(), knobs, Versions::new(followed, which, are_mixed), known);
    for node in 0..nodes {
        process::start(&sim, node, format!("node {node}")).await;
    }
    timed_faults.start(&sim);
    for index in 0..sagas {
        let sim = sim.clone();
        tokio::spawn(async move { clients::run(sim, seed, index).await });
    }
    if has_operator {
        tokio::spawn(operator(sim.clone()));
    }
    tokio::spawn(housekeeping(sim.clone()));
    tokio::spawn(process::end_of_roll_out(sim.clone()));
    wait_for_the_end(&sim).await;
    let violations = verdict::violations(&sim);
    let lasted = sim.elapsed();
    process::stop_all(&sim).await;
    let mut inner = sim.lock();
    let tally = counted(&inner);
    let trace = std::mem::replace(&mut inner.trace, Trace::new(Tracing::Off)).into_text();
    RunReport { seed, violations, tally, lasted, trace }
}

async fn wait_for_the_end(sim: &Arc<Sim>) {
    let give_up = sim.calm_after + LIVENESS;
    while sim.elapsed() < give_up {
        tokio::time::sleep(LOOK_EVERY).await;
        watch::leases(sim);
        watch::look(sim);
        let inner = sim.lock();
        // A row that cannot be read counts as settled once it is on the attention list.
        let is_over = |row: &Row| row.ended_at.is_some() || (row.is_bad && row.attention.is_some());
        let all_ended = inner.log.rows().all(|(_, row)| is_over(row));
        let all_done = all_ended && watch::counted(&inner).is_empty();
        if inner.clients == 0 && all_done && inner.under_way == 0 && sim.elapsed() >= sim.calm_after {
            return;
        }
    }
}

/// Requests retries of the sagas on the attention list once faults have ended, as a person would.
async fn operator(sim: Arc<Sim>) {
    tokio::time::sleep(sim.calm_after).await;
    loop {
        tokio::time::sleep(OPERATOR_EVERY).await;
        let now = sim.database_now();
        sim.lock().log.retry_all(now);
    }
}

/// Releases the keys of sagas whose retention is over.
async fn housekeeping(sim: Arc<Sim>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING_EVERY).await;
        if sim.database_answers() {
            let now = sim.database_now();
            sim.lock().log.release_keys(sim.knobs.keys_kept, now);
        }
    }
}

fn counted(inner: &Inner) -> Tally {
    let counts = inner.participants.counts();
    let ended = |status| inner.log.rows().filter(|(_, row)| row.status == status).count() as u64;
    Tally {
        sagas: inner.log.rows().count() as u64,
        completed: ended(Status::Completed),
        compensated: ended(Status::Compensated),
        tombstones_left: counts.tombstones_left,
        tombstones_hit: counts.tombstones_hit,
        replays: counts.replays,
        takeovers: inner.log.takeovers,
        wakes: inner.log.wakes,
        keys_released: inner.log.keys_released,
        keys_used_again: inner.log.keys_used_again(),
        ..inner.tally
    }
}
