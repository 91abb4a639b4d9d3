//! Ranges and forms of single values.

use std::net::IpAddr;

use config::{Value, ValueKind};
use tracing_subscriber::EnvFilter;
use warp::http::{Uri, uri::Authority};

use super::pairs::{headers, pairs};
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
/// PostgreSQL's limit for names, in bytes.
const MAX_DATABASE_NAME: usize = 63;
/// Statuses with another meaning than "there is nothing to undo".
const NEVER_ABSENT: [i64; 5] = [401, 408, 409, 425, 429];

/// Checks the value of a key by itself; the error says what was expected.
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
            if url.is_empty() {
                Err("has \"\", expected prefixes of URLs such as \"http://payments:8080/api\"".to_owned())
            } else {
                check_url(&url, &["http", "https"], "http://payments:8080/api")
            }
        }),
        (["telemetry", "filter"], ValueKind::String(filter)) => match EnvFilter::try_new(filter) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("is {filter:?}, expected a log filter such as \"info,ractor=warn\": {error}")),
        },
        (["telemetry", "format"], ValueKind::String(format)) => one_of(format, &["text", "json"]),
        (["telemetry", "otlp_endpoint" | "otlp_traces_endpoint"], ValueKind::String(url)) => check_no_user(url)
            .map_err(|message| format!("{message}; set telemetry.otlp_headers instead"))
            .and_then(|()| check_url(url, &["http", "https"], "http://otel-collector:4318 or https://otlp.example")),
        (["telemetry", "traces_exporter"], ValueKind::String(name)) => one_of(name, &["", "otlp", "none"]),
        (["telemetry", "otlp_protocol"], ValueKind::String(name)) => one_of(name, &["http/protobuf", "grpc"]),
        (["telemetry", "otlp_compression"], ValueKind::String(name)) => one_of(name, &["none", "gzip"]),
        (["telemetry", "traces_sampler"], ValueKind::String(name)) => one_of(name, &SAMPLERS),
        (["telemetry", "otlp_headers"], ValueKind::String(text)) => headers(text).map(drop),
        (["telemetry", "resource_attributes"], ValueKind::String(list)) => pairs(list).map(drop),
        (["telemetry", "otlp_sample_ratio"], ValueKind::Float(ratio)) => {
            if (0.0..=1.0).contains(ratio) {
                Ok(())
            } else {
                Err(format!("is {ratio}, expected a ratio from 0 to 1"))
            }
        }
        (["faults", _, _, "latency_ms", _], ValueKind::I64(ms)) => within(*ms, 0, MAX_LATENCY_MS as i64),
        (["faults", ..], ValueKind::Float(rate)) => {
            if (0.0..=1.0).contains(rate) {
                Ok(())
            } else {
                Err(format!("is {rate}, expected a rate from 0 to 1"))
            }
        }
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
    if names.contains(&name) {
        Ok(())
    } else {
        let names: Vec<String> = names.iter().filter(|name| !name.is_empty()).map(|name| format!("{name:?}")).collect();
        let (last, others) = names.split_last().expect("there is a name");
        Err(format!("is {name:?}, expected {} or {last}", others.join(", ")))
    }
}

/// Value of a number that must be stated and is not.
pub(super) const NOT_STATED: i64 = -1;

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
    if (min..=max).contains(&number) {
        Ok(())
    } else {
        Err(format!("is {number}, expected a whole number from {min} to {max}"))
    }
}

/// Checks that a bearer token can be sent; the error says what was expected, without the token.
///
/// # Errors
/// It has characters that no header may have.
pub fn check_token(token: &str) -> Result<(), String> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("cannot be sent in a header, expected visible ASCII characters without spaces".to_owned())
    }
}

fn check_database_url(url: &str) -> Result<(), String> {
    if url.is_empty() {
        Ok(())
    } else {
        crate::db::check_url(url)
            .map_err(|reason| format!("cannot be used: {reason}; expected postgres://user:password@host:port/"))
    }
}

fn check_password(password: &str) -> Result<(), String> {
    if password.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("cannot be sent, expected visible ASCII characters without spaces".to_owned())
    }
}

