//! Real processes, killed, paused and cut off under load: whatever happens, every accepted purchase ends, nobody is told
//! two ends, and the books agree.
//!
//! ```text
//! clients ──► orchestrator a, b ──► proxies ──► catalog, payments, inventory, purchases ──► a PostgreSQL of one's own
//!             └───────────── each a process of the program `ecommerce serve …` ──────┘
//! ```
//! The suites of the package `tests` run services within their own process, where nothing can be killed. These are
//! here, in the package of the program, because only here does Cargo build the program for a test and say where it is
//! (`CARGO_BIN_EXE_ecommerce`): a suite elsewhere would have to call Cargo once more, or might run an old program. What
//! they need of the kit comes as a dev-dependency.
//!
//! | module | what |
//! |---|---|
//! | [`rounds`] | rounds of a seeded choice among all disasters |
//! | [`crashes`], [`takeover`], [`rolling`] | one disaster each, looked at closely |
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "shown where a test fails")]

mod clients;
mod crashes;
mod process;
mod rolling;
mod rounds;
mod system;
mod takeover;
