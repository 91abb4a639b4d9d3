//! The saga log in PostgreSQL: what is written ([`record`]), how ([`writer`], under group commit), how it is read back
//! ([`reader`], [`lists`], [`overview`], [`whole`]) and how it is spelled ([`row_text`]), what others may set on it ([`flags`], [`hold`]), what listeners are told ([`events`]), and what is given
//! up in the end ([`retention`]); whose clock decides ([`clock`]). Tables: `saga`, `saga_takeover`,
//! `node_lease`, `saga_hold` and `saga_event` in `ms_orchestrator`.

pub(crate) mod claim;
pub mod decided;
pub mod events;
pub mod flags;
pub mod hold;
pub(crate) mod lease_session;
pub mod lists;
pub mod overview;
pub(crate) mod owned;
pub mod reader;
pub mod retention;
pub mod row_text;
pub mod whole;
pub mod writer;

mod migrations {
    refinery::embed_migrations!("../sql/orchestrator");
}

/// Returns the migrations of the saga log's database.
pub fn migrations() -> refinery::Runner {
    migrations::migrations::runner()
}
