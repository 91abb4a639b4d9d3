//! `docs/definitions.md` is true.

use serde_json::json;

use crate::outline::{FILE_KEYS, STEP_KEYS};
use crate::requests::CALL_KEYS;
use crate::{Format, Identity, SagaFile};

const DOCUMENT: &str = include_str!("../../../../docs/definitions.md");

#[test]
fn the_example_is_a_definition_without_warnings() {
    let (_, rest) = DOCUMENT.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let participants = ["prices", "flights", "hotels", "invoices"];
    let accepted = SagaFile::parse(example, Format::Toml, Identity::Inside, &participants);
    let accepted = accepted.unwrap_or_else(|rejected| panic!("{rejected}"));
    assert_eq!(accepted.warnings, []);
    assert!(accepted.definition.check_input(&json!({ "traveller": "Ada", "city": "La Paz" })).is_ok());
    assert!(accepted.definition.check_input(&json!({ "traveller": "Ada", "city": "." })).is_err());
}

#[test]
fn every_key_has_a_row() {
    for (section, keys) in [
        ("## Keys of a definition", FILE_KEYS.as_slice()),
        ("## Keys of a step", STEP_KEYS.as_slice()),
        ("## Keys of a call", CALL_KEYS.as_slice()),
    ] {
        let (_, rest) = DOCUMENT.split_once(section).unwrap();
        let (text, _) = rest.split_once("\n## ").unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key);
        let (mut rows, mut keys) = (rows.collect::<Vec<_>>(), keys.to_vec());
        rows.sort_unstable();
        keys.sort_unstable();
        assert_eq!(rows, keys, "{section}");
    }
}
