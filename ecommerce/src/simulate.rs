//! `simulate`: runs thousands of simulated disasters in seconds and checks that none leaves a saga half done.
//!
//! Each seed is one run of the real engine on a paused clock, against participants, a saga log and a network in memory
//! (`saga_simulation`). A seed that breaks an invariant is printed with its timeline and the command to repeat
//! it.

use std::{
    io::{IsTerminal, stderr},
    path::PathBuf,
    str::FromStr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use saga_simulation::{Faults, Plan, RunReport, Sagas, Tally, Tracing, Violation, run};
use serde::Serialize;

use crate::{
    ending::{Ended, Failure},
    output::{self, OutputFormat},
};

/// Failing seeds after which the run stops: one is enough to begin with.
const MOST_FAILURES: usize = 10;

#[derive(Args)]
pub(crate) struct Simulate {
    /// Range of seeds, excluding the last
    #[arg(long, default_value = "0..1000", value_name = "A..B")]
    seeds: Seeds,
    /// Orchestrators in each run [default: 1 to 3, drawn from the seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: Option<u16>,
    /// Sagas that the clients start: checkout, chain, diamond, fan-out, random (a graph drawn from the seed) or status
    /// (participants without tombstones)
    #[arg(long, default_value_t = Sagas::Checkout, value_name = "NAME")]
    definition: Sagas,
    /// Sagas in each run [default: 3 to 10, drawn from the seed]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    sagas: Option<u16>,
    /// TOML file with the rates of the faults
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Print every message; for a single seed
    #[arg(long)]
    trace: bool,
    /// Parallel runs [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    output: OutputFormat,
}

/// A non-empty range of seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seeds {
    from: u64,
    to: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").ok_or("write A..B, such as 0..1000")?;
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("{text:?} is not a seed: write A..B"));
        let (from, to) = (number(from)?, number(to)?);
        if to <= from {
            return Err(format!("{from}..{to} contains no seed: the second number must be larger"));
        }
        Ok(Self { from, to })
    }
}

/// Results of all seeds.
#[derive(Default)]
struct Outcome {
    seeds: u64,
    tally: Tally,
    simulated: Duration,
    failures: Vec<RunReport>,
}

#[derive(Serialize)]
struct Document<'a> {
    clean: bool,
    seeds: u64,
    seeds_per_second: f64,
    simulated_seconds: u64,
    exercised: &'a Tally,
    failures: Vec<FailingSeed>,
}

#[derive(Serialize)]
struct FailingSeed {
    seed: u64,
    replay: String,
    violations: Vec<String>,
}

impl Simulate {
    /// Blocks until done: its runs create their own runtimes.
    pub(crate) fn run(self) -> Result<Ended, Failure> {
        if self.trace && self.seeds.to - self.seeds.from != 1 {
            return Err(Failure::Usage("--trace is for one seed: write --seeds A..B with B = A + 1".to_owned()));
        }
        if self.trace && self.output.is_document() {
            return Err(Failure::Usage(
                "--trace prints text: it cannot be used with --json or -o json|yaml".to_owned(),
            ));
        }
        let plan = self.plan()?;
        let started = Instant::now();
        let outcome = self.try_all(&plan)?;
        let took = started.elapsed();
        let format = self.output.format();
        if format.is_document() {
            format.print(&self.document(&outcome, took)?)?
        } else {
            output::print(&self.shown(&plan, &outcome, took)?)?
        };
        Ok(if outcome.failures.is_empty() { Ended::Done } else { Ended::Refused })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let faults = match &self.faults {
            None => Faults::default(),
            Some(file) => {
                let usage = |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", file.display()));
                let text = std::fs::read_to_string(file).map_err(|error| usage(&error))?;
                Faults::from_toml(&text).map_err(|error| usage(&error))?
            }
        };
        let tracing = if self.trace { Tracing::On } else { Tracing::Off };
        let (nodes, sagas) = (self.nodes.map(usize::from), self.sagas.map(usize::from));
        Ok(Plan { nodes, sagas, definition: self.definition, faults, tracing })
    }

