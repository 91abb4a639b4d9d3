//! The failure lab: the only module that decides at random whether a call fails.
//!
//! ```text
//! config files --(change)--> FaultWatcher --replace--> FaultSampler <--decision, transport, latency-- service
//! PUT /debug/faults ------------------------apply_json--^
//! ```
//! Decisions and transport faults are hashes, so the same transaction has the same outcome on every replica and in
//! every run with the same seed. Latency comes from a seeded generator: delays need no replay.

mod change;
mod sampler;
mod settings;
mod shown;
mod watcher;

pub use change::ChangeError;
pub use sampler::{FailureDraw, FaultSampler, TransportFate};
pub use settings::{FaultChanges, FaultSettings, LatencyRange, MAX_LATENCY_MS, OperationFaults};
pub use shown::{FaultsChange, FaultsView, LatencyChange, OperationFaultsChange};
pub use watcher::{FaultMsg, FaultWatcher, FaultWatcherArgs};
