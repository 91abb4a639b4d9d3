//! The plan of a test: the participant's address, its requests, and what differs for a refusal and for other contents.

use std::{fmt, time::Duration};

use common::config::check_token;
use reqwest::{
    Method, Url,
    header::{HeaderName, HeaderValue},
};
use secrecy::SecretString;
use serde_json::{Map, Value};
use thiserror::Error;
use toml::de::DeTable;

use super::{
    read::{Reader, Section},
    template,
};

/// The limit of one attempt in `config/default.toml` (`participants.timeout_ms`).
const DEFAULT_TIMEOUT_MS: u64 = 5_000;
/// Callers of one action at once.
const DEFAULT_CALLERS: u64 = 64;
/// Enough for a container that starts its runtime and its migrations.
const DEFAULT_RESTART_MS: u64 = 60_000;
/// An hour.
const MAX_MS: u64 = 3_600_000;
const MAX_CALLERS: u64 = 1_000;
const MAX_TRIES: u64 = 1_000;

/// Headers that belong to the connection, to the token or to the protocol.
const RESERVED: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-connection",
    "saga-attempt",
    "saga-epoch",
    "saga-id",
    "saga-step",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A checked plan.
#[derive(Debug)]
pub struct Plan {
    pub(super) url: Url,
    pub(super) token: Option<SecretString>,
    pub(super) step: String,
    pub(super) timeout: Duration,
    pub(super) callers: usize,
    pub(super) restart_timeout: Duration,
    pub(super) action: Request,
    pub(super) compensation: Request,
    /// The members of the body that differ for other contents.
    pub(super) other_contents: Map<String, Value>,
    pub(super) refusal: Option<Refusal>,
    pub(super) effects: Option<Effects>,
}

/// A request with placeholders.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Option<Map<String, Value>>,
}

/// How a refusal is provoked.
#[derive(Debug)]
pub(super) enum Refusal {
    /// By these members of the body.
    Body(Map<String, Value>),
    /// The participant refuses at random: up to this number of keys are tried until one is refused, or done.
    Random { tries: u64 },
}

/// How the effects of a saga are counted.
#[derive(Debug)]
pub(super) struct Effects {
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) count: Count,
}

/// Where an answer says how many effects there are.
#[derive(Debug)]
pub(super) enum Count {
    /// A number, or a list of the effects.
    At(String),
    /// One effect if all these values stand at their pointers, else none.
    If(Map<String, Value>),
}

/// All problems of a plan, each with its line.
#[derive(Debug, Error)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Problems {
    /// One line per problem.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// All problems at once.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let mut reader = Reader::new(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let is_toml = errors.is_empty();
        for error in errors {
            reader.problem(error.span().map_or(0, |span| span.start), error.message().to_owned());
        }
        // Values beside an error of the syntax are not what the author wrote.
        let plan = is_toml.then(|| read(&mut reader, table.get_ref())).flatten();
        match (reader.into_problems(), plan) {
            (problems, Some(plan)) if problems.is_empty() => Ok(plan),
            (problems, _) => Err(Problems(problems)),
        }
    }

    /// Replaces the token of the file; an empty one is none.
    ///
    /// # Errors
    /// The token cannot be sent.
    pub fn set_token(&mut self, token: &str) -> Result<(), String> {
        self.token = secret(token)?;
        Ok(())
    }

    /// Method and path of action and compensation.
    pub fn calls(&self) -> [String; 2] {
        [&self.action, &self.compensation].map(|request| format!("{} {}", request.method, request.path))
    }

    /// The participant's address.
    pub fn address(&self) -> &str {
        self.url.as_str()
    }
}

fn secret(token: &str) -> Result<Option<SecretString>, String> {
    // Files of secrets have a trailing newline.
    let token = token.trim_end();
    check_token(token)?;
    Ok(Some(token).filter(|token| !token.is_empty()).map(SecretString::from))
}

