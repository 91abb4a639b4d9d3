//! Tests of the binary and its embedded PostgreSQL from outside, with real processes.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by a panic, with a reason")]

mod access;
mod audit;
mod audit_journals;
mod backup;
mod cli;
mod conformance;
mod draining;
mod embedded_postgres;
mod flags;
mod folders;
mod formats;
mod full_disk;
mod hold;
mod ids;
mod load;
mod logs;
mod pooler;
mod program;
mod restock;
mod roles;
mod sagas;
mod servers;
mod service_manager;
mod signals;
mod simulate;
mod support;
mod surroundings;
mod tls;
mod unknown_definitions;
mod up;
mod updates;
mod watch;
mod your_own_saga;
