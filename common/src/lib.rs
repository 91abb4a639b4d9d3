//! The foundation of every service: configuration, the HTTP front, group commit over PostgreSQL, supervised actors, the
//! failure lab. This crate knows no service and no saga.

pub mod build;
pub mod config;
pub mod console;
pub mod db;
pub mod faults;
pub mod fields;
pub mod group_commit;
pub mod http;
pub mod ids;
pub mod loopback;
pub mod money;
pub mod per_client;
pub mod printable;
pub mod reason;
pub mod redaction;
pub mod request_hash;
pub mod service;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod wire;

pub use foundation::{members, names, supervision};
