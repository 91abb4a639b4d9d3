//! The names of environment variables: a misspelled one would be ignored, and its setting would not apply.
//!
//! `ECOMMERCE_HTTP_BIND` and `ecommerce__http__bind` are problems, since each means one key. Any other unknown name that
//! begins with `ECOMMERCE_` is a warning, since it may belong to another program. Variables that Docker and Kubernetes
//! derive from the names of services are left alone.

use std::collections::BTreeMap;

use config::{Map, Value};
use foundation::names::closest;

use super::{
    check::FILE,
    error::{ConfigProblem, Findings},
    layers::{VARIABLE_PREFIX, flatten, is_secret, variable_of},
    named::ANY_NAME,
};

/// Prefix of all variables of this program.
const PREFIX: &str = "ECOMMERCE_";

/// Variables of this program that are not settings: defaults of flags, and those of its build and its tests.
pub const PROGRAM_VARIABLES: [&str; 15] = [
    "ECOMMERCE_API_TOKEN",
    "ECOMMERCE_API_TOKEN_FILE",
    "ECOMMERCE_BIN",
    "ECOMMERCE_COMPLETE",
    "ECOMMERCE_CONFIG_DIR",
    "ECOMMERCE_CONNECT_PATIENCE",
    "ECOMMERCE_DATABASE_URL",
    "ECOMMERCE_DATA_DIR",
    "ECOMMERCE_HEALTH_URL",
    "ECOMMERCE_PARTICIPANT_TOKEN",
    "ECOMMERCE_PG_BIN",
    "ECOMMERCE_PROFILE",
    "ECOMMERCE_REVISION",
    "ECOMMERCE_REVISION_DATE",
    "ECOMMERCE_TARGET",
];

/// Tells whether a variable is one of this program, perhaps misspelled.
pub(super) fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Reports the names that are neither a setting nor another variable of this program.
pub(super) fn check_names(schema: &Map<String, Value>, variables: &[(String, String)], findings: &mut Findings) {
    let is_known = |name: &str| name.starts_with(VARIABLE_PREFIX) || PROGRAM_VARIABLES.contains(&name);
    let unknown: Vec<_> = variables
        .iter()
        .filter(|(name, value)| is_ours(name) && !is_known(name) && !is_service_link(name, value))
        .collect();
    if unknown.is_empty() {
        return;
    }
    let settings = settings(schema);
    for (name, _) in unknown {
        let place = format!("environment variable {name}");
        let written = with_single_underscores(name);
        match meant(name, &written, &settings) {
            Some(variable) => {
                let message = format!("is not a variable of this program, expected {variable}");
                findings.problems.push(ConfigProblem::new("", place, message));
            }
            None => {
                let known = settings.keys().map(String::as_str).chain(PROGRAM_VARIABLES);
                let advice = match closest(&written, known) {
                    Some(near) => {
                        let near = settings.get(near).map_or(near, String::as_str);
                        format!("did you mean {near}?")
                    }
                    None => "settings are named ECOMMERCE__SECTION__KEY".to_owned(),
                };
                let message = format!("is not a variable of this program and is ignored; {advice}");
                findings.warnings.push(ConfigProblem::new("", place, message));
            }
        }
    }
}

/// Returns the variable of the key that a misspelled name means: in another case, or with single underscores.
fn meant(name: &str, written: &str, settings: &BTreeMap<String, String>) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with(VARIABLE_PREFIX) {
        return Some(upper);
    }
    if let Some(variable) = settings.get(written) {
        return Some(variable.clone());
    }
    // The longest end wins: CONNECT_TIMEOUT_MS before TIMEOUT_MS.
    let any_name = ANY_NAME.to_uppercase();
    let of_participants = settings.iter().filter_map(|(form, variable)| {
        let (start, end) = form.split_once(&any_name)?;
        let participant = written.strip_prefix(start)?.strip_suffix(end).filter(|name| !name.is_empty())?;
        Some((end.len(), variable.replace(&any_name, participant)))
    });
    of_participants.max_by_key(|(length, _)| *length).map(|(_, variable)| variable)
}

/// Returns the variables of all keys by their names with single underscores.
fn settings(schema: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for key in flatten(schema).0.keys() {
        let variable = variable_of(key);
        if is_secret(key) {
            let file = format!("{variable}{FILE}");
            settings.insert(with_single_underscores(&file), file);
        }
        settings.insert(with_single_underscores(&variable), variable);
    }
    settings
}

fn with_single_underscores(name: &str) -> String {
    let parts: Vec<&str> = name.split('_').filter(|part| !part.is_empty()).collect();
    parts.join("_").to_ascii_uppercase()
}

/// Tells whether Docker or Kubernetes made the variable for a service whose name begins with `ecommerce-`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_part = ["_PORT_", "_SERVICE_PORT", "_SERVICE_HOST"].iter().any(|part| name.contains(part));
    is_address || is_part
}
