//! Settings of a new session, and whether the session may write.
//!
//! Settings are set by a statement instead of startup options, because PgBouncer refuses most of those. One statement
//! sets them and reads whether the server accepts writes, so a new connection costs one round trip.

use std::time::{Duration, Instant};

use postgres_protocol::escape::escape_literal;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};

use super::{DbError, Target};

/// How long a read-only session is used: after that, the address may lead to a writable server again.
const READ_ONLY_SESSION_LIFE: Duration = Duration::from_secs(1);
/// How long [`check_pooling`] waits for a session whose server connection may be held by another session.
const POOLING_CHECK_LIMIT: Duration = Duration::from_secs(2);

const READ_ACCESS: &str = "(pg_is_in_recovery() or current_setting('transaction_read_only')::bool
    or current_setting('default_transaction_read_only')::bool)::text";

/// Whether a session may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads and writes.
    ReadWrite,
    /// The server is in recovery, or the session is read-only by a setting.
    ReadOnly,
}

/// A session with its settings applied.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) access: Access,
    pub(super) opened_at: Instant,
}

impl Session {
    /// Applies the settings to a new session and reads its access.
    pub(super) async fn prepare(client: Client, settings: &[(String, String)]) -> Result<Self, Error> {
        let mut columns: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("set_config({}, {}, false)", escape_literal(name), escape_literal(value)))
            .collect();
        columns.push(READ_ACCESS.to_owned());
        let access = match last_value(&client, &format!("select {}", columns.join(", "))).await?.as_deref() {
            Some("false") => Access::ReadWrite,
            _ => Access::ReadOnly,
        };
        Ok(Self { client, access, opened_at: Instant::now() })
    }
}

/// Returns whether a session with this access, opened at this time, may still be handed out.
pub(super) fn is_current(access: Access, opened_at: Instant) -> bool {
    access == Access::ReadWrite || opened_at.elapsed() < READ_ONLY_SESSION_LIFE
}

/// Runs a simple query and returns the last column of its last row.
async fn last_value(client: &Client, sql: &str) -> Result<Option<String>, Error> {
    let messages = client.simple_query(sql).await?;
    Ok(messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(row.len().checked_sub(1)?).map(str::to_owned),
        _ => None,
    }))
}

/// Takes the settings out of a URL's `options`, which may hold only `-c name=value`, and returns them with the rest of
/// the configuration. A backslash escapes the next character, as in libpq.
pub(super) fn take_options(config: Config) -> Result<(Config, Vec<(String, String)>), DbError> {
    let Some(options) = config.get_options() else { return Ok((config, Vec::new())) };
    let mut settings = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c") {
            Some("") => words.next(),
            Some(joined) => Some(joined.to_owned()),
            None => word.strip_prefix("--").map(str::to_owned),
        };
        let parts = setting.as_deref().and_then(|setting| setting.split_once('='));
        match parts {
            Some((name, value)) if !name.is_empty() => settings.push((name.replace('-', "_"), value.to_owned())),
            _ => return Err(DbError::Url(format!("options takes `-c name=value` only, not {word:?}"))),
        }
    }
    Ok((without_options(&config), settings))
}

fn words(options: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (space, _) if space.is_whitespace() => words.push(String::new()),
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Copies a configuration without its `options`: the type has no way to remove them.
fn without_options(config: &Config) -> Config {
    use tokio_postgres::config::Host;
    let mut copy = Config::new();
    for host in config.get_hosts() {
        match host {
            Host::Tcp(host) => copy.host(host),
            #[cfg(unix)]
            Host::Unix(folder) => copy.host_path(folder),
        };
    }
    for address in config.get_hostaddrs() {
        copy.hostaddr(*address);
    }
    for port in config.get_ports() {
        copy.port(*port);
    }
    if let Some(user) = config.get_user() {
        copy.user(user);
    }
    if let Some(password) = config.get_password() {
        copy.password(password);
    }
    if let Some(database) = config.get_dbname() {
        copy.dbname(database);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        copy.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        copy.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        copy.keepalives_retries(retries);
    }
    copy.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    copy
}

/// Detects a pooler in transaction mode (PgBouncer's `pool_mode = transaction`), which breaks all state of a session:
/// settings, prepared statements, advisory locks.
///
/// The first session makes a setting. A second session opens a transaction; if server connections are shared, it takes
/// the one used last. Then the first session reads its setting. If it gets no answer, both share the only connection.
///
/// # Errors
/// [`DbError::TransactionPooling`], or an error of the check itself.
pub async fn check_pooling(server: &secrecy::SecretString, database: Option<&str>) -> Result<(), DbError> {
    const MARK: &str = "select set_config('ecommerce.session_check', 'kept', false)";
    const LOOK: &str = "select coalesce(current_setting('ecommerce.session_check', true), '')";
    let target = Target::new(server, database, None)?;
    let (first, second) = (target.connect().await?.client, target.connect().await?.client);
    let failed = |error: Error| DbError::of_statement(&target, &error);
    last_value(&first, MARK).await.map_err(failed)?;
    // A second session that gets no server connection is waiting for the first one's: each session has its own then.
    let Ok(begun) = timeout(POOLING_CHECK_LIMIT, second.batch_execute("begin")).await else { return Ok(()) };
    begun.map_err(failed)?;
    let kept = match timeout(POOLING_CHECK_LIMIT, last_value(&first, LOOK)).await {
        Ok(kept) => kept.map_err(failed)?,
        Err(_) => None,
    };
    match kept.as_deref() {
        Some("kept") => Ok(()),
        _ => Err(DbError::TransactionPooling { place: target.place() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &str) -> Result<Vec<(String, String)>, String> {
        let config: Config = "postgres://u@h/d".parse().unwrap();
        let mut config = config;
        config.options(options);
        let taken = take_options(config).map_err(|error| error.to_string());
        taken.map(|(rest, settings)| {
            assert_eq!(rest.get_options(), None);
            assert_eq!((rest.get_user(), rest.get_dbname()), (Some("u"), Some("d")));
            settings
        })
    }

    #[test]
    fn options_of_a_url_are_settings_and_nothing_else() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (options, expected) in [
            ("-c work_mem=8MB", vec![pair("work_mem", "8MB")]),
            ("-cwork_mem=8MB  -c jit=off", vec![pair("work_mem", "8MB"), pair("jit", "off")]),
            ("--statement-timeout=5s", vec![pair("statement_timeout", "5s")]),
            (r"-c search_path=a,\ b", vec![pair("search_path", "a, b")]),
            ("-c DateStyle=", vec![pair("DateStyle", "")]),
            (" ", vec![]),
        ] {
            assert_eq!(settings(options).unwrap(), expected, "{options}");
        }
        for options in ["-d 5", "-c", "-c work_mem", "work_mem=8MB", "-c =x", "-F"] {
            let error = settings(options).unwrap_err();
            assert!(error.contains("-c name=value"), "{options}: {error}");
        }
    }
}
