//! The URL of a server, or of several hosts of which one is the primary.
//!
//! Both forms of libpq's connection strings are read: `postgres://user:password@h1:5432,h2/database?key=value` and
//! `host=h1,h2 port=5432 key=value`. Of a key that is given twice, the last one counts. The keys that this program
//! handles itself are taken out here; the login and all other keys are left to tokio-postgres.

use std::collections::HashMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;

use super::host::{DEFAULT_PORT, Host};
use super::tls::{self, Tls};

/// The keys that are handled here.
const OWN: [&str; 7] =
    ["host", "hostaddr", "port", "options", "target_session_attrs", "load_balance_hosts", "connect_timeout"];
/// The keys that are left to tokio-postgres.
const LEFT: [&str; 10] = [
    "user",
    "password",
    "dbname",
    "application_name",
    "channel_binding",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
];
/// How long a server may leave packets unacknowledged before its sessions are closed. A machine that is gone resets
/// nothing: otherwise each session to it is only found dead by its next statement, when that reaches its time limit, in
/// one service after the other. A server that is slow, or waits for its standby, still acknowledges packets.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Interval of probes on an idle session.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A parsed URL.
pub(super) struct ServerUrl {
    /// Login, database and what else tokio-postgres knows; without a host.
    pub(super) config: Config,
    /// At least one.
    pub(super) hosts: Vec<Host>,
    /// Session settings, from `options`.
    pub(super) settings: Vec<(String, String)>,
    pub(super) standbys: Standbys,
    pub(super) tls: Tls,
}

/// Whether a standby is accepted if no host is a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standbys {
    Accepted,
    Refused,
}

impl ServerUrl {
    /// Parses a URL. The reason in an error quotes no values: a part of a password could be among them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Parts { rest, mut own } = match text.strip_prefix("postgres://").or(text.strip_prefix("postgresql://")) {
            Some(body) => of_url(body)?,
            None => of_words(text)?,
        };
        let mut config = rest.parse::<Config>().map_err(|error| super::describe(&error))?;
        limit_silence(&mut config);
        let settings = own.remove("options").map(|options| settings_of(&options)).transpose()?.unwrap_or_default();
        let standbys = match own.remove("target_session_attrs").as_deref() {
            None | Some("any") => Standbys::Accepted,
            Some("read-write" | "primary") => Standbys::Refused,
            Some(_) => return Err("target_session_attrs takes any, read-write or primary: services write".to_owned()),
        };
        if own.remove("load_balance_hosts").is_some_and(|value| value != "disable") {
            return Err("load_balance_hosts takes disable only: the host that worked last is asked first".to_owned());
        }
        let hosts = hosts_of(&own)?;
        let tls = Tls::take(&mut own, &hosts)?;
        Ok(Self { config, hosts, settings, standbys, tls })
    }
}

/// Sets the limits of silence that the URL leaves open.
fn limit_silence(config: &mut Config) {
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE_MAX);
    }
    if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        config.keepalives_idle(PROBE_EVERY);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(PROBE_EVERY);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(3);
    }
}

/// Checks a URL and the files that it names.
///
/// # Errors
/// The reason, in which no values are quoted but the names of the files.
pub fn check(url: &str) -> Result<(), String> {
    ServerUrl::parse(url)?.tls.client().map(drop)
}

/// A URL taken apart.
struct Parts {
    /// The rest, for tokio-postgres.
    rest: String,
    /// The values of [`OWN`] keys.
    own: HashMap<String, String>,
}

impl Parts {
    /// Takes a value if its key is handled here; returns whether it was taken.
    fn take(&mut self, key: &str, value: impl FnOnce() -> Result<String, String>) -> Result<bool, String> {
        if OWN.contains(&key) || tls::KEYS.contains(&key) {
            self.own.insert(key.to_owned(), value()?);
            return Ok(true);
        }
        if LEFT.contains(&key) { Ok(false) } else { Err(format!("the key {key} is unknown or not supported")) }
    }
}

