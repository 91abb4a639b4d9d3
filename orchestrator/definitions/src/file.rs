//! A definition that was read and checked.

use std::sync::Arc;

use saga_engine::SagaId;
use saga_engine::definition::Outputs;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::call::Call;
use crate::canonical;
use crate::graph::Graph;
use crate::inputs::{self, InputError};
use crate::outline::{self, Identity, Kind, Outline, StepOutline};
use crate::problem::{Place, Problem, Problems, Rejected};
use crate::requests::{Requests, Role};
use crate::schema::InputSchema;
use crate::source::{self, Format, Node};
use crate::template::{Scope, Source};

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

/// A step of a definition.
#[derive(Debug)]
pub(crate) struct FileStep {
    pub(crate) name: SmolStr,
    pub(crate) participant: SmolStr,
    pub(crate) after: Vec<SmolStr>,
    pub(crate) kind: Kind,
    pub(crate) action: Call,
    pub(crate) compensation: Option<Call>,
    /// Whether the compensation needs outputs of steps with an effect, so that they must be in the saga log.
    pub(crate) compensation_needs_outputs: bool,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) attempts: Option<u32>,
}

/// A definition that can be used.
#[derive(Debug)]
pub struct Accepted {
    /// The definition.
    pub definition: SagaFile,
    /// What its author should look at.
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
        let outputs = Outputs::default();
        let mut errors: Vec<InputError> = Vec::new();
        for step in &self.steps {
            let scope = Scope { step: &step.name, saga_id: SagaId(Uuid::nil()), attempt: 1, input, outputs: &outputs };
            for call in std::iter::once(&step.action).chain(&step.compensation) {
                call.check_input(scope, &mut |unusable| {
                    let Source::Input(path) = &unusable.source else { return };
                    let detail = format!("{} (step {})", unusable.reason, step.name);
                    let error = InputError { pointer: path.pointer(), detail };
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                });
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

fn check_graph(steps: &[StepOutline<'_>], problems: &mut Problems) -> Graph {
    let predecessors: Vec<Vec<usize>> = steps.iter().map(|step| step.after.clone()).collect();
    let graph = Graph::new(&predecessors);
    // A step that comes after itself is reported where it says so.
    if let Some([first, rest @ ..]) = graph.cycle()
        && !rest.is_empty()
    {
        let names = [&[*first], rest, &[*first]].concat();
        let names: Vec<&str> = names.iter().map(|step| steps[*step].name.as_str()).collect();
        let way = names.join(", which waits for ");
        problems.error(steps[*first].place, format!("steps wait for each other: {way}; remove one from an after"));
    }
    for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.kind == Kind::ReadOnly) {
        let effect = (0..steps.len()).find(|earlier| {
            graph.is_before(*earlier, index) && steps[*earlier].kind != Kind::ReadOnly && graph.cycle().is_none()
        });
        if let Some(effect) = effect {
            let text = format!(
                "{} is read_only, but comes after {}, which has an effect: all reads come first; move it up, or set after",
                step.what(),
                steps[effect].what()
            );
            problems.error(step.place, text);
        }
    }
    graph
}

fn read_step(
    steps: &[StepOutline<'_>],
    index: usize,
    graph: &Graph,
    schema: &Value,
    problems: &mut Problems,
) -> Option<(FileStep, Value)> {
    let outline = &steps[index];
    let requests = |role| Requests { schema, steps, graph, step: index, role };
    let headers = Arc::new(requests(Role::Action).headers(outline.headers, problems));
    let action = outline.action.and_then(|node| requests(Role::Action).read(node, headers.clone(), problems));
    let compensation =
        outline.compensation.map(|node| requests(Role::Compensation).read(node, headers.clone(), problems));
    let (action, compensation) = (action?, compensation.map_or(Some(None), |read| read.map(Some))?);

    let after: Vec<SmolStr> = outline.after.iter().map(|earlier| steps[*earlier].name.clone()).collect();
    let mut canonical = Map::new();
    canonical.insert("name".to_owned(), json!(outline.name));
    canonical.insert("participant".to_owned(), json!(outline.participant));
    canonical.insert("after".to_owned(), json!(after));
    let flag = match outline.kind {
        Kind::ReadOnly => Some("read_only"),
        Kind::Uncompensated => Some("uncompensated"),
        Kind::Compensable => None,
    };
    canonical.extend(flag.map(|flag| (flag.to_owned(), json!(true))));
    canonical.insert("action".to_owned(), Value::Object(action.canonical));
    let (compensation, compensation_canonical) = compensation.map(|read| (read.call, read.canonical)).unzip();
    canonical.extend(compensation_canonical.map(|call| ("compensation".to_owned(), Value::Object(call))));
    if let Some(Value::Object(given)) = outline.headers.map(Node::to_json).filter(|headers| *headers != json!({})) {
        let lower = given.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        canonical.insert("headers".to_owned(), Value::Object(lower));
    }
    if !outline.outputs.is_empty() {
        let outputs = outline.outputs.iter().map(|(name, pointer)| (name.to_string(), json!(pointer.as_str())));
        canonical.insert("outputs".to_owned(), Value::Object(outputs.collect()));
    }
    canonical.extend(outline.timeout_ms.map(|timeout_ms| ("timeout_ms".to_owned(), json!(timeout_ms))));
    canonical.extend(outline.attempts.map(|attempts| ("attempts".to_owned(), json!(attempts))));

    let step = FileStep {
        name: outline.name.clone(),
        participant: outline.participant.clone(),
        after,
        kind: outline.kind,
        compensation_needs_outputs: compensation.as_ref().is_some_and(|call| needs_outputs_of_effects(call, steps)),
        action: action.call,
        compensation,
        timeout_ms: outline.timeout_ms,
        attempts: outline.attempts,
    };
    Some((step, Value::Object(canonical)))
}

fn needs_outputs_of_effects(call: &Call, steps: &[StepOutline<'_>]) -> bool {
    call.sources().any(|source| match source {
        Source::Output(output) => steps.iter().any(|step| step.name == output.step && step.kind != Kind::ReadOnly),
        Source::SagaId | Source::Attempt | Source::StepKey | Source::Input(_) => false,
    })
}

/// Two calls with the same key at the same place may be taken for one and its repetition.
fn warn_of_shared_paths(outlines: &[StepOutline<'_>], steps: &[(FileStep, Value)], problems: &mut Problems) {
    let effects: Vec<(&Place, &FileStep)> = outlines
        .iter()
        .zip(steps)
        .map(|(outline, (step, _))| (outline.place, step))
        .filter(|(_, step)| step.kind != Kind::ReadOnly)
        .collect();
    for (index, (place, step)) in effects.iter().enumerate() {
        let earlier = effects[..index].iter().map(|(_, earlier)| *earlier);
        let twin = earlier.filter(|earlier| earlier.participant == step.participant).find_map(|earlier| {
            let calls = [
                ("action", Some(&earlier.action), Some(&step.action)),
                ("compensation", earlier.compensation.as_ref(), step.compensation.as_ref()),
            ];
            let is_shared = |(_, a, b): &(&str, Option<&Call>, Option<&Call>)| match (a, b) {
                (Some(a), Some(b)) => a.method == b.method && a.path_text == b.path_text && !(has_key(a) && has_key(b)),
                _ => false,
            };
            calls.into_iter().find(is_shared).map(|(call, ..)| (call, &earlier.name))
        });
        if let Some((call, earlier)) = twin {
            let text = format!(
                "steps {earlier:?} and {:?} have the same participant and path for the {call}, which may take one for a \
                 repetition of the other: put {{saga.step_key}} into action and compensation of both",
                step.name
            );
            problems.warning(place, text);
        }
    }
}

fn has_key(call: &Call) -> bool {
    call.request_sources().any(|source| *source == Source::StepKey)
}
