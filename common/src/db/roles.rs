//! A role of its own for a database: it owns that database and reaches no other one.
//!
//! Made by `migrate`, as an administrator: a superuser, or one that may make roles and databases. Done again it changes
//! nothing, except that a new password counts from then on. What an administrator made in the database before, when it
//! had no role of its own, is handed over.

use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, error::SqlState};
use tracing::info;

use super::{
    DbError, Target,
    setup::{MIGRATION_LOCK, ensure_database, maintenance},
};

/// Whether it is there, and whether it is one that nothing is kept from.
const FIND: &str = "select rolsuper from pg_roles where rolname = $1";

/// A superuser may act as anybody; others must be members of the role that they make an owner.
const MAY_ACT_AS: &str = "select pg_has_role(current_user, $1::name, 'member')";

/// Hands over the tables, sequences and functions of somebody else, but not what an extension brought. A sequence of a
/// column goes with its table.
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
                              and d.deptype in ('a', 'i', 'e'))
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

/// Makes a database and the role of the same name that owns it, or brings both up to date; nobody else but superusers
/// and members of that role can connect to it then. Where the URL names no user there is nobody to do that: both must
/// be there.
///
/// # Errors
/// [`DbError`] if the server cannot be reached, or refuses: the user of the URL may not do it.
pub async fn ensure_owned_database(
    server: &SecretString,
    database: &str,
    password: &SecretString,
) -> Result<(), DbError> {
    if !names_user(server)? {
        return Ok(());
    }
    let (client, target) = maintenance(server).await?;
    let refused = |error: tokio_postgres::Error| DbError::of_statement(&target, &error);
    // Two that change one role at the same time would fail. The lock goes with the session.
    client.execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(refused)?;
    ensure_role(&client, &target, database, password).await?;
    ensure_database(server, database).await?;
    let name = quoted(database);
    if !client.query_one(MAY_ACT_AS, &[&database]).await.map_err(refused)?.get::<_, bool>(0) {
        client.batch_execute(&format!("grant {name} to current_user")).await.map_err(refused)?;
    }
    let own = format!("alter database {name} owner to {name}; revoke all on database {name} from public");
    client.batch_execute(&own).await.map_err(refused)?;
    let inside = Target::new(server, Some(database), None)?.connect().await?.client;
    inside.batch_execute(HAND_OVER).await.map_err(refused)
}

/// Tells whether a URL says who connects.
///
/// # Errors
/// [`DbError::Url`].
pub fn names_user(server: &SecretString) -> Result<bool, DbError> {
    Ok(Target::new(server, None, None)?.config.get_user().is_some())
}

async fn ensure_role(client: &Client, target: &Target, role: &str, password: &SecretString) -> Result<(), DbError> {
    let refused = |error: tokio_postgres::Error| DbError::of_statement(target, &error);
    let found = client.query_opt(FIND, &[&role]).await.map_err(refused)?;
    if found.as_ref().is_some_and(|row| row.get(0)) {
        return Err(DbError::Refused {
            place: target.place(),
            reason: format!("role {role} is a superuser, which reaches every database"),
            sqlstate: SqlState::INVALID_ROLE_SPECIFICATION.code().to_owned(),
        });
    }
    // What a server logs of a statement never shows the password: it is sent as what the server would make of it.
    let verifier = scram_sha_256(password.expose_secret().as_bytes());
    let verb = if found.is_some() { "alter" } else { "create" };
    client
        .batch_execute(&format!("{verb} role {} login password '{verifier}'", quoted(role)))
        .await
        .map_err(refused)?;
    if found.is_none() {
        info!(role, "role made");
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
