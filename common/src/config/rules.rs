//! Rules between settings. They are checked on the layered values rather than on the typed structs, because only the
//! values know where they were set.

use std::iter;

use config::{Value, ValueKind};

use super::{
    error::{ConfigProblem, Findings},
    layers::{Layer, variable_of},
    named,
    profiles::{PRODUCTION, Program},
    values::{NOT_STATED, check_value},
};

/// The shortest token that cannot be guessed, in characters.
const MIN_TOKEN: usize = 16;

/// Reports every value out of its range and every pair of values that contradict each other.
pub(super) fn check(profile: &str, program: Program, effective: &Layer, findings: &mut Findings) {
    for (key, value) in &effective.0 {
        if let Err(message) = check_value(key, &value.kind) {
            findings.problems.push(ConfigProblem::new(key, place(value), message));
        }
    }
    Rules { effective, problems: &mut findings.problems }.check(profile, program);
    let weak = weak_tokens(effective);
    if profile == PRODUCTION { findings.problems.extend(weak) } else { findings.warnings.extend(weak) }
}

/// Returns the tokens of `[auth]` that are set: key, value and text.
fn tokens(effective: &Layer) -> Vec<(String, &Value, String)> {
    let token = |name| {
        let key = format!("auth.{name}");
        let value = effective.0.get(&key)?;
        let text = value.clone().into_string().ok().filter(|text| !text.is_empty())?;
        Some((key, value, text))
    };
    ["operator_token", "service_token", "api_token"].into_iter().filter_map(token).collect()
}

/// Returns the tokens that can be guessed, and the tokens that serve two purposes.
fn weak_tokens(effective: &Layer) -> Vec<ConfigProblem> {
    let tokens = tokens(effective);
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
        names.iter().for_each(|name| self.require_own_token(name));
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

    /// Compares two settings of calls. A named participant inherits the keys of `[participants]` that it does not set;
    /// if it sets neither of the two, the problem is already reported for `[participants]`.
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

    /// A participant that is sent a token of `[auth]` could use it on our own services.
    fn require_own_token(&mut self, name: &str) {
        let key = format!("participants.{name}.token");
        let Some(value) = self.effective.0.get(&key) else { return };
        let given = value.clone().into_string().unwrap_or_default();
        if let Some((other, ..)) = tokens(self.effective).iter().find(|(_, _, text)| *text == given) {
            let message = format!("is the same as {other}, expected a token that only this participant knows");
            self.problems.push(ConfigProblem::new(key, place(value), message));
        }
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

    /// No two services may share a port or a database; port 0 means any free port. A flag is about one process, whose
    /// service may have the port of another one elsewhere.
    fn require_distinct(&mut self, suffix: &str) {
        let effective = self.effective;
        let is_flag = |value: &Value| place(value).starts_with("--");
        let of_services = effective
            .0
            .iter()
            .filter(|(key, value)| key.starts_with("services.") && key.ends_with(suffix) && !is_flag(value));
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
