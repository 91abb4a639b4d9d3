//! The orchestrator: accepts purchases, runs one saga for each, and answers how each one stands.

pub mod checkout;
pub mod saga;
pub mod store;
pub mod world;
