//! The hold: a row that stops every node from beginning and recovering sagas until an operator releases it.
//!
//! It is meant for a restore, while it is not known whether the databases fit together: a saga could make it worse.
//! Nodes read the row with each renewal of their leases and hold no lease while it exists; without a lease nothing
//! begins and nothing is claimed. So it applies to all nodes, including those that start later.

use common::db::Connection;
use tokio_postgres::Error;

use saga_engine::hold::Hold;

const PUT: &str = "insert into saga_hold (reason) values ($1) on conflict do nothing";

const PUT_FOR_LOSS: &str = "
    with new as (insert into saga_lost_commits (loss) values ($1) on conflict do nothing returning loss)
    insert into saga_hold (reason) select $2 from new on conflict do nothing";

const LOOK: &str = "select held_since, reason from saga_hold";

const RELEASE: &str = "delete from saga_hold returning held_since, reason";

/// Sets a hold; an existing hold stays as it is.
///
/// # Errors
/// The error of the database.
pub async fn put(connection: &mut Connection, reason: &str) -> Result<(), Error> {
    if connection.execute(PUT, &[&reason]).await? == 0 {
        connection.pass_barrier().await?;
    }
    Ok(())
}

/// Sets a hold because of a loss of commits, unless the loss has set one before.
///
/// # Errors
/// The error of the database.
pub async fn put_for_loss(connection: &mut Connection, loss: &str, reason: &str) -> Result<(), Error> {
    connection.execute(PUT_FOR_LOSS, &[&loss, &reason]).await?;
    Ok(())
}

/// Returns the hold, if there is one.
///
/// # Errors
/// The error of the database.
pub async fn look(connection: &mut Connection) -> Result<Option<Hold>, Error> {
    first(connection, LOOK).await
}

/// Releases the hold and returns it; `None` if there was none.
///
/// # Errors
/// The error of the database.
pub async fn release(connection: &mut Connection) -> Result<Option<Hold>, Error> {
    first(connection, RELEASE).await
}

async fn first(connection: &mut Connection, sql: &'static str) -> Result<Option<Hold>, Error> {
    let rows = connection.query(sql, &[]).await?;
    Ok(rows.first().map(|row| Hold { since: row.get("held_since"), reason: row.get("reason") }))
}
