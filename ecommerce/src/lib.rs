//! The library beside the one binary: only what other crates of this workspace use themselves.
//!
//! The commands are in `main.rs` and its modules; they are no library, since nothing else runs them.

pub mod books;
pub mod embedded_postgres;
