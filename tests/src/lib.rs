//! The kit of the test suites: a whole system in one process, and what a test needs to look at it and to disturb it.
//!
//! ```text
//! suite ── with_stack ──► Stack: orchestrator + participants on free ports, databases of its own
//!   │                       │
//!   │ http, faults, books   └──► cluster: one PostgreSQL for all test processes, started on demand
//!   └ wait_until: the only place where a test waits for anything
//! ```
//! A test owns everything that it touches but the PostgreSQL server, so tests run side by side and in any order.
//! One that stops the server itself takes a [`private_cluster`].

pub mod actors;
pub mod api_description;
pub mod books;
pub mod browser;
pub mod chance;
pub mod cluster;
pub mod collector;
pub mod database;
pub mod events;
pub mod files;
pub mod http;
pub mod interposer;
pub mod operations;
pub mod panics;
pub mod pgbouncer;
pub mod postgres_proxy;
pub mod private_cluster;
pub mod problem;
pub mod proxy;
pub mod raw;
pub mod shape;
pub mod stack;
pub mod wait;

pub use self::{
    shape::assert_shape,
    stack::{Stack, StackOptions, with_stack},
    wait::{PATIENCE, wait_until},
};
