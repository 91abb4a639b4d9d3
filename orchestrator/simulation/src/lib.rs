//! The simulator: the real engine against participants, a saga log and a network in memory, on one thread with a paused
//! clock. All faults are drawn from a seed.
//!
//! ```text
//!   seed ─► Plan ─► processes (1–3 orchestrators: real actors, killed, paused, replaced, superseded)
//!                     │  World                                          ▲
//!                     ├── write, claim, renew ─► durable_log   outlives its processes; in doubt, away
//!                     └── call ─► network ─► participants   journals, tombstones, refusals
//!                   clients   order, detach, cancel, repeat their key
//!   in the end: verdict   the invariants of `audit`, and the answers of each client
//! ```
//! The same seed gives the same trace, byte for byte. Not simulated: PostgreSQL and group commit (their suites use the
//! real ones), HTTP, and the events for listeners.

mod clients;
mod clocks;
mod definitions;
pub mod durable_log;
mod fate;
mod faults;
mod graph_verdict;
mod intermediaries;
mod knobs;
mod leases;
mod line;
mod log_access;
mod looks;
mod mutated_definition;
mod mutated_world;
pub(crate) mod mutation;
mod network;
pub mod participants;
mod partitions;
mod process;
mod run;
mod sim;
mod standbys;
mod status;
mod tally;
mod timed_faults;
mod trace;
mod verdict;
mod versions;
mod watch;
mod world;

pub use definitions::Sagas;
pub use faults::{Faults, FaultsError};
pub use run::{Plan, RunReport, run};
pub use tally::Tally;
pub use trace::Tracing;
pub use verdict::Violation;

#[cfg(test)]
mod tests;
