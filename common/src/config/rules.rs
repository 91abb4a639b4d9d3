//! Ranges of values and rules between settings. They are checked on the layered values rather than on the typed
//! structs, because only the values know where they were set.

use std::{iter, net::IpAddr};

use config::{Value, ValueKind};
use tracing_subscriber::EnvFilter;
use warp::http::Uri;

use super::{
    check::variable_of,
    error::ConfigProblem,
    layers::Layer,
    named::{self, check_absent, check_judgement, check_participant_url},
    otel::{headers, pairs},
    source::{PRODUCTION, Program},
};
use crate::{faults::MAX_LATENCY_MS, ids::CELLS};

/// The longest duration of any setting: a day. A larger value is a mistake of units.
const MAX_MS: i64 = 86_400_000;
/// The longest retention given in milliseconds: a year.
const MAX_KEEP_MS: i64 = 365 * MAX_MS;
/// The longest retention given in days: a century.
const MAX_RETENTION_DAYS: i64 = 36_500;
/// The largest count of any setting; it fits all integer types in use.
const MAX_COUNT: i64 = 1_000_000_000;
/// The largest number of worker threads of a process.
const MAX_THREADS: i64 = 1_024;
/// The largest request body that a service may hold in memory.
const MAX_BODY_BYTES: i64 = 16 * 1024 * 1024;
/// The shortest token that cannot be guessed, in characters.
const MIN_TOKEN: usize = 16;
/// PostgreSQL's limit for names, in bytes.
const MAX_DATABASE_NAME: usize = 63;

/// Problems and warnings about the settings.
#[derive(Default)]
pub(super) struct Findings {
    /// Mistakes.
    pub(super) problems: Vec<ConfigProblem>,
    /// Settings that are accepted but weaken the system, such as a token that can be guessed, or that are ignored.
    pub(super) warnings: Vec<ConfigProblem>,
}

/// Reports every value out of its range and every pair of values that contradict each other.
pub(super) fn check(profile: &str, program: Program, effective: &Layer, findings: &mut Findings) {
    for (key, value) in &effective.0 {
        if let Err(message) = check_value(key, &value.kind) {
            findings.problems.push(ConfigProblem::new(key, place(value), message));
        }
    }
    Rules { effective, problems: &mut findings.problems }.check(profile, program);
    let weak = weak_tokens(effective);
    match profile == PRODUCTION {
        true => findings.problems.extend(weak),
        false => findings.warnings.extend(weak),
    }
}

/// Returns the tokens that can be guessed, and the tokens that serve two purposes.
fn weak_tokens(effective: &Layer) -> Vec<ConfigProblem> {
    let token = |name| {
        let key = format!("auth.{name}");
        let value = effective.0.get(&key)?;
        let text = value.clone().into_string().ok().filter(|text| !text.is_empty())?;
        Some((key, value, text))
    };
    let tokens: Vec<_> = ["operator_token", "service_token", "api_token"].into_iter().filter_map(token).collect();
    let mut weak = Vec::new();
    for (index, (key, value, text)) in tokens.iter().enumerate() {
        let mut complain = |message: String| weak.push(ConfigProblem::new(key, place(value), message));
        if text.len() < MIN_TOKEN {
            complain(format!(
                "is too short, expected at least {MIN_TOKEN} characters, as `openssl rand -hex 24` makes"
            ));
        }
        if let Some((other, ..)) = tokens[..index].iter().find(|(_, _, earlier)| earlier == text) {
            complain(format!("is the same as {other}, expected a token of its own"));
        }
    }
    weak
}

