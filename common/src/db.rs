//! PostgreSQL: connection pools with prepared statements, creation of missing databases, migrations under a lock.
//!
//! A connection in an unknown state never returns to its pool. A server is named by the URL of any database on it
//! (`postgres://user:password@host:port/`, or with `?host=/folder` for a socket); each service uses its own database on
//! that server. A URL with several hosts means the one that is the primary. This module leaves the durability settings
//! of the server unchanged.

mod barrier;
mod batch_statement;
mod bound;
mod connection;
mod error;
mod host;
mod hosts;
mod notices;
mod pool;
mod pooling;
mod roles;
mod schema;
mod session;
mod setup;
mod target;
mod timeline;
mod tls;
mod url;

#[cfg(test)]
pub(crate) mod test_server;

use target::Target;
pub use url::check as check_url;

pub use batch_statement::BatchStatement;
pub use bound::{Bound, Parameter};
pub use connection::Connection;
pub(crate) use connection::{Commit, is_refusal};
pub use error::{DbError, describe};
pub(crate) use hosts::hear_of;
pub use hosts::timelines;
pub(crate) use pool::try_write;
pub use pool::{Manager, Pool, check_writable, pool, pool_with_reserve};
pub use pooling::check_pooling;
pub use roles::{ensure_owned_database, names_user};
pub use schema::{Newer, OtherPrograms, SchemaError};
pub use setup::{Migrated, check_schema, ensure_database, migrate, wait_for};
pub use timeline::{LostCommits, Timeline};

/// Database to connect to if neither the caller nor the URL names one: every cluster has it.
const MAINTENANCE_DATABASE: &str = "postgres";

#[cfg(test)]
mod tests;