fn read<'t>(reader: &mut Reader<'t>, table: &DeTable<'t>) -> Option<Plan> {
    const SECTIONS: [&str; 5] = ["action", "compensation", "other_contents", "refusal", "effects"];
    const KEYS: [&str; 6] = ["url", "token", "step", "timeout_ms", "callers", "restart_timeout_ms"];
    let whole = reader.whole(table, &[KEYS.as_slice(), &SECTIONS].concat());
    let url = reader.required(whole, "url", r#""http://127.0.0.1:9001""#);
    let url = reader.text(whole, "url", url, address);
    let token = reader.text(whole, "token", reader.optional(whole, "token"), secret);
    let step = reader.text(whole, "step", reader.optional(whole, "step"), step_name);
    let timeout_ms = reader.number(whole, "timeout_ms", MAX_MS, DEFAULT_TIMEOUT_MS);
    let callers = reader.number(whole, "callers", MAX_CALLERS, DEFAULT_CALLERS);
    let restart_ms = reader.number(whole, "restart_timeout_ms", MAX_MS, DEFAULT_RESTART_MS);
    let action = request(reader, whole, "action", Method::POST);
    let compensation = request(reader, whole, "compensation", Method::POST);
    let other_contents = other_contents(reader, whole, action.as_ref());
    let refusal = refusal(reader, whole);
    let effects = effects(reader, whole);
    Some(Plan {
        url: url?,
        token: token.flatten(),
        step: step.unwrap_or_else(|| "step".to_owned()),
        timeout: Duration::from_millis(timeout_ms),
        callers: usize::try_from(callers).ok()?,
        restart_timeout: Duration::from_millis(restart_ms),
        action: action?,
        compensation: compensation?,
        other_contents: other_contents?,
        refusal,
        effects,
    })
}

fn missing(reader: &mut Reader<'_>, section: &str, example: &str) {
    reader.problem(0, format!("the section [{section}] is missing, such as\n    [{section}]\n    {example}"));
}

fn request<'t>(
    reader: &mut Reader<'t>,
    whole: Section<'_, 't>,
    name: &'static str,
    default: Method,
) -> Option<Request> {
    if !whole.has(name) {
        missing(reader, name, r#"path = "/bookings/{saga.id}""#);
    }
    let section = reader.section(whole, name, &["method", "path", "headers", "body"])?;
    let method = reader.text(section, "method", reader.optional(section, "method"), method);
    let path = reader.required(section, "path", r#""/bookings""#);
    let path = reader.text(section, "path", path, path_of_request);
    let headers = headers(reader, section);
    let body = reader.members(section, "body", reader.optional(section, "body"), placeholders);
    Some(Request { method: method.unwrap_or(default), path: path?, headers, body })
}

fn headers<'t>(reader: &mut Reader<'t>, section: Section<'_, 't>) -> Vec<(HeaderName, String)> {
    let headers = reader.members(section, "headers", reader.optional(section, "headers"), header_problems);
    let headers = headers.unwrap_or_default().into_iter();
    headers.filter_map(|(name, value)| Some((name.parse().ok()?, value.as_str()?.to_owned()))).collect()
}

fn other_contents<'t>(
    reader: &mut Reader<'t>,
    whole: Section<'_, 't>,
    action: Option<&Request>,
) -> Option<Map<String, Value>> {
    if !whole.has("other_contents") {
        missing(reader, "other_contents", r#"body = { city = "Cusco" }     # the members that differ"#);
    }
    let section = reader.section(whole, "other_contents", &["body"])?;
    let body = reader.required(section, "body", r#"{ city = "Cusco" }"#);
    let at = body.map_or(0, |body| body.span().start);
    let members = reader.members(section, "body", body, placeholders)?;
    let usual = action.and_then(|action| action.body.as_ref());
    if members.iter().all(|(name, value)| usual.is_some_and(|usual| usual.get(name) == Some(value))) {
        reader.problem(at, "other_contents.body does not differ from action.body");
    }
    Some(members)
}

fn refusal<'t>(reader: &mut Reader<'t>, whole: Section<'_, 't>) -> Option<Refusal> {
    let section = reader.section(whole, "refusal", &["body", "tries"])?;
    match (reader.optional(section, "body"), reader.optional(section, "tries")) {
        (Some(body), None) => reader.members(section, "body", Some(body), placeholders).map(Refusal::Body),
        (None, Some(_)) => Some(Refusal::Random { tries: reader.number(section, "tries", MAX_TRIES, 1) }),
        (body, _) => {
            let at = body.map_or(whole.start_of("refusal"), |body| body.span().start);
            reader.problem(
                at,
                "refusal has either body (the members that make the participant refuse) or tries (it refuses at random)",
            );
            None
        }
    }
}

fn effects<'t>(reader: &mut Reader<'t>, whole: Section<'_, 't>) -> Option<Effects> {
    let section = reader.section(whole, "effects", &["path", "headers", "count", "if"])?;
    let path = reader.required(section, "path", r#""/bookings/by-transaction/{saga.id}""#);
    let path = reader.text(section, "path", path, path_of_request);
    let headers = headers(reader, section);
    let count = match (reader.optional(section, "count"), reader.optional(section, "if")) {
        (Some(count), None) => {
            reader.text(section, "count", Some(count), |text| pointer(text).map(|()| Count::At(text.to_owned())))
        }
        (None, Some(values)) => reader.members(section, "if", Some(values), pointer_problems).map(Count::If),
        (count, _) => {
            let at = count.map_or(whole.start_of("effects"), |count| count.span().start);
            reader.problem(
                at,
                "effects has either count = \"/pointer\" (to a number or a list) or if = { \"/pointer\" = value }",
            );
            None
        }
    };
    Some(Effects { path: path?, headers, count: count? })
}

fn address(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if url.query().is_some() || url.fragment().is_some() => Err("has a query; paths have one".to_owned()),
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("is an address such as http://127.0.0.1:9001".to_owned()),
    }
}