pub(super) fn check_value(key: &str, value: &ValueKind) -> Result<(), String> {
    let path: Vec<&str> = key.split('.').collect();
    match (path.as_slice(), value) {
        (["auth", _] | ["participants", _, "token"], ValueKind::String(token)) => check_token(token),
        (["participants", _, "url"], ValueKind::String(url)) => check_participant_url(url),
        (["participants", _, "judgement"], ValueKind::String(judgement)) => check_judgement(judgement),
        (["participants", _, "absent"], ValueKind::Array(statuses)) => check_absent(statuses),
        (["database", "url"] | ["services", _, "database_url"], ValueKind::String(url)) => check_database_url(url),
        (["http", "bind"], ValueKind::String(address)) => match address.parse::<IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("is {address:?}, expected an IP address such as 127.0.0.1 or 0.0.0.0")),
        },
        (["http", "cors_origins"], ValueKind::Array(origins)) => origins.iter().try_for_each(check_origin),
        (["ui", "replicas", _], ValueKind::Array(urls)) => {
            urls.iter().try_for_each(|url| check_service_url(&url.clone().into_string().unwrap_or_default()))
        }
        (["ui", "trace_url"], ValueKind::String(url)) => check_trace_url(url),
        (["http", "trusted_proxies"], ValueKind::Array(networks)) => networks.iter().try_for_each(check_network),
        (["services", _, "url"], ValueKind::String(url)) => check_service_url(url),
        (["services", _, "database_password"], ValueKind::String(password)) => check_password(password),
        (["services", _, "database"], ValueKind::String(name)) => check_database_name(name),
        (["orchestrator", "node_id"], ValueKind::String(id)) => check_node_id(id),
        (["orchestrator", "cells", _, "url"], ValueKind::String(url)) => check_service_url(url),
        (["dtm", "allowed_urls"], ValueKind::Array(urls)) => urls.iter().try_for_each(|url| {
            let url = url.clone().into_string().unwrap_or_default();
            match url.is_empty() || url.contains('@') {
                true => Err(format!("has {url:?}, expected prefixes of URLs such as \"http://payments:8080/api\"")),
                false => check_url(&url, &["http", "https"], "http://payments:8080/api"),
            }
        }),
        (["telemetry", "filter"], ValueKind::String(filter)) => match EnvFilter::try_new(filter) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("is {filter:?}, expected a log filter such as \"info,ractor=warn\": {error}")),
        },
        (["telemetry", "format"], ValueKind::String(format)) => one_of(format, &["text", "json"]),
        (["telemetry", "otlp_endpoint" | "otlp_traces_endpoint"], ValueKind::String(url)) => {
            check_url(url, &["http", "https"], "http://otel-collector:4318 or https://otlp.example")
        }
        (["telemetry", "traces_exporter"], ValueKind::String(name)) => one_of(name, &["", "otlp", "none"]),
        (["telemetry", "otlp_protocol"], ValueKind::String(name)) => one_of(name, &["http/protobuf", "grpc"]),
        (["telemetry", "otlp_compression"], ValueKind::String(name)) => one_of(name, &["none", "gzip"]),
        (["telemetry", "traces_sampler"], ValueKind::String(name)) => one_of(name, &SAMPLERS),
        (["telemetry", "otlp_headers"], ValueKind::String(text)) => headers(text).map(drop),
        (["telemetry", "resource_attributes"], ValueKind::String(list)) => pairs(list).map(drop),
        (["telemetry", "otlp_sample_ratio"], ValueKind::Float(ratio)) => match (0.0..=1.0).contains(ratio) {
            true => Ok(()),
            false => Err(format!("is {ratio}, expected a ratio from 0 to 1")),
        },
        (["faults", _, _, "latency_ms", _], ValueKind::I64(ms)) => within(*ms, 0, MAX_LATENCY_MS as i64),
        (["faults", ..], ValueKind::Float(rate)) => match (0.0..=1.0).contains(rate) {
            true => Ok(()),
            false => Err(format!("is {rate}, expected a rate from 0 to 1")),
        },
        (path, ValueKind::I64(number)) => {
            let (min, max) = range(path);
            within(*number, min, max)
        }
        _ => Ok(()),
    }
}

/// The samplers of OpenTelemetry's specification that need no server.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

