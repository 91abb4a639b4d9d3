//! The library of the binary: only the parts that other crates of this workspace use.
//!
//! The commands are in `main.rs` and its modules, since nothing else runs them.

pub mod conformance;
pub mod embedded_postgres;
pub mod facts;