fn step_name(text: &str) -> Result<String, String> {
    if HeaderValue::from_str(text).is_ok() && !text.trim().is_empty() {
        Ok(text.to_owned())
    } else {
        Err("is the name of a step, such as \"flight\"".to_owned())
    }
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        "GET" | "POST" | "PUT" | "PATCH" | "DELETE" => Ok(text.parse().map_err(|error| format!("{error}"))?),
        _ => Err(format!("is GET, POST, PUT, PATCH or DELETE, not {text:?}")),
    }
}

fn path_of_request(text: &str) -> Result<String, String> {
    let unknown = template::unknown(text);
    match text {
        _ if !text.starts_with('/') => Err("begins with a slash".to_owned()),
        _ if !unknown.is_empty() => Err(without_value(&unknown)),
        _ if text.contains('#') => Err("has a fragment, which is not sent".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn placeholders(_: &str, value: &Value) -> Vec<String> {
    match template::unknown_in(value) {
        unknown if unknown.is_empty() => Vec::new(),
        unknown => vec![without_value(&unknown)],
    }
}

fn without_value(unknown: &[String]) -> String {
    format!("has the placeholder {}, which has no value; known are {}", unknown.join(" and "), template::KNOWN)
}

fn header_problems(name: &str, value: &Value) -> Vec<String> {
    let mut problems = placeholders(name, value);
    if name.parse::<HeaderName>().is_err() {
        problems.push("is not the name of a header".to_owned());
    }
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        problems.push("is set by this command; the token stands in token".to_owned());
    }
    if value.as_str().is_none_or(|value| HeaderValue::from_str(value).is_err()) {
        problems.push("is not the value of a header: one line of text".to_owned());
    }
    problems
}

fn pointer(text: &str) -> Result<(), String> {
    if text.is_empty() || text.starts_with('/') {
        Ok(())
    } else {
        Err(format!("is a JSON pointer such as \"/count\", not {text:?}"))
    }
}

fn pointer_problems(name: &str, _: &Value) -> Vec<String> {
    pointer(name).err().into_iter().collect()
}

#[cfg(test)]
mod tests;