fn one_of(name: &str, names: &[&str]) -> Result<(), String> {
    match names.contains(&name) {
        true => Ok(()),
        false => {
            let names: Vec<String> =
                names.iter().filter(|name| !name.is_empty()).map(|name| format!("{name:?}")).collect();
            let (last, others) = names.split_last().expect("there is a name");
            Err(format!("is {name:?}, expected {} or {last}", others.join(", ")))
        }
    }
}

/// Value of a number that must be stated and is not.
const NOT_STATED: i64 = -1;

/// Returns the range of a whole number, both ends included.
fn range(path: &[&str]) -> (i64, i64) {
    match path {
        ["faults", "seed"] => (0, i64::MAX),
        ["services", _, "port"] => (0, u16::MAX.into()),
        ["orchestrator", "cell"] => (0, i64::from(CELLS) - 1),
        ["http", "body_limit_bytes"] => (1, MAX_BODY_BYTES),
        ["inventory", "initial_stock"] => (NOT_STATED, i32::MAX.into()),
        ["inventory", "low_stock"] => (0, i32::MAX.into()),
        // Here 0 means "for ever", "not at all" or "none".
        ["retry", "compensation", "attempts"] | ["supervision", "max_restarts"] => (0, MAX_COUNT),
        ["runtime", "worker_threads"] => (0, MAX_THREADS),
        ["participants", .., "reserved_for_compensations" | "breaker_failures"] | ["rate_limit", "per_second"] => {
            (0, MAX_COUNT)
        }
        [_, "max_connections_per_peer" | "max_in_flight_per_client" | "max_event_listeners_per_client"] => {
            (0, MAX_COUNT)
        }
        [_, "drain_delay_ms" | "drain_grace_ms" | "grace_ms" | "wait_limit_ms" | "start_wait_ms"] => (0, MAX_MS),
        // With a shorter retention, a listener could miss events that it has yet to read.
        [_, "events_keep_ms"] => (60_000, MAX_KEEP_MS),
        // The contract promises a day.
        [_, "key_keep_ms"] => (MAX_MS, MAX_KEEP_MS),
        [_, "retention_days"] => (0, MAX_RETENTION_DAYS),
        [.., name] if name.ends_with("_ms") => (1, MAX_MS),
        _ => (1, MAX_COUNT),
    }
}

fn within(number: i64, min: i64, max: i64) -> Result<(), String> {
    match (min..=max).contains(&number) {
        true => Ok(()),
        false => Err(format!("is {number}, expected a whole number from {min} to {max}")),
    }
}

fn check_token(token: &str) -> Result<(), String> {
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err("cannot be sent in a header, expected visible ASCII characters without spaces".to_owned()),
    }
}

fn check_database_url(url: &str) -> Result<(), String> {
    match url.is_empty() {
        true => Ok(()),
        false => crate::db::check_url(url)
            .map_err(|reason| format!("cannot be used: {reason}; expected postgres://user:password@host:port/")),
    }
}

fn check_password(password: &str) -> Result<(), String> {
    match password.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err("cannot be sent, expected visible ASCII characters without spaces".to_owned()),
    }
}

/// Services call each other without TLS.
fn check_service_url(url: &str) -> Result<(), String> {
    check_url(url, &["http"], "http://127.0.0.1:8001")
}

pub(super) fn check_url(url: &str, schemes: &[&str], expected: &str) -> Result<(), String> {
    match url.is_empty() || address(url, schemes).is_some_and(|uri| uri.query().is_none()) {
        true => Ok(()),
        false => Err(format!("is {url:?}, expected an address such as {expected}")),
    }
}

