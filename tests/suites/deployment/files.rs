//! Reads the deployment files as data.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::PathBuf};

use common::config::{AuthSettings, ConfigSource, Settings};
use regex::{Captures, Regex};
use serde_json::Value;

/// The services that clients call.
pub(crate) const CALLED_BY_CLIENTS: [&str; 2] = ["orchestrator", "catalog"];

/// The services and ports of the code.
pub(crate) fn services() -> BTreeMap<String, u16> {
    let settings = ConfigSource::embedded("default").load().expect("the defaults are valid");
    settings.services.iter().map(|(name, service)| (name.clone(), service.port)).collect()
}

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name)
}

pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a YAML file with one document, with its merge keys applied.
pub(crate) fn yaml(name: &str) -> Value {
    parse(name, &read(name))
}

pub(crate) fn parse(name: &str, text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The variables of `.env.example`, with a value for each that must be set.
pub(crate) fn variables() -> BTreeMap<String, String> {
    let lines = read(".env.example");
    let assignments = lines.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    assignments
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("no assignment: {line}"));
            let is_open = value.is_empty() && (name.ends_with("_PASSWORD") || name.ends_with("_TOKEN"));
            let value = match name {
                "INITIAL_STOCK" => "100".to_owned(),
                _ if is_open => format!("secret-of-{}", name.to_lowercase()),
                _ => value.to_owned(),
            };
            (name.to_owned(), value)
        })
        .collect()
}

/// The variables in a file: names and default expressions.
pub(crate) fn asked_for(text: &str) -> Vec<(String, String)> {
    let reference = reference();
    reference.captures_iter(text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

fn reference() -> Regex {
    Regex::new(r"\$\{([A-Z_]+)((?::[-?][^}]*)?)\}").expect("a regular expression")
}

/// Substitutes variables like compose; `$$` is a dollar.
pub(crate) fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    let value = |found: &Captures<'_>| match variables.get(&found[1]).filter(|value| !value.is_empty()) {
        Some(value) => value.clone(),
        None => found[2].strip_prefix(":-").unwrap_or_default().to_owned(),
    };
    reference().replace_all(text, value).replace("$$", "$")
}

/// Returns an object's members as texts.
pub(crate) fn texts(object: &Value) -> BTreeMap<String, String> {
    let members = object.as_object().unwrap_or_else(|| panic!("no object: {object}"));
    members.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn list(value: &Value) -> Vec<String> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}")).iter().map(text).collect()
}

/// Loads the configuration like a container with these variables: an unknown or bad variable is an error.
pub(crate) fn settings(environment: &BTreeMap<String, String>) -> Settings {
    let profile = environment.get("ECOMMERCE_PROFILE").expect("a profile is chosen");
    let mut source = ConfigSource::embedded(profile);
    source.env = environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let runs_a_service = environment.contains_key("ECOMMERCE__AUTH__SERVICE_TOKEN");
    let loaded = if runs_a_service { source.load() } else { source.load_for_tool() };
    loaded.unwrap_or_else(|errors| panic!("{errors}"))
}

/// Asserts that a service with these variables finds the others by their names and uses its own database.
pub(crate) fn assert_runs_as_itself(service: &str, environment: &BTreeMap<String, String>) {
    use secrecy::ExposeSecret;
    let settings = settings(environment);
    assert!(settings.is_production(), "{service}");
    for (other, port) in services() {
        assert_eq!(settings.service(&other).port, port, "{service}");
        assert_eq!(settings.service(&other).url, format!("http://{other}:{port}"), "{service}");
        let has_password = !settings.service(&other).database_password.expose_secret().is_empty();
        assert_eq!(has_password, other == service, "{service} has its own password and no other one: {other}");
    }
    assert_knows_clients_behind_traefik(service, &settings);
    let url: tokio_postgres::Config = settings.database_url(service).expose_secret().parse().expect("a URL");
    assert_eq!(url.get_user(), Some(settings.service(service).database.as_str()));
    let administrator: tokio_postgres::Config = settings.database.url.expose_secret().parse().expect("a URL");
    assert!(administrator.get_user().is_none() && administrator.get_password().is_none(), "{service}");
    assert!(settings.orchestrator.node_id.is_empty(), "replicas must not share an identity");
}

/// Asserts that a service holds the tokens that it checks or sends, and no other one. `of_clients` are the services that
/// hold the token of clients.
pub(crate) fn assert_holds_its_tokens(service: &str, environment: &BTreeMap<String, String>, of_clients: &[&str]) {
    use secrecy::ExposeSecret;
    let AuthSettings { operator_token, service_token, api_token } = settings(environment).auth;
    let held = [operator_token, service_token, api_token].map(|token| !token.expose_secret().is_empty());
    assert_eq!(held, [true, true, of_clients.contains(&service)], "{service}");
}

/// Asserts that the container of a command that runs no service holds no token of the services.
pub(crate) fn assert_holds_no_token(job: &str, environment: &BTreeMap<String, String>) {
    let held: Vec<&String> = environment.keys().filter(|name| name.starts_with("ECOMMERCE__AUTH__")).collect();
    assert!(held.is_empty(), "{job}: {held:?}");
}

/// Asserts that a proxy's statement of the client's address is trusted only from private networks.
fn assert_knows_clients_behind_traefik(service: &str, settings: &Settings) {
    assert!(settings.rate_limit.per_second > 0, "{service} limits clients");
    let networks: Vec<(Ipv4Addr, u8)> = settings
        .http
        .trusted_proxies
        .iter()
        .map(|network| {
            let (address, bits) = network.split_once('/').unwrap_or_else(|| panic!("{network} is no network"));
            (address.parse().expect("an address"), bits.parse().expect("a number"))
        })
        .collect();
    assert!(!networks.is_empty(), "{service} takes all clients behind Traefik for one");
    for (address, bits) in networks {
        assert!(address.is_private() && bits >= 8, "{service} believes strangers: {address}/{bits}");
    }
}

/// Asserts that a stop may take as long as a service with these settings needs for it.
pub(crate) fn assert_time_to_stop(service: &str, settings: &Settings, seconds: u64) {
    let needed_ms = settings.http.drain_delay_ms + settings.orchestrator.grace_ms + settings.http.drain_grace_ms;
    assert!(seconds * 1_000 > needed_ms, "{service}: {seconds} s, and a stop may take {needed_ms} ms");
}

/// Asserts that an image has a version tag, so that the file gives the same system at any time.
pub(crate) fn assert_pinned(image: &str) {
    let is_ours = image == "ecommerce-saga:latest";
    let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
    assert!(is_ours || tag.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit()), "{image}");
}