/// Services call each other without TLS.
fn check_service_url(url: &str) -> Result<(), String> {
    check_url(url, &["http"], "http://127.0.0.1:8001")
}

/// The text before the @ may be a password, so a URL with an @ is refused without being shown.
fn check_no_user(url: &str) -> Result<(), String> {
    if url.contains('@') { Err("has a user or an @, expected an address without them".to_owned()) } else { Ok(()) }
}

fn check_url(url: &str, schemes: &[&str], expected: &str) -> Result<(), String> {
    check_no_user(url)?;
    if url.is_empty() || address(url, schemes).is_some_and(|uri| uri.query().is_none() && !url.contains('#')) {
        Ok(())
    } else {
        Err(format!("is {url:?}, expected an address such as {expected}"))
    }
}

/// Tells whether calls can be made to an authority of a URL: it has a host, and its port, if it has one, exists.
pub fn is_callable(authority: &Authority) -> bool {
    let has_no_port = authority.as_str().ends_with(authority.host());
    !authority.host().is_empty() && authority.port_u16().map_or(has_no_port, |port| port != 0)
}

/// Parses a URL with a host and one of these schemes.
fn address(url: &str, schemes: &[&str]) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let has_scheme = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    (has_scheme && uri.authority().is_some_and(is_callable)).then_some(uri)
}

/// Some viewers have the trace id in the query.
fn check_trace_url(url: &str) -> Result<(), String> {
    const TRACE_ID: &str = "{trace_id}";
    // An @ may stand in the query, such as in a name of a column, but not before the path.
    let (_, after_scheme) = url.split_once("//").unwrap_or_default();
    check_no_user(after_scheme.split(['/', '?', '#']).next().unwrap_or_default())?;
    let example = url.replace(TRACE_ID, &"0".repeat(32));
    if url.is_empty() || (url.contains(TRACE_ID) && address(&example, &["http", "https"]).is_some()) {
        Ok(())
    } else {
        Err(format!(
            "is {url:?}, expected an address with {TRACE_ID} in it, such as http://localhost:16686/trace/{TRACE_ID}"
        ))
    }
}

fn check_origin(origin: &Value) -> Result<(), String> {
    let text = origin.clone().into_string().unwrap_or_default();
    check_no_user(&text)?;
    let is_origin = |uri: Uri| {
        // `Uri` returns an absent path as "/", so a trailing slash is looked for in the text.
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.path() == "/"
            && !text.ends_with('/')
            && uri.query().is_none()
    };
    if text == "*" || text.parse().is_ok_and(is_origin) {
        Ok(())
    } else {
        Err(format!("has {text:?}, expected origins such as https://shop.example, or *"))
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
    if starts_well && reads_well && name.len() <= MAX_DATABASE_NAME {
        Ok(())
    } else {
        Err(format!("is {name:?}, expected lowercase letters, digits and underscores, at most {MAX_DATABASE_NAME}"))
    }
}

fn check_node_id(id: &str) -> Result<(), String> {
    if id.chars().count() <= 100 && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(format!("is {id:?}, expected at most 100 visible ASCII characters without spaces, or none"))
    }
}

fn check_participant_url(url: &str) -> Result<(), String> {
    check_no_user(url).map_err(|message| format!("{message}; set token instead"))?;
    check_url(url, &["http", "https"], "https://flights.example or http://10.0.0.7:9000")
}

fn check_judgement(judgement: &str) -> Result<(), String> {
    match judgement {
        "recorded" | "status" => Ok(()),
        other => Err(format!("is {other:?}, expected \"recorded\" or \"status\"")),
    }
}

fn check_absent(statuses: &[Value]) -> Result<(), String> {
    let number = |status: &Value| match status.kind {
        ValueKind::I64(number) => number,
        _ => 0,
    };
    let says_something_else = |status: &i64| !(400..500).contains(status) || NEVER_ABSENT.contains(status);
    match statuses.iter().map(number).find(says_something_else) {
        None => Ok(()),
        Some(status) => {
            let others = NEVER_ABSENT.map(|status| status.to_string()).join(", ");
            Err(format!("has {status}, expected statuses from 400 to 499 such as 404, but none of {others}"))
        }
    }
}