/// Parses a URL with a host and one of these schemes.
fn address(url: &str, schemes: &[&str]) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let has_scheme = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    (has_scheme && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

/// Some viewers have the trace id in the query.
fn check_trace_url(url: &str) -> Result<(), String> {
    const TRACE_ID: &str = "{trace_id}";
    let example = url.replace(TRACE_ID, &"0".repeat(32));
    match url.is_empty() || (url.contains(TRACE_ID) && address(&example, &["http", "https"]).is_some()) {
        true => Ok(()),
        false => Err(format!(
            "is {url:?}, expected an address with {TRACE_ID} in it, such as http://localhost:16686/trace/{TRACE_ID}"
        )),
    }
}

fn check_origin(origin: &Value) -> Result<(), String> {
    let text = origin.clone().into_string().unwrap_or_default();
    let is_origin = |uri: Uri| {
        // `Uri` returns an absent path as "/", so a trailing slash is looked for in the text.
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.path() == "/"
            && !text.ends_with('/')
            && uri.query().is_none()
    };
    match text == "*" || text.parse().is_ok_and(is_origin) {
        true => Ok(()),
        false => Err(format!("has {text:?}, expected origins such as https://shop.example, or *")),
    }
}

fn check_network(network: &Value) -> Result<(), String> {
    let text = network.clone().into_string().unwrap_or_default();
    match crate::http::network(&text) {
        Some(_) => Ok(()),
        None => Err(format!("has {text:?}, expected addresses such as 10.0.0.7, or networks such as 172.16.0.0/12")),
    }
}

fn check_database_name(name: &str) -> Result<(), String> {
    let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let reads_well = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    match starts_well && reads_well && name.len() <= MAX_DATABASE_NAME {
        true => Ok(()),
        false => {
            Err(format!("is {name:?}, expected lowercase letters, digits and underscores, at most {MAX_DATABASE_NAME}"))
        }
    }
}

fn check_node_id(id: &str) -> Result<(), String> {
    match id.chars().count() <= 100 && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(format!("is {id:?}, expected at most 100 visible ASCII characters without spaces, or none")),
    }
}

fn place(value: &Value) -> &str {
    value.origin().unwrap_or("built-in default.toml")
}

