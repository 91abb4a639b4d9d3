//! Tests of whole definitions.

mod bad_files;
mod compiled;
mod document;
mod inputs;
mod numbers;
mod properties;
mod replies;
mod requests;
mod schema_warnings;
mod schema_work;

use std::sync::Arc;

use saga_engine::SagaId;
use saga_engine::definition::{Context, Definition, Outputs};
use serde_json::{Value, json};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::{Accepted, Format, Identity, Judgement, Rejected, SagaFile};

const PARTICIPANTS: [&str; 4] = ["flights", "hotels", "cars", "prices"];

fn parse(text: &str) -> Result<Accepted, Rejected> {
    SagaFile::parse(text, Format::Toml, Identity::Inside, &PARTICIPANTS)
}

fn accepted(text: &str) -> SagaFile {
    parse(text).unwrap_or_else(|rejected| panic!("{rejected}\n{text}")).definition
}

fn context(input: &Value, outputs: &[(&str, Value)]) -> Context {
    let outputs: Outputs = outputs.iter().map(|(name, value)| (SmolStr::new(name), value.clone())).collect();
    Context { saga_id: SagaId(Uuid::nil()), attempt: 2, input: Arc::new(input.clone()), outputs }
}

const ID: &str = "00000000-0000-0000-0000-000000000000";

/// A read, to stand before steps with an effect.
const PRICE: &str = r#"
[[steps]]
name = "price"
participant = "prices"
read_only = true
action = { method = "GET", path = "/prices" }
outputs = { quote = "/quote" }
"#;

/// A read, and a step whose path, headers, body and expectations are written by a test.
fn trip(path: &str, headers: &str, body: &str, expect: &str) -> SagaFile {
    accepted(&format!(
        r##"
name = "trip"
version = 1
[input]
required = ["city"]
properties = {{ city = {{}}, nights = {{}}, to = {{ properties = {{ name = {{}} }} }} }}
{PRICE}
[[steps]]
name = "hotel"
participant = "hotels"
headers = {headers}
action = {{ method = "PUT", path = "{path}", body = {body}, expect = {expect} }}
compensation = {{ method = "DELETE", path = "/rooms/{{saga.id}}", expect = {{ "/status" = "cancelled" }} }}
outputs = {{ room = "/room/0" }}
"##
    ))
}

fn compiled(file: &SagaFile) -> Definition {
    file.compile(|_| Judgement::Recorded).unwrap()
}

/// A definition of one read, with this schema of its input.
fn definition_of(schema: &Value) -> Value {
    let action = json!({ "method": "GET", "path": "/prices" });
    let step = json!({ "name": "price", "participant": "prices", "read_only": true, "action": action });
    json!({ "name": "trip", "version": 1, "input": schema, "steps": [step] })
}

fn accepted_schema(schema: &Value) -> SagaFile {
    let text = definition_of(schema).to_string();
    let accepted = SagaFile::parse(&text, Format::Json, Identity::Inside, &PARTICIPANTS);
    accepted.unwrap_or_else(|rejected| panic!("{rejected}\n{schema}")).definition
}
