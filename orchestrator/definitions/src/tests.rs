//! Tests of whole definitions.

mod bad_files;
mod document;
mod properties;
mod requests;

use std::sync::Arc;

use saga_engine::SagaId;
use saga_engine::definition::{Context, Outputs};
use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use crate::{Accepted, Format, Identity, Rejected, SagaFile};

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
