//! The steps of a definition: their order, their calls, and what looks like a mistake between them.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::call::Call;
use crate::graph::Graph;
use crate::outline::{Kind, StepOutline};
use crate::problem::{Place, Problems};
use crate::requests::{Requests, Role};
use crate::source::Node;
use crate::template::Source;

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

impl FileStep {
    /// Tells whether its action has outputs.
    pub(crate) fn has_outputs(&self) -> bool {
        !self.action.reply.outputs.is_empty()
    }
}

/// Reports cycles, and reads after effects.
pub(crate) fn check_graph(steps: &[StepOutline<'_>], problems: &mut Problems) -> Graph {
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

/// Reads the calls of a step; returns it with its canonical form, `None` if it cannot be used, which is reported.
pub(crate) fn read_step(
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
pub(crate) fn warn_of_shared_paths(outlines: &[StepOutline<'_>], steps: &[(FileStep, Value)], problems: &mut Problems) {
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
