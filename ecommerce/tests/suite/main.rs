//! The binary and its launcher of PostgreSQL, from outside, with real processes.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod audit;
mod backup;
mod cli;
mod embedded_postgres;
mod hold;
mod load;
mod logs;
mod pooler;
mod program;
mod roles;
mod simulate;
mod support;
mod up;
mod watch;
