//! The definitions that nodes were given, and the definitions that live nodes know.

use chrono::{DateTime, Utc};
use common::db::Connection;
use tokio_postgres::Error;
use uuid::Uuid;

// The first definition of a name and version stays.
const STORE: &str = "
    insert into saga_definition (name, version, hash, body, origin) values ($1, $2, $3, $4, $5)
    on conflict do nothing";

const HASH: &str = "select hash, origin from saga_definition where name = $1 and version = $2";

// Every definition is small and stays for ever, so the newer ones are found by their number.
const NEWER: &str = "
    select name, version, hash, body, origin, created_at from saga_definition
    where created_at >= coalesce($1::timestamptz, '-infinity') order by created_at, name, version";

const OF_OTHER_NODES: &str = "
    select definitions from node_lease where expires_at > clock_timestamp() and incarnation <> $1";

/// A definition in the saga log's database.
#[derive(Clone, Debug)]
pub(crate) struct StoredDefinition {
    pub(crate) name: String,
    pub(crate) version: i32,
    pub(crate) hash: String,
    /// The canonical form, a JSON object.
    pub(crate) body: String,
    /// The file's name, or that it came over HTTP.
    pub(crate) origin: String,
}

/// Whether a definition was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Storing {
    /// Now.
    New,
    /// An equal one was stored before.
    Equal,
    /// Another one of this name and version was stored before, from this origin.
    Differs(String),
}

/// Stores a definition, unless its name and version are taken.
pub(crate) async fn store(connection: &mut Connection, definition: &StoredDefinition) -> Result<Storing, Error> {
    let StoredDefinition { name, version, hash, body, origin } = definition;
    if connection.execute(STORE, &[name, version, hash, body, origin]).await? == 1 {
        return Ok(Storing::New);
    }
    let row = connection.query_one(HASH, &[name, version]).await?;
    // The row may be lost at a failover until it is replicated.
    connection.pass_barrier().await?;
    Ok(if row.get::<_, String>(0) == *hash { Storing::Equal } else { Storing::Differs(row.get(1)) })
}

/// Returns the definitions stored at this time or later, and the time of the newest. A definition whose transaction was
/// slow is found by later reads, since they begin a while before the newest time.
pub(crate) async fn newer(
    connection: &mut Connection,
    since: Option<DateTime<Utc>>,
) -> Result<(Vec<StoredDefinition>, Option<DateTime<Utc>>), Error> {
    let rows = connection.query(NEWER, &[&since]).await?;
    let newest = rows.last().map(|row| row.get("created_at"));
    let read = |row: &tokio_postgres::Row| StoredDefinition {
        name: row.get("name"),
        version: row.get("version"),
        hash: row.get("hash"),
        body: row.get("body"),
        origin: row.get("origin"),
    };
    Ok((rows.iter().map(read).collect(), newest))
}

/// Returns the definitions that each other live node lists, as `name/version`.
pub(crate) async fn of_other_nodes(connection: &mut Connection, own: Uuid) -> Result<Vec<Vec<String>>, Error> {
    let rows = connection.query(OF_OTHER_NODES, &[&own]).await?;
    Ok(rows.iter().map(|row| row.get::<_, Option<Vec<String>>>(0).unwrap_or_default()).collect())
}
