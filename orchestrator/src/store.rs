//! The saga log in PostgreSQL: what is written ([`record`]), how ([`writer`], under group commit), and how it is read
//! back ([`reader`]), and what others may set on it ([`flags`]). Tables: `saga` and `node_lease` in `ms_orchestrator`.

pub mod events;
pub mod flags;
pub mod reader;
pub mod record;
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
