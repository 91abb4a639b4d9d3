//! The binary and its launcher of PostgreSQL, from outside, with real processes.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod audit;
mod cli;
mod embedded_postgres;
mod load;
mod program;
mod support;
mod up;
mod watch;
