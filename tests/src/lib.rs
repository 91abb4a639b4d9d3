//! The test kit: a whole system in one process, and the means to inspect and disturb it.
//!
//! ```text
//! suite ── with_stack ──────────► Stack: orchestrator + participants on free ports, with their own databases
//!   │                               │
//!   │ http, faults, transactions    └──► cluster: one PostgreSQL for all test processes, started on demand
//!   └ wait_until: the only place where a test waits for a condition
//! ```
//! A test owns everything it uses except the PostgreSQL server, so tests run in parallel and in any order. A test that
//! stops the server takes a [`private_cluster`].

pub mod actors;
pub mod api_description;
pub mod browser;
pub mod certificates;
pub mod chance;
pub mod cluster;
pub mod collector;
pub mod database;
pub mod events;
pub mod files;
pub mod foreign_participant;
pub mod http;
pub mod https_proxy;
pub mod interposer;
pub mod operations;
pub mod panics;
pub mod pgbouncer;
pub mod postgres_proxy;
pub mod private_cluster;
pub mod problem;
pub mod proxy;
pub mod raw;
pub mod replicated_cluster;
pub mod saga_log;
pub mod shape;
pub mod stack;
pub mod standby;
pub mod tls_server;
pub mod transactions;
pub mod wait;

pub use self::{
    shape::assert_shape,
    stack::{Stack, StackOptions, with_stack},
    wait::{PATIENCE, wait_until},
};
