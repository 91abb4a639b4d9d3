//! Participants that users name: `[participants.<name>]`. A section has an address, a token, how answers are judged,
//! and each key of `[participants]` that differs for this participant.

use std::collections::{BTreeMap, BTreeSet};

use config::{ConfigError, Map, Value, ValueKind};
use foundation::judgement::Judgement;
use foundation::names::{FORM, is_name};
use secrecy::SecretString;
use serde::Deserialize;

use super::{ParticipantSettings, layers::Layer};

/// The place of the user's name in the schema. No name can be equal to it.
pub(super) const ANY_NAME: &str = "<name>";

/// The section of all of them.
const SECTION: &str = "participants.";

/// Names of our own services, and of a protocol. The keys of `[participants]` cannot be names either; they are found
/// first.
const RESERVED: [&str; 6] = ["catalog", "payments", "inventory", "purchases", "orchestrator", "dtm"];

/// A participant that a user names, `[participants.<name>]`.
#[derive(Clone, Debug)]
pub struct NamedParticipantSettings {
    /// Its address, `http://` or `https://`, without a trailing slash.
    pub url: String,
    /// The bearer token of calls; empty: none.
    pub token: SecretString,
    /// How its answers are judged.
    pub judgement: Judgement,
    /// Statuses by which it confirms a compensation: there is nothing to undo.
    pub absent: Vec<u16>,
    /// Whether it answers `GET /journal/{saga id}/`.
    pub journal: bool,
    /// Whether calls to an `http://` address use HTTP/2; `https://` negotiates.
    pub http2: bool,
    /// How it is called.
    pub calls: ParticipantSettings,
}

/// The keys that only a named participant has.
#[derive(Deserialize)]
struct OwnKeys {
    url: String,
    token: SecretString,
    judgement: Judgement,
    absent: Option<Vec<u16>>,
    journal: bool,
    http2: bool,
}

/// Returns the keys of a named participant with their defaults, those of `[participants]` among them.
pub(super) fn keys(participants: &Map<String, Value>) -> Map<String, Value> {
    let mut keys = participants.clone();
    let statuses: Vec<Value> = [404_i64, 410].map(|status| Value::new(None, status)).into();
    let own: [(&str, ValueKind); 6] = [
        ("url", "".into()),
        ("token", "".into()),
        ("judgement", "recorded".into()),
        ("absent", ValueKind::Array(statuses)),
        ("journal", false.into()),
        ("http2", false.into()),
    ];
    keys.extend(own.map(|(key, value)| (key.to_owned(), Value::new(None, value))));
    keys
}

/// Returns the names of all named participants.
pub(super) fn names(effective: &Layer) -> BTreeSet<String> {
    let of_section = effective.0.keys().filter_map(|key| key.strip_prefix(SECTION)?.split_once('.'));
    of_section.map(|(name, _)| name.to_owned()).collect()
}

/// Adds the participants whose section in a file sets no key, so that their missing addresses are found.
pub(super) fn add_empty(effective: &mut Layer, schema: &Map<String, Value>, place: &str, file: &Map<String, Value>) {
    let table = |tables: &Map<String, Value>| match tables.get("participants").map(|section| &section.kind) {
        Some(ValueKind::Table(table)) => table.clone(),
        _ => Map::new(),
    };
    let (known, given, set) = (table(schema), table(file), names(effective));
    let is_section = |(_, value): &(&String, &Value)| matches!(value.kind, ValueKind::Table(_));
    for (name, _) in given.iter().filter(is_section) {
        if !known.contains_key(name) && !set.contains(name) && check_name(name).is_ok() {
            effective.0.insert(format!("{SECTION}{name}.url"), Value::new(Some(&place.to_owned()), ""));
        }
    }
}

/// Takes the named participants out of the values.
///
/// # Errors
/// A value that does not fit its field, which the checks should have found.
pub(super) fn take(effective: &mut Layer) -> Result<BTreeMap<String, NamedParticipantSettings>, ConfigError> {
    let general = |key: &str| Some(key.strip_prefix(SECTION)?.to_owned()).filter(|key| !key.contains('.'));
    let calls: BTreeMap<String, Value> =
        effective.0.iter().filter_map(|(key, value)| Some((general(key)?, value.clone()))).collect();
    let names = names(effective);
    let read = |name: String| {
        let prefix = format!("{SECTION}{name}.");
        let mut own = Layer::default();
        for (key, default) in keys(&Map::new()).into_iter().filter(|(key, _)| key != "absent") {
            own.0.insert(key, default);
        }
        let mut of_calls = Layer(calls.clone());
        for (key, value) in effective.0.extract_if(prefix.clone().., |key, _| key.starts_with(&prefix)) {
            let key = key[prefix.len()..].to_owned();
            let layer = if calls.contains_key(&key) { &mut of_calls } else { &mut own };
            layer.0.insert(key, value);
        }
        let OwnKeys { mut url, token, judgement, absent, journal, http2 } = own.read()?;
        url.truncate(url.trim_end_matches('/').len());
        let absent = absent.unwrap_or_else(|| judgement.absent());
        let calls = of_calls.read()?;
        Ok((name, NamedParticipantSettings { url, token, judgement, absent, journal, http2, calls }))
    };
    names.into_iter().map(read).collect()
}

/// Checks the name of a participant; the error says what is wrong with it.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if RESERVED.contains(&name) {
        return Err("is reserved, expected another name for a participant of your own".to_owned());
    }
    if is_name(name) { Ok(()) } else { Err(format!("cannot be a name, expected {FORM}")) }
}
