//! One layer of configuration: flat dotted keys with values, each with the place where it was set.

use std::collections::BTreeMap;

use config::{Config, ConfigError, FileFormat, Format as _, Map, Source, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::error::ConfigProblem;

/// Prefix of the environment variables that are settings.
pub(super) const VARIABLE_PREFIX: &str = "ECOMMERCE__";

/// Values of a layer by dotted key. The `origin` of a value is the place named in errors.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(pub(super) BTreeMap<String, Value>);

impl Layer {
    /// Trims line ends off secrets: secret files end with one, and neither a header nor a login may contain one.
    pub(super) fn trim_secrets(&mut self) {
        for (key, value) in &mut self.0 {
            if let ValueKind::String(text) = &mut value.kind
                && is_secret(key)
            {
                text.truncate(text.trim_end_matches(['\r', '\n']).len());
            }
        }
    }

    /// Reads the values as settings.
    ///
    /// # Errors
    /// A value that does not fit its field.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        Config::builder().add_source(self).build().and_then(Config::try_deserialize)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone().into_iter().collect())
    }
}

/// Tells whether the value of a key is a secret.
pub(super) fn is_secret(key: &str) -> bool {
    key.starts_with("auth.")
        || [".database_password", ".database_url", ".token"].iter().any(|name| key.ends_with(name))
        || ["database.url", "telemetry.otlp_headers"].contains(&key)
}

/// Reads TOML text into nested values whose origin is `place`.
///
/// # Errors
/// A syntax error, with line and column.
pub(super) fn parse_toml(place: &str, text: &str) -> Result<Map<String, Value>, ConfigProblem> {
    FileFormat::Toml
        .parse(Some(&place.to_owned()), text)
        .map_err(|error| ConfigProblem::new("", place, syntax_error(&error.to_string())))
}

/// Turns the parser's message (headline with line and column, excerpt, explanation) into one line, without the excerpt:
/// it may show a secret.
fn syntax_error(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let headline = lines.next().unwrap_or("not readable");
    let explanation: Vec<&str> = lines.filter(|line| !line.contains('|')).collect();
    if explanation.is_empty() { headline.to_owned() } else { format!("{headline}: {}", explanation.join("; ")) }
}

/// Flattens tables into dotted keys; empty tables are dropped.
pub(super) fn flatten(table: &Map<String, Value>) -> Layer {
    let mut layer = Layer::default();
    flatten_into(&mut layer, "", table);
    layer
}

fn flatten_into(layer: &mut Layer, prefix: &str, table: &Map<String, Value>) {
    for (name, value) in table {
        let key = join(prefix, name);
        match &value.kind {
            ValueKind::Table(inner) => flatten_into(layer, &key, inner),
            _ => drop(layer.0.insert(key, value.clone())),
        }
    }
}

/// Joins a section and a name into a dotted key.
pub(super) fn join(prefix: &str, name: &str) -> String {
    match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}.{name}"),
    }
}

/// Returns the environment variable that sets a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_uppercase().replace('.', "__"))
}
