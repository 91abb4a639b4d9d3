//! Real processes, killed, paused and cut off under load: every accepted purchase still ends, no client receives two
//! different ends, and the databases agree.
//!
//! ```text
//! clients ──► orchestrator a, b ──► proxies ──► catalog, payments, inventory, purchases ──► a PostgreSQL of the test
//!             └───────────── each a process of the program `ecommerce serve …` ──────┘
//! ```
//! The suites of the package `tests` run services within their own process, which cannot be killed. These tests are in
//! the program's package, because only there Cargo builds the program for a test and provides its path
//! (`CARGO_BIN_EXE_ecommerce`): another package would have to call Cargo again or might run an outdated program. The
//! test kit is a dev-dependency.
//!
//! | module | contents |
//! |---|---|
//! | [`rounds`] | rounds of disasters in a seeded random order |
//! | [`crashes`], [`takeover`], [`rolling`] | one disaster each, checked in detail |
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "shown where a test fails")]

mod clients;
mod crashes;
mod process;
mod rolling;
mod rounds;
mod system;
mod takeover;