    /// Runs the seeds on all threads, each taking the next seed; stops early after enough failures.
    fn try_all(&self, plan: &Plan) -> Result<Outcome, Failure> {
        let Seeds { from, to } = self.seeds;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or(cores, usize::from);
        let next = AtomicU64::new(from);
        let enough = AtomicBool::new(false);
        let outcome = Mutex::new(Outcome::default());
        let progress = progress(to - from);
        let work = || -> Result<(), String> {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= to || enough.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let report = run(seed, plan).map_err(|error| error.to_string())?;
                let mut outcome = outcome.lock();
                outcome.seeds += 1;
                outcome.tally += report.tally;
                outcome.simulated += report.lasted;
                if self.trace {
                    output::print(report.trace.trim_end()).map_err(|failure| failure.to_string())?;
                }
                if !report.violations.is_empty() {
                    outcome.failures.push(report);
                    enough.fetch_or(outcome.failures.len() >= MOST_FAILURES, Ordering::Relaxed);
                }
                progress.inc(1);
            }
        };
        let ended: Result<Vec<()>, String> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.map(|ended| ended.unwrap_or_else(|_| Err("a run panicked".to_owned()))).collect()
        });
        progress.finish_and_clear();
        ended.map_err(Failure::Broken)?;
        let mut outcome = outcome.into_inner();
        outcome.failures.sort_by_key(|report| report.seed);
        Ok(outcome)
    }

    /// Returns the command to repeat a seed.
    fn replay(&self, seed: u64) -> String {
        let mut command = format!("ecommerce simulate --seeds {seed}..{}", seed + 1);
        for (name, value) in [("nodes", self.nodes), ("sagas", self.sagas)] {
            if let Some(value) = value {
                command.push_str(&format!(" --{name} {value}"));
            }
        }
        if self.definition != Sagas::Checkout {
            command.push_str(&format!(" --definition {}", self.definition));
        }
        if let Some(file) = &self.faults {
            command.push_str(&format!(" --faults {}", file.display()));
        }
        command + " --trace"
    }

    fn document(&self, outcome: &Outcome, took: Duration) -> Result<String, Failure> {
        let failures = outcome.failures.iter().map(|report| FailingSeed {
            seed: report.seed,
            replay: self.replay(report.seed),
            violations: violations(report),
        });
        let document = Document {
            clean: outcome.failures.is_empty(),
            seeds: outcome.seeds,
            seeds_per_second: per_second(outcome.seeds, took),
            simulated_seconds: outcome.simulated.as_secs(),
            exercised: &outcome.tally,
            failures: failures.collect(),
        };
        serde_json::to_string_pretty(&document).map_err(|error| Failure::broken("the report", &error))
    }

    fn shown(&self, plan: &Plan, outcome: &Outcome, took: Duration) -> Result<String, Failure> {
        let rows = outcome.tally.lines().into_iter().map(|(what, count)| [what.to_owned(), count.to_string()]);
        let mut lines = vec![output::table(["exercised", "times"], rows.map(|row| row.map(output::cell)))];
        lines.push(format!(
            "{} seeds in {:.1} s: {:.0} seeds a second, {:.1} hours of simulated time",
            outcome.seeds,
            took.as_secs_f64(),
            per_second(outcome.seeds, took),
            outcome.simulated.as_secs_f64() / 3600.0,
        ));
        let Some((first, others)) = outcome.failures.split_first() else {
            lines.push("every invariant holds".to_owned());
            return Ok(lines.join("\n"));
        };
        lines.push(self.failure(plan, first)?);
        if !others.is_empty() {
            lines.push("others:".to_owned());
            lines.extend(others.iter().map(|report| format!("  {}", self.replay(report.seed))));
        }
        Ok(lines.join("\n"))
    }

    /// Formats a failing seed: the violations, their timeline, the command to repeat it.
    fn failure(&self, plan: &Plan, report: &RunReport) -> Result<String, Failure> {
        let traced = run(report.seed, &Plan { tracing: Tracing::On, ..plan.clone() });
        let traced = traced.map_err(|error| Failure::Broken(error.to_string()))?;
        let timeline = traced.violations.first().map(|violation| traced.timeline(violation)).unwrap_or_default();
        let broken = violations(report).join("\n  ");
        let (seed, again) = (report.seed, self.replay(report.seed));
        Ok(format!("\nseed {seed} breaks an invariant:\n  {broken}\n\n{timeline}\n\nto repeat: {again}"))
    }
}

fn violations(report: &RunReport) -> Vec<String> {
    let shown = |Violation { invariant, id, name, why }: &Violation| format!("{invariant}: {name} ({id}): {why}");
    report.violations.iter().map(shown).collect()
}

fn per_second(seeds: u64, took: Duration) -> f64 {
    seeds as f64 / took.as_secs_f64().max(1e-9)
}

/// Makes a progress bar: only on a terminal, and on standard error, so that the outcome can be piped.
fn progress(seeds: u64) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left");
    ProgressBar::new(seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_that_is_not_empty() {
        assert_eq!("3..5".parse(), Ok(Seeds { from: 3, to: 5 }));
        for (text, expected) in [("5", "A..B"), ("5..5", "larger"), ("a..5", "not a seed"), ("-1..5", "not a seed")] {
            let said = text.parse::<Seeds>().unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
