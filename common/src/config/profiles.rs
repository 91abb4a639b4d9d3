//! The compiled-in profiles, and the schema that `default.toml` is.

use config::{Map, Value, ValueKind};

use super::{
    layers::{Layer, flatten, parse_toml},
    named,
};
use crate::ids::CELLS;

/// Profile for development: the failures of the exercise, text logs.
pub const DEVELOPMENT: &str = "development";
/// Profile without failures, with JSON logs; refuses to start without a service token.
pub const PRODUCTION: &str = "production";
/// The layer beneath all profiles; as a profile name, it means that layer alone.
pub(super) const DEFAULT: &str = "default";

/// The files of `config/`, compiled in: used without a folder; `default.toml` always, as the schema.
pub(super) const EMBEDDED: [(&str, &str); 4] = [
    (DEFAULT, include_str!("../../../config/default.toml")),
    (DEVELOPMENT, include_str!("../../../config/development.toml")),
    ("bench", include_str!("../../../config/bench.toml")),
    (PRODUCTION, include_str!("../../../config/production.toml")),
];

/// The kind of program that loads settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// It runs services.
    Service,
    /// It only reads or changes their data, or calls them.
    Tool,
}

/// Returns the defaults of all keys whose names are fixed.
pub(super) fn defaults(schema: &Map<String, Value>) -> Layer {
    let mut layer = flatten(schema);
    layer.0.retain(|key, _| !key.split('.').any(|name| name == named::ANY_NAME));
    layer
}

/// Returns the embedded `default.toml`: every key with its default value. The file has the first cell; the others have
/// the same keys. It has no participant that a user names; their keys are added.
pub(super) fn schema() -> Map<String, Value> {
    let (_, text) = EMBEDDED[0];
    let mut schema =
        parse_toml("built-in default.toml", text).expect("the built-in default.toml is valid, as a test checks");
    if let Some(ValueKind::Table(orchestrator)) = schema.get_mut("orchestrator").map(|section| &mut section.kind)
        && let Some(ValueKind::Table(cells)) = orchestrator.get_mut("cells").map(|section| &mut section.kind)
        && let Some(first) = cells.get("0").cloned()
    {
        cells.extend((1..CELLS).map(|cell| (cell.to_string(), first.clone())));
    }
    if let Some(ValueKind::Table(participants)) = schema.get_mut("participants").map(|section| &mut section.kind) {
        let keys = named::keys(participants);
        participants.insert(named::ANY_NAME.to_owned(), Value::new(None, ValueKind::Table(keys)));
    }
    schema
}
