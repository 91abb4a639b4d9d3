//! The saga log in PostgreSQL. The records are [`saga_engine::record`]; [`writer`] writes them, under group commit, in
//! the form of [`row_text`]. [`reader`], [`lists`], [`overview`], [`recent`] and [`full_row`] read them;
//! `replicated` makes sure that a state that was read cannot be lost. [`flags`] and [`hold`] are set by clients and
//! operators. [`events`] is the stream for listeners, [`saga_events`] the events of one saga; [`retention`] deletes old
//! data. Time is the database's ([`saga_engine::clock`]). Tables of `ms_orchestrator`: `saga` with its partitions,
//! `saga_key`, `saga_definition`, `saga_takeover`, `node_lease`, `saga_hold`, `saga_lost_commits`, `saga_event` and
//! `saga_event_horizon`.

pub mod claim;
pub mod decided;
pub(crate) mod definitions;
pub(crate) mod dtm;
pub mod event_id;
pub mod event_place;
pub mod events;
pub mod flags;
pub mod full_row;
pub mod handover;
pub mod hold;
pub mod lease_session;
pub mod lists;
pub mod overview;
pub(crate) mod owned;
pub mod reader;
pub mod recent;
pub(crate) mod replicated;
pub mod retention;
pub mod row_events;
pub mod row_text;
pub mod saga_events;
pub mod writer;

mod migrations {
    refinery::embed_migrations!("../sql/orchestrator");
}

/// Returns the migrations of the saga log's database.
pub fn migrations() -> refinery::Runner {
    migrations::migrations::runner()
}