/// Rules between keys.
struct Rules<'a> {
    effective: &'a Layer,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Rules<'_> {
    fn check(mut self, profile: &str, program: Program) {
        self.require("orchestrator.lease_ms", "more than twice", "orchestrator.heartbeat_ms", |lease, beat| {
            lease > beat.saturating_mul(2)
        });
        let names = named::names(self.effective);
        for participant in iter::once(None).chain(names.iter().map(|name| Some(name.as_str()))) {
            self.require_of(participant, "reserved_for_compensations", "less than", "max_concurrent", |a, b| a < b);
            self.require_of(participant, "connect_timeout_ms", "at most", "timeout_ms", |a, b| a <= b);
        }
        names.iter().for_each(|name| self.require_url(name));
        self.require("group_commit.max_batch", "at most", "group_commit.max_queue", |a, b| a <= b);
        for section in ["supervision", "retry.action", "retry.compensation", "retry.failed"] {
            let (min, max) = (format!("{section}.backoff_min_ms"), format!("{section}.backoff_max_ms"));
            self.require(&min, "at most", &max, |a, b| a <= b);
        }
        let ranges: Vec<String> =
            self.effective.0.keys().filter_map(|key| key.strip_suffix(".latency_ms.min")).map(str::to_owned).collect();
        for operation in ranges {
            let (min, max) = (format!("{operation}.latency_ms.min"), format!("{operation}.latency_ms.max"));
            self.require(&min, "at most", &max, |a, b| a <= b);
        }
        self.require_distinct(".port");
        self.require_distinct(".database");
        if profile == PRODUCTION && program == Program::Service {
            self.require_token("auth.service_token");
            let speaks_dtm = self.effective.0.get("dtm.enabled").is_some_and(|on| on.kind == ValueKind::Boolean(true));
            if speaks_dtm {
                self.require_token("auth.api_token");
            }
        }
        if program == Program::Service {
            self.require_stated("inventory.initial_stock");
        }
    }

    /// Compares two settings of calls. A named participant has those of `[participants]` where it has none of its own;
    /// with none of its own there is nothing to add to what is said of `[participants]`.
    fn require_of(
        &mut self,
        participant: Option<&str>,
        key: &str,
        relation: &str,
        other: &str,
        holds: impl Fn(i64, i64) -> bool,
    ) {
        let general = |key: &str| format!("participants.{key}");
        let Some(name) = participant else {
            return self.require(&general(key), relation, &general(other), holds);
        };
        let own = |key: &str| {
            let own = format!("participants.{name}.{key}");
            self.effective.0.contains_key(&own).then_some(own)
        };
        match (own(key), own(other)) {
            (None, None) => {}
            (Some(key), Some(other)) => self.require(&key, relation, &other, holds),
            (Some(key), None) => self.require(&key, relation, &general(other), holds),
            (None, Some(own_other)) => {
                let effective = self.effective;
                let numbers = [&general(key), &own_other].map(|key| effective.0.get(key).map(|value| &value.kind));
                let [Some(ValueKind::I64(number)), Some(ValueKind::I64(limit))] = numbers else { return };
                if !holds(*number, *limit) {
                    let message = format!(
                        "is {limit}, expected that {}, which is {number}, is {relation} it; set participants.{name}.{key}",
                        general(key)
                    );
                    let place = place(&effective.0[&own_other]);
                    self.problems.push(ConfigProblem::new(own_other, place, message));
                }
            }
        }
    }

    /// A participant without an address cannot be called.
    fn require_url(&mut self, name: &str) {
        let effective = self.effective;
        let key = format!("participants.{name}.url");
        let given = effective.0.get(&key);
        if given.is_some_and(|url| url.kind != ValueKind::String(String::new())) {
            return;
        }
        let prefix = format!("participants.{name}.");
        let of_participant = effective.0.iter().find(|(key, _)| key.starts_with(&prefix)).map(|(_, value)| value);
        let place = given.or(of_participant).map_or("built-in default.toml", place);
        let message = "is not set, expected the address of the participant, such as https://flights.example";
        self.problems.push(ConfigProblem::new(key, place, message));
    }

    fn require(&mut self, key: &str, relation: &str, other: &str, holds: impl Fn(i64, i64) -> bool) {
        let effective = self.effective;
        let (Some(value), Some(other_value)) = (effective.0.get(key), effective.0.get(other)) else {
            return;
        };
        let (ValueKind::I64(number), ValueKind::I64(limit)) = (&value.kind, &other_value.kind) else {
            return;
        };
        if !holds(*number, *limit) {
            let other_place = place(other_value);
            let message = format!("is {number}, expected {relation} {other}, which is {limit} ({other_place})");
            self.problems.push(ConfigProblem::new(key, place(value), message));
        }
    }

    /// No two services may share a port or a database; port 0 means any free port.
    fn require_distinct(&mut self, suffix: &str) {
        let effective = self.effective;
        let of_services = effective.0.iter().filter(|(key, _)| key.starts_with("services.") && key.ends_with(suffix));
        let taken: Vec<(&String, &Value)> = of_services.filter(|(_, value)| value.kind != ValueKind::I64(0)).collect();
        for (index, (key, value)) in taken.iter().enumerate() {
            let twin = taken[..index].iter().find(|(_, earlier)| earlier.kind == value.kind);
            if let Some((other, other_value)) = twin {
                let message = format!("is {value}, expected a different value than {other} ({})", place(other_value));
                self.problems.push(ConfigProblem::new(*key, place(value), message));
            }
        }
    }

    fn require_stated(&mut self, key: &str) {
        let Some(value) = self.effective.0.get(key).filter(|value| value.kind == ValueKind::I64(NOT_STATED)) else {
            return;
        };
        let variable = variable_of(key);
        let message = format!("is not stated; set the environment variable {variable} to a number from 0");
        self.problems.push(ConfigProblem::new(key, place(value), message));
    }

    fn require_token(&mut self, key: &str) {
        let Some(value) = self.effective.0.get(key) else {
            return;
        };
        if value.kind == ValueKind::String(String::new()) {
            let variable = variable_of(key);
            let message =
                format!("is not set, the production profile requires it; set the environment variable {variable}");
            self.problems.push(ConfigProblem::new(key, place(value), message));
        }
    }
}
