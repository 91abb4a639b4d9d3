//! The process that owns a saga.

use std::fmt;

use uuid::Uuid;

/// A node and its current process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Id of the node.
    pub node_id: String,
    /// Id of the process, new at every start.
    pub incarnation: Uuid,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node_id, self.incarnation)
    }
}