/// Takes apart the URL behind its scheme.
fn of_url(body: &str) -> Result<Parts, String> {
    let (login, rest) = body.split_once('@').map_or(("", body), |(login, rest)| (login, rest));
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Text that looks like a key may then be a part of the password.
    if authority.contains('@') || rest.contains('@') {
        return Err("only one @ is expected; within a password or a value it is written %40".to_owned());
    }
    let mut parts = Parts { rest: format!("postgres://{login}@{path}?"), own: HashMap::new() };
    if login.is_empty() {
        parts.rest = format!("postgres://{path}?");
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for host in authority.split(',').filter(|_| !authority.is_empty()) {
        let (host, port) = match host.strip_prefix('[').map(|host| host.split_once(']')) {
            Some(Some((host, port))) => (host, port),
            Some(None) => return Err("the address of a host lacks its ]".to_owned()),
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        hosts.push(decoded(host)?);
        ports.push(decoded(port.strip_prefix(':').unwrap_or(port))?);
    }
    if hosts.iter().any(|host| !host.is_empty()) || hosts.len() > 1 {
        parts.own.insert("host".to_owned(), hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        parts.own.insert("port".to_owned(), ports.join(","));
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').ok_or("a key has no value")?;
        if !parts.take(&decoded(key)?, || decoded(value))? {
            parts.rest.push_str(&format!("{parameter}&"));
        }
    }
    Ok(parts)
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| "a value is not UTF-8".to_owned())
}

/// Takes apart `key=value` pairs. A value with blanks is in single quotes; a backslash escapes the next character.
fn of_words(text: &str) -> Result<Parts, String> {
    let mut parts = Parts { rest: String::new(), own: HashMap::new() };
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or("expected postgres://user:password@host:port/")?;
        let key = key.trim_end();
        let after = after.trim_start();
        let is_quoted = after.starts_with('\'');
        let mut value = String::new();
        let mut characters = after.char_indices().skip(usize::from(is_quoted));
        let end = loop {
            match characters.next() {
                None if is_quoted => return Err("a quote is not closed".to_owned()),
                None => break after.len(),
                Some((at, '\'')) if is_quoted => break at + 1,
                Some((at, blank)) if !is_quoted && blank.is_whitespace() => break at,
                Some((_, '\\')) => value.extend(characters.next().map(|(_, escaped)| escaped)),
                Some((_, other)) => value.push(other),
            }
        };
        let (given, after) = after.split_at(end);
        if !parts.take(key, || Ok(value))? {
            parts.rest.push_str(&format!("{key}={given} "));
        }
        rest = after.trim_start();
    }
    Ok(parts)
}

/// Pairs hosts, addresses and ports by their positions.
fn hosts_of(own: &HashMap<String, String>) -> Result<Vec<Host>, String> {
    let list = |key: &str| -> Vec<&str> {
        let value = own.get(key).map(String::as_str).filter(|value| !value.is_empty());
        value.map(|value| value.split(',').collect()).unwrap_or_default()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len());
    if count == 0 {
        return Err("the host is missing".to_owned());
    }
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(format!("{} hosts and {} hostaddrs: expected one for each", names.len(), addresses.len()));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(format!("{} ports for {count} hosts: expected one port, or one for each", ports.len()));
    }
    let host = |index: usize| {
        let given = |list: &[&str]| list.get(index).filter(|value| !value.is_empty()).map(|value| (*value).to_owned());
        let port = match *ports.get(index).or(ports.first()).unwrap_or(&"") {
            "" => DEFAULT_PORT,
            port => match port.parse() {
                Ok(0) | Err(_) => return Err("a port is not a number from 1 to 65535".to_owned()),
                Ok(port) => port,
            },
        };
        Ok(match (given(&names), given(&addresses)) {
            (Some(folder), None) if folder.starts_with('/') => Host::Socket { folder: folder.into(), port },
            (Some(name), None) => Host::Name { name, port },
            (name, Some(address)) => {
                let address = address.parse().map_err(|_| "a hostaddr is not an IP address".to_owned())?;
                Host::Address { name, address, port }
            }
            (None, None) if count == 1 => return Err("the host is missing".to_owned()),
            (None, None) => return Err(format!("host {} of {count} is empty", index + 1)),
        })
    };
    (0..count).map(host).collect()
}

/// Reads `options`, which may hold only `-c name=value`. A backslash escapes the next character, as in libpq.
fn settings_of(options: &str) -> Result<Vec<(String, String)>, String> {
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
            _ => return Err("options takes `-c name=value` only".to_owned()),
        }
    }
    Ok(settings)
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

#[cfg(test)]
mod tests;
