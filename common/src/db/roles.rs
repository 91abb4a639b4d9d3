//! A role per database, which owns that database and can reach no other one.
//!
//! The role is created by `migrate`, run by an administrator: a superuser, or a role that may create roles and
//! databases. Running it again changes nothing, except that it sets the password. Objects that an administrator created
//! in the database before it had its own role are handed over to the role.

use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::error::SqlState;
use tracing::info;

use super::{
    DbError, Target,
    session::Session,
    setup::{MIGRATION_LOCK, ensure_database, maintenance},
};

/// Finds a role and whether it is a superuser, which bypasses all permission checks.
const FIND: &str = "select rolsuper from pg_roles where rolname = $1";

/// A superuser may act as any role; others must be members of the role that they make an owner.
const MAY_ACT_AS: &str = "select pg_has_role(current_user, $1::name, 'member')";

/// Hands over tables, sequences and functions with another owner, except those of an extension. A sequence of a column
/// follows its table.
const HAND_OVER: &str = "
    do $$
    declare
        owner_name name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
        owner_id oid := (select datdba from pg_database where datname = current_database());
        thing record;
    begin
        for thing in
            select format('alter table %s owner to %I', c.oid::regclass, owner_name) as statement
            from pg_class c
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
              and c.relowner <> owner_id
              and not exists (select 1 from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
                              -- a sequence of a column follows its table
                              and (d.deptype = 'e' or c.relkind = 'S' and d.deptype in ('a', 'i')))
            union all
            select format('alter routine %s owner to %I', p.oid::regprocedure, owner_name)
            from pg_proc p
            where p.pronamespace = 'public'::regnamespace and p.proowner <> owner_id
              and not exists (select 1 from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                              and d.deptype = 'e')
        loop
            execute thing.statement;
        end loop;
    end $$";

/// Creates a database and the role of the same name that owns it, or brings both up to date. From then on only
/// superusers and members of that role can connect to the database. If the URL names no user, nothing is changed:
/// database and role must exist.
///
/// # Errors
/// [`DbError`] if the server cannot be reached, or the user of the URL lacks the permission.
pub async fn ensure_owned_database(
    server: &SecretString,
    database: &str,
    password: &SecretString,
) -> Result<(), DbError> {
    if !names_user(server)? {
        return Ok(());
    }
    let session = maintenance(server).await?;
    let client = &session.client;
    let refused = |error: tokio_postgres::Error| session.failed(&error);
    // Two concurrent changes of one role would fail, so a lock orders them. It ends with the session.
    client.execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(refused)?;
    ensure_role(&session, database, password).await?;
    ensure_database(server, database).await?;
    let name = quoted(database);
    if !client.query_one(MAY_ACT_AS, &[&database]).await.map_err(refused)?.get::<_, bool>(0) {
        client.batch_execute(&format!("grant {name} to current_user")).await.map_err(refused)?;
    }
    let own = format!("alter database {name} owner to {name}; revoke all on database {name} from public");
    client.batch_execute(&own).await.map_err(refused)?;
    let inside = Target::new(server, Some(database), None)?.connect().await?;
    inside.client.batch_execute(HAND_OVER).await.map_err(|error| inside.failed(&error))
}

/// Returns whether a URL names a user.
///
/// # Errors
/// [`DbError::Url`] if the URL is invalid.
pub fn names_user(server: &SecretString) -> Result<bool, DbError> {
    Ok(Target::new(server, None, None)?.config.get_user().is_some())
}

async fn ensure_role(session: &Session, role: &str, password: &SecretString) -> Result<(), DbError> {
    let client = &session.client;
    let refused = |error: tokio_postgres::Error| session.failed(&error);
    let found = client.query_opt(FIND, &[&role]).await.map_err(refused)?;
    if found.as_ref().is_some_and(|row| row.get(0)) {
        return Err(DbError::Refused {
            place: session.origin.place.clone(),
            reason: format!("role {role} is a superuser, which reaches every database"),
            sqlstate: SqlState::INVALID_ROLE_SPECIFICATION.code().to_owned(),
        });
    }
    // The password is sent as a SCRAM verifier, as the server would store it, so the server's log never shows it.
    let verifier = scram_sha_256(password.expose_secret().as_bytes());
    let verb = if found.is_some() { "alter" } else { "create" };
    client
        .batch_execute(&format!("{verb} role {} login password '{verifier}'", quoted(role)))
        .await
        .map_err(refused)?;
    if found.is_none() {
        info!(role, "role created");
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
