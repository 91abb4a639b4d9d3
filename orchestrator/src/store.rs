//! The saga log in PostgreSQL: what is written ([`record`]), how ([`writer`], under group commit), how it is read back
//! ([`reader`], [`lists`], [`overview`], [`whole`]) and how it is spelled ([`row_text`]), what others may set on it ([`flags`], [`hold`]), what listeners are told ([`events`]), and what is given
//! up in the end ([`retention`]); whose clock decides ([`clock`]). Tables: `saga`, `saga_takeover`,
//! `node_lease`, `saga_hold` and `saga_event` in `ms_orchestrator`.

pub mod clock;
pub mod decided;
pub mod events;
pub mod flags;
pub mod hold;
pub mod lists;
pub mod overview;
pub mod reader;
pub mod record;
pub mod retention;
pub mod row_text;
pub mod whole;
pub mod writer;

use std::fmt;

use uuid::Uuid;

mod migrations {
    refinery::embed_migrations!("../sql/orchestrator");
}

/// Returns the migrations of the saga log's database.
pub fn migrations() -> refinery::Runner {
    migrations::migrations::runner()
}

/// Who writes: a node and the process that is that node now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node's name.
    pub node_id: String,
    /// The process: new with every start.
    pub incarnation: Uuid,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node_id, self.incarnation)
    }
}
