//! Set-up before the first pool: wait for the server, create the database, migrate its tables.

use std::time::Duration;

use refinery::Runner;
use secrecy::SecretString;
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tracing::info;

use super::schema::{self, Newer, OtherPrograms, SchemaError};
use super::session::Session;
use super::{Connection, DbError, MAINTENANCE_DATABASE, Target, describe};
use crate::reason::with_causes;

/// Interval at which an unavailable server is tried again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Attempts to create a database: it fails while another one is copied from the same template.
const CREATE_ATTEMPTS: u32 = 50;
/// The advisory lock for migrations: an arbitrary number, the same for all callers.
pub(super) const MIGRATION_LOCK: i64 = 0x5A6A_0001;

/// Waits until a server answers for a database, by default the one in its URL.
///
/// # Errors
/// The last [`DbError::Unreachable`] after `timeout`; any other error at once, since waiting would not help.
pub async fn wait_for(server: &SecretString, database: Option<&str>, timeout: Duration) -> Result<(), DbError> {
    let target = Target::new(server, database, None)?;
    let give_up = Instant::now() + timeout;
    loop {
        match target.connect().await {
            Ok(_) => return Ok(()),
            // The server answers; whether the database exists is checked later.
            Err(error) if error.is_missing_database() => return Ok(()),
            Err(DbError::Unreachable { .. }) if Instant::now() < give_up => {
                sleep(ASK_AGAIN_AFTER).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Creates a database if it is missing; concurrent calls are safe. If the database exists, the role needs no permission
/// to create databases.
///
/// # Errors
/// [`DbError`] if the server cannot be reached or refuses.
pub async fn ensure_database(server: &SecretString, database: &str) -> Result<(), DbError> {
    // Looked up from another database first: PgBouncer caches the absence of a database for 15 seconds.
    let session = match maintenance(server).await {
        Ok(session) => session,
        Err(refused) => {
            return Target::new(server, Some(database), None)?.connect().await.map(drop).map_err(|_| refused);
        }
    };
    let found = session.client.query_opt("select from pg_database where datname = $1", &[&database]).await;
    if found.map_err(|error| session.failed(&error))?.is_some() {
        return Ok(());
    }
    let create = format!("create database \"{}\"", database.replace('"', "\"\""));
    for attempt in 1.. {
        match session.client.batch_execute(&create).await {
            Ok(()) => break,
            Err(error) if is_made_meanwhile(&error) => return Ok(()),
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) && attempt < CREATE_ATTEMPTS => {
                sleep(ASK_AGAIN_AFTER).await;
            }
            Err(error) => return Err(session.failed(&error)),
        }
    }
    info!(database, "database created");
    Ok(())
}

/// Connects to an existing database.
pub(super) async fn maintenance(server: &SecretString) -> Result<Session, DbError> {
    match Target::new(server, None, None)?.connect().await {
        // The URL may name the very database that is to be created.
        Err(error) if error.is_missing_database() => {
            Target::new(server, Some(MAINTENANCE_DATABASE), None)?.connect().await
        }
        connected => connected,
    }
}

fn is_made_meanwhile(error: &tokio_postgres::Error) -> bool {
    let made = [SqlState::DUPLICATE_DATABASE, SqlState::UNIQUE_VIOLATION];
    error.code().is_some_and(|code| made.contains(code))
}

/// Result of migrating a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Number of migrations applied.
    pub applied: usize,
    /// Migrations of a newer program.
    pub newer: Option<Newer>,
}

/// Migrates a database. Concurrent callers wait for each other. Migrations of a newer program are accepted.
///
/// # Errors
/// [`DbError`] if the database cannot be reached, does not fit this program, or a migration fails.
pub async fn migrate(
    server: &SecretString,
    database: &str,
    runner: Runner,
    others: OtherPrograms,
) -> Result<Migrated, DbError> {
    // No settings, so no statement timeout: a migration may take long.
    let mut client = Target::new(server, Some(database), None)?.connect().await?.client;
    let failed = |reason: String| DbError::Migration { database: database.to_owned(), reason };
    let lock = client.execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await;
    lock.map_err(|error| failed(describe(&error)))?;
    // The lock ends with the session, which ends with this function.
    let history = schema::applied(&client).await.map_err(|error| failed(describe(&error)))?;
    let judged = schema::migratable(&history, runner.get_migrations(), others);
    let newer = judged.map_err(|reason| DbError::Schema { database: database.to_owned(), reason })?;
    if newer.is_some() {
        // Nothing is left to apply, and refinery would complain about migrations that it does not know.
        return Ok(Migrated { applied: 0, newer });
    }
    // All or none of a first run: a part of them would be taken for the database of an older program.
    let report = runner
        .set_grouped(history.is_empty())
        .run_async(&mut client)
        .await
        .map_err(|error| failed(with_causes(&error)))?;
    Ok(Migrated { applied: report.applied_migrations().len(), newer })
}

/// Checks that a database has every migration of this program, and that this program is not too old for it.
///
/// # Errors
/// [`DbError`] if the database cannot be read or does not fit this program.
pub async fn check_schema(connection: &Connection, database: &str, runner: &Runner) -> Result<Option<Newer>, DbError> {
    // A history that cannot be read is not this program's.
    let unfit = |reason: SchemaError| DbError::Schema { database: database.to_owned(), reason };
    let history = schema::applied(connection.client()).await.map_err(|_| unfit(SchemaError::NeverMigrated))?;
    schema::usable(&history, runner.get_migrations()).map_err(unfit)
}
