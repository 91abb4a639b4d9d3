//! A definition that was read and checked.

use std::sync::Arc;

use saga_engine::SagaId;
use saga_engine::definition::title;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::canonical;
use crate::inputs::{self, InputError};
use crate::outline::{self, Identity, Outline};
use crate::problem::{Problem, Problems, Rejected};
use crate::schema::InputSchema;
use crate::scope::{Scope, Unusable};
use crate::source::{self, Format, Node};
use crate::steps::{FileStep, check_graph, read_step, warn_of_shared_paths};
use crate::template::Source;

/// A definition as data: right in itself, and ready to run.
#[derive(Debug)]
pub struct SagaFile {
    pub(crate) name: SmolStr,
    pub(crate) version: i32,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) max_parallel: usize,
    schema: InputSchema,
    pub(crate) steps: Vec<Arc<FileStep>>,
    canonical: Value,
    hash: String,
}

/// A definition that can be used.
#[derive(Debug)]
pub struct Accepted {
    /// The definition.
    pub definition: SagaFile,
    /// Warnings for its author.
    pub warnings: Vec<Problem>,
}

impl SagaFile {
    /// Reads and checks a definition. `participants` are the names of those that are configured.
    ///
    /// # Errors
    /// [`Rejected`] has all problems of the text at once.
    pub fn parse(
        text: &str,
        format: Format,
        identity: Identity<'_>,
        participants: &[&str],
    ) -> Result<Accepted, Rejected> {
        let mut problems = Problems::default();
        let root = source::read(text, format, &mut problems);
        let file = root.and_then(|root| SagaFile::of_node(&root, identity, None, participants, &mut problems));
        finish(file, problems)
    }

    /// Reads and checks steps that are given with their saga, and the saga's input: the fields that the input has are
    /// known. The definition is called [`crate::INLINE`].
    ///
    /// # Errors
    /// [`Rejected`] has all problems of the steps at once, with JSON pointers into `{"steps": …}`.
    pub fn of_inline_steps(steps: &Value, input: &Value, participants: &[&str]) -> Result<Accepted, Rejected> {
        let mut problems = Problems::default();
        let root = source::of_value(&json!({ "steps": steps }), &mut problems);
        let file = SagaFile::of_node(&root, Identity::Inline, Some(schema_of(input)), participants, &mut problems);
        finish(file, problems)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the version.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Returns why this definition cannot stand beside one of another file; `None` if it can.
    pub fn conflict(&self, other: &SagaFile, file_of_other: &str) -> Option<String> {
        let is_same = self.name == other.name && self.version == other.version;
        let title = title(&self.name, self.version);
        is_same.then(|| format!("{title} is in {file_of_other} too: raise the version of one"))
    }

    /// Returns the canonical form: all defaults that belong to the definition are written out. It is read back as the same
    /// definition.
    pub fn to_json(&self) -> &Value {
        &self.canonical
    }

    /// Returns the SHA-256 of the canonical form, in hexadecimal digits: the same for two definitions if they mean the
    /// same, whether they are TOML or JSON.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns the names of the participants, sorted.
    pub fn participants(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.steps.iter().map(|step| step.participant.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Checks an input: by the schema, then by the places of its fields in requests.
    ///
    /// # Errors
    /// Every reason why a saga cannot start with it.
    pub fn check_input(&self, input: &Value) -> Result<(), Vec<InputError>> {
        let mut errors = self.schema.check(input);
        inputs::find_nul(input, &mut String::new(), &mut errors);
        // The schema has said already which fields are missing.
        if errors.is_empty() {
            errors = self.check_fields(input);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_fields(&self, input: &Value) -> Vec<InputError> {
        let mut errors: Vec<InputError> = Vec::new();
        for step in &self.steps {
            let scope = Scope { step: &step.name, saga_id: SagaId(Uuid::nil()), attempt: 1, input, outputs: None };
            for call in std::iter::once(&step.action).chain(&step.compensation) {
                let mut report = |unusable: Unusable| {
                    let (pointer, reason) = match unusable {
                        Unusable::Value { source: Source::Input(path), reason } => (path.pointer(), reason),
                        Unusable::Value { .. } => return,
                        Unusable::TooLong { .. } => (String::new(), unusable.to_string().into()),
                    };
                    let error = InputError { pointer, detail: format!("{reason} (step {})", step.name) };
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                };
                call.check_input(scope, &mut report);
                call.check_lengths(scope).unwrap_or_else(report);
            }
        }
        errors
    }

    fn of_node(
        root: &Node,
        identity: Identity<'_>,
        schema: Option<Value>,
        participants: &[&str],
        problems: &mut Problems,
    ) -> Option<SagaFile> {
        let outline = outline::read(root, identity, participants, problems)?;
        let value = schema.unwrap_or_else(|| outline.input.map_or_else(|| json!({}), Node::to_json));
        if !value.is_object() {
            let place = outline.input.map_or(&root.place, |node| &node.place);
            problems.error(place, "input is not a table: write a JSON Schema, such as type = \"object\"");
        }
        let graph = check_graph(&outline.steps, problems);
        let schema = InputSchema::new(value.clone(), outline.input, problems);
        let steps: Vec<_> =
            (0..outline.steps.len()).map(|index| read_step(&outline.steps, index, &graph, &value, problems)).collect();
        let steps = steps.into_iter().collect::<Option<Vec<_>>>();
        let (schema, steps) = (schema?, steps?);
        warn_of_shared_paths(&outline.steps, &steps, problems);
        let (steps, canonical_steps): (Vec<_>, Vec<_>) =
            steps.into_iter().map(|(step, canonical)| (Arc::new(step), canonical)).unzip();
        let Outline { name, version, deadline_ms, max_parallel, .. } = outline;
        let mut canonical = Map::new();
        canonical.insert("name".to_owned(), json!(name));
        canonical.insert("version".to_owned(), json!(version));
        canonical.extend(deadline_ms.map(|deadline_ms| ("deadline_ms".to_owned(), json!(deadline_ms))));
        canonical.insert("max_parallel".to_owned(), json!(max_parallel));
        canonical.insert("input".to_owned(), schema.as_value().clone());
        canonical.insert("steps".to_owned(), Value::Array(canonical_steps));
        let canonical = Value::Object(canonical);
        let hash = canonical::hash(&canonical);
        Some(SagaFile { name, version, deadline_ms, max_parallel, schema, steps, canonical, hash })
    }
}

fn finish(file: Option<SagaFile>, problems: Problems) -> Result<Accepted, Rejected> {
    let has_errors = problems.has_errors();
    let problems = problems.into_sorted();
    match file {
        Some(definition) if !has_errors => Ok(Accepted { definition, warnings: problems }),
        _ => Err(Rejected(problems)),
    }
}

/// Returns a schema by which the fields of an input are known.
fn schema_of(input: &Value) -> Value {
    match input {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), schema_of(value)));
            json!({ "properties": members.collect::<Map<_, _>>() })
        }
        _ => json!({}),
    }
}
