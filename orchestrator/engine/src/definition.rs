//! Definition of a saga: a graph of steps.
//!
//! A step names the participant, the request, the compensation and the outputs to keep from the reply, and the steps
//! that it comes after. Retries, order, compensation and durability are the engine's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;
use thiserror::Error;

use crate::SagaId;

/// The longest output of a step, in bytes of JSON: several times the longest id of our own participants.
const MAX_OUTPUT_BYTES: usize = 1_000;

/// The most steps of a definition: a saga is one row, which is read and written whole.
pub const MAX_STEPS: usize = 100;

/// The most calls of one saga in flight at once, unless its definition says otherwise.
pub const DEFAULT_MAX_PARALLEL: usize = 16;

/// The input of a saga: a JSON value that only its definition reads. It never changes during the saga.
pub type Input = Arc<Value>;

/// Outputs of the steps so far, by name (`product_id`, `payment_id` …).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outputs(BTreeMap<SmolStr, Value>);

impl Outputs {
    /// Makes outputs with one value.
    pub fn one(name: impl Into<SmolStr>, value: impl Into<Value>) -> Outputs {
        Outputs(BTreeMap::from([(name.into(), value.into())]))
    }

    /// Returns the output of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the output of that name, if there is one and it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Returns names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Value)> {
        self.0.iter()
    }

    /// Tells whether the saga log can store them: at most 1,000 bytes a value, to keep rows small, and no NUL, which
    /// PostgreSQL refuses.
    pub fn fit_the_log(&self) -> bool {
        self.0.values().all(|value| match value {
            Value::String(text) => text.len() <= MAX_OUTPUT_BYTES && !text.contains('\0'),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
            Value::Array(_) | Value::Object(_) => {
                let text = value.to_string();
                text.len() <= MAX_OUTPUT_BYTES && !text.contains("\\u0000")
            }
        })
    }

    /// Adds the outputs of another step; they replace outputs of the same name.
    pub fn merge(&mut self, other: Outputs) {
        self.0.extend(other.0);
    }
}

impl FromIterator<(SmolStr, Value)> for Outputs {
    fn from_iter<T: IntoIterator<Item = (SmolStr, Value)>>(outputs: T) -> Outputs {
        Outputs(outputs.into_iter().collect())
    }
}

/// The data from which a step makes its request.
#[derive(Clone, Debug)]
pub struct Context {
    /// The saga's id, the key of every call.
    pub saga_id: SagaId,
    /// Number of the attempt, 1 for the first.
    pub attempt: u32,
    /// The input of the saga.
    pub input: Input,
    /// Outputs of earlier steps.
    pub outputs: Outputs,
}

/// The HTTP method of a request to a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

/// A request to a participant, without its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// The JSON body, if there is one.
    pub body: Option<String>,
    /// Additional headers, as names in lower case and values.
    pub headers: Vec<(SmolStr, String)>,
}

impl Request {
    /// Makes a request without additional headers.
    pub fn new(method: Method, path: impl Into<String>, body: Option<String>) -> Request {
        Request { method, path: path.into(), body, headers: Vec::new() }
    }
}

/// Makes a request from the saga's context. The error says which output of an earlier step makes it impossible: nothing
/// is sent then, and the step is unknown.
pub type MakeRequest = Arc<dyn Fn(&Context) -> Result<Request, String> + Send + Sync>;

/// Parses the outputs to keep from the body of a reply that says "done".
pub type ReadReply = Arc<dyn Fn(&Context, &[u8]) -> Result<Outputs, ReplyError> + Send + Sync>;

/// Why a reply with a good status confirms nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// It is not the participant's answer to this saga: a proxy may have answered. Another attempt follows.
    #[error("{0}")]
    NotTheAnswer(String),
    /// It lacks an output that later steps need, and a repeated answer is the same: no further attempt follows.
    #[error("the answer has no {0}")]
    OutputMissing(String),
}

impl From<serde_json::Error> for ReplyError {
    fn from(error: serde_json::Error) -> ReplyError {
        ReplyError::NotTheAnswer(error.to_string())
    }
}

/// One operation of a participant.
#[derive(Clone)]
pub struct Operation {
    /// Its name at the participant, as in `[faults]`: `charge`, `refund` …
    pub name: SmolStr,
    /// Makes the request.
    pub request: MakeRequest,
    /// Parses the reply.
    pub read: ReadReply,
}

impl Operation {
    /// Makes an operation of two functions.
    pub fn new<R: Into<ReplyError>>(
        name: impl Into<SmolStr>,
        request: impl Fn(&Context) -> Request + Send + Sync + 'static,
        read: impl Fn(&Context, &[u8]) -> Result<Outputs, R> + Send + Sync + 'static,
    ) -> Operation {
        let request = move |context: &Context| Ok(request(context));
        let read = move |context: &Context, body: &[u8]| read(context, body).map_err(Into::into);
        Operation { name: name.into(), request: Arc::new(request), read: Arc::new(read) }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.name).finish()
    }
}

/// Returns participant and operation: `payments.refund`.
pub fn full_name(participant: &str, operation: &str) -> String {
    format!("{participant}.{operation}")
}

/// Effect of a step on its participant, and how it is undone.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A read: there is nothing to undo.
    ReadOnly {
        /// The `type` of the problem document that means "refused"; any other error is unknown, since the participant
        /// records no decision about a read.
        refusal: Option<SmolStr>,
        /// Refuses the input without a call: returns the `detail` that the participant would give.
        refuse: fn(&Context) -> Option<String>,
    },
    /// Undone by this operation, which must be idempotent and safe at any time, also before the action arrives.
    Compensable(Operation),
    /// Never undone, by a business rule.
    Uncompensated,
}

/// Whether a step that has a compensation may be compensated although it never started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It may: the participant records a tombstone. An owner that takes the saga over assumes that the step started.
    Assumed,
    /// It must not, or its compensation needs outputs of steps with an effect: the start is in an awaited write to the
    /// saga log before the first call, with the outputs so far.
    Recorded,
}

/// Whether a step is compensated that its participant refused at the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not: a refusal has no effect.
    NoEffect,
    /// It is: the participant relies on the call.
    Compensated,
}

/// One step of a definition.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name of the step: `charge`, `decrease` …; unique within a definition.
    pub name: SmolStr,
    /// Name of the participant.
    pub participant: SmolStr,
    /// The steps that must be done before; `None` means the step above it.
    pub after: Option<Vec<SmolStr>>,
    /// Effect of the action, and how it is undone.
    pub effect: Effect,
    /// The operation that performs the step.
    pub action: Operation,
    /// Timeout of one attempt, instead of the orchestrator's.
    pub timeout: Option<Duration>,
    /// Number of attempts at the action, instead of the orchestrator's; 0 means no limit.
    pub attempts: Option<u32>,
    /// Whether its start must be in the saga log.
    pub start: Start,
    /// Whether it is compensated after a refusal.
    pub refusal: Refusal,
}

impl Step {
    /// Makes a step that comes after the one above it, with the orchestrator's timeout and retries.
    pub fn new(name: impl Into<SmolStr>, participant: impl Into<SmolStr>, action: Operation, effect: Effect) -> Step {
        Step {
            name: name.into(),
            participant: participant.into(),
            after: None,
            effect,
            action,
            timeout: None,
            attempts: None,
            start: Start::Assumed,
            refusal: Refusal::NoEffect,
        }
    }

    /// Makes it come after these steps; none means at once.
    pub fn after(self, steps: &[&str]) -> Step {
        Step { after: Some(steps.iter().map(SmolStr::new).collect()), ..self }
    }

    /// Returns the operation that undoes the step, if there is one.
    pub fn compensation(&self) -> Option<&Operation> {
        match &self.effect {
            Effect::Compensable(operation) => Some(operation),
            Effect::ReadOnly { .. } | Effect::Uncompensated => None,
        }
    }

    /// Tells whether the step is a read.
    pub fn is_read_only(&self) -> bool {
        matches!(self.effect, Effect::ReadOnly { .. })
    }
}

/// Retries of a saga's calls, instead of the orchestrator's: an unknown outcome is asked for again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// The wait after the first unknown outcome, and after each call that is still going on. It doubles with each unknown
    /// outcome, without jitter.
    pub interval: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Number of unknown outcomes and calls going on, of all actions of the saga together, after which the next one turns
    /// it back; `None` means no limit. Each owner counts anew.
    pub limit: Option<u32>,
}

impl Retries {
    /// Returns the wait after unknown outcome number `tries` of a call (1 is the first).
    pub fn wait(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(20);
        self.interval.saturating_mul(1 << doublings).min(self.longest.max(self.interval))
    }
}

/// A graph of steps. A step runs when the steps that it comes after are done, and is undone when the steps that come
/// after it are.
#[derive(Debug)]
pub struct Definition {
    /// Name of the definition, stored with each saga: a node claims only sagas whose definition it knows.
    pub name: SmolStr,
    /// Version, raised when the meaning of the steps changes.
    pub version: i32,
    /// How long a saga may run forward, instead of the orchestrator's deadline.
    pub deadline: Option<Duration>,
    /// The most calls of one saga in flight at once.
    pub max_parallel: usize,
    /// Retries instead of the orchestrator's.
    pub retries: Option<Retries>,
    steps: Vec<Step>,
    graph: Graph,
}

/// Why a graph of steps is not a definition.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DefinitionError {
    /// There are no steps.
    #[error("definition {0} has no steps")]
    Empty(SmolStr),
    /// There are more than [`MAX_STEPS`].
    #[error("definition {definition} has {steps} steps: at most {MAX_STEPS} are possible")]
    TooManySteps {
        /// The definition.
        definition: SmolStr,
        /// The number of its steps.
        steps: usize,
    },
    /// Participants key their journals by operation, so a step may occur only once.
    #[error("step {step} occurs twice in definition {definition}")]
    StepTwice {
        /// The definition.
        definition: SmolStr,
        /// The step.
        step: SmolStr,
    },
    /// A step comes after a step that does not exist.
    #[error("step {step} of definition {definition} comes after {predecessor}, which is not a step of it")]
    UnknownPredecessor {
        /// The definition.
        definition: SmolStr,
        /// The step.
        step: SmolStr,
        /// The name that no step has.
        predecessor: SmolStr,
    },
    /// Steps wait for each other.
    #[error("steps of definition {definition} wait for each other: {}", .steps.join(", "))]
    Cycle {
        /// The definition.
        definition: SmolStr,
        /// The steps that wait for each other, or for those.
        steps: Vec<SmolStr>,
    },
    /// `begin` holds the outputs of the reads and is written before the first effect, so reads come first.
    #[error("step {step} of definition {definition} reads after a step with an effect")]
    ReadAfterEffect {
        /// The definition.
        definition: SmolStr,
        /// The step.
        step: SmolStr,
    },
}

impl Definition {
    /// Checks a graph of steps and makes it a definition.
    ///
    /// # Errors
    /// [`DefinitionError`] says which rule of the engine the graph breaks.
    pub fn new(name: impl Into<SmolStr>, version: i32, steps: Vec<Step>) -> Result<Definition, DefinitionError> {
        let name = name.into();
        if steps.is_empty() {
            return Err(DefinitionError::Empty(name));
        }
        if steps.len() > MAX_STEPS {
            return Err(DefinitionError::TooManySteps { definition: name, steps: steps.len() });
        }
        for (index, step) in steps.iter().enumerate() {
            if steps[..index].iter().any(|earlier| earlier.name == step.name) {
                return Err(DefinitionError::StepTwice { definition: name, step: step.name.clone() });
            }
        }
        let graph = Graph::of(&name, &steps)?;
        for (index, step) in steps.iter().enumerate() {
            let reads_after_effect = graph.before(index).any(|earlier| !steps[earlier].is_read_only());
            if step.is_read_only() && reads_after_effect {
                return Err(DefinitionError::ReadAfterEffect { definition: name, step: step.name.clone() });
            }
        }
        Ok(Definition {
            name,
            version,
            deadline: None,
            max_parallel: DEFAULT_MAX_PARALLEL,
            retries: None,
            steps,
            graph,
        })
    }

    /// Returns the steps, as listed.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the steps that the step at `index` comes directly after.
    pub fn predecessors(&self, index: usize) -> &[usize] {
        &self.graph.predecessors[index]
    }

    /// Returns all steps that are done before the step at `index` starts.
    pub fn before(&self, index: usize) -> impl Iterator<Item = usize> {
        self.graph.before(index)
    }

    /// Returns all steps that start only once the step at `index` is done.
    pub fn behind(&self, index: usize) -> impl Iterator<Item = usize> {
        self.graph.behind(index)
    }

    /// Returns name and version, as nodes list the definitions that they know: `checkout/1`.
    pub fn title(&self) -> String {
        title(&self.name, self.version)
    }
}

/// Returns name and version of a definition: `checkout/1`.
pub fn title(name: &str, version: i32) -> String {
    format!("{name}/{version}")
}

/// The order of a definition's steps. At most [`MAX_STEPS`] steps fit into the bits of a `u128`.
#[derive(Debug)]
struct Graph {
    predecessors: Vec<Vec<usize>>,
    before: Vec<u128>,
    behind: Vec<u128>,
}

impl Graph {
    fn of(definition: &SmolStr, steps: &[Step]) -> Result<Graph, DefinitionError> {
        let mut predecessors = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let Some(after) = &step.after else {
                predecessors.push(index.checked_sub(1).into_iter().collect());
                continue;
            };
            let find = |name: &SmolStr| {
                steps.iter().position(|step| step.name == *name).ok_or_else(|| DefinitionError::UnknownPredecessor {
                    definition: definition.clone(),
                    step: step.name.clone(),
                    predecessor: name.clone(),
                })
            };
            let mut indices = after.iter().map(find).collect::<Result<Vec<usize>, _>>()?;
            indices.sort_unstable();
            indices.dedup();
            predecessors.push(indices);
        }
        let mut before = vec![0_u128; steps.len()];
        let mut placed = 0_u128;
        // Each round places the steps whose predecessors are placed; a round that places none has met a cycle.
        while placed.count_ones() as usize != steps.len() {
            let ready: Vec<usize> = (0..steps.len())
                .filter(|&index| {
                    placed & bit(index) == 0 && predecessors[index].iter().all(|&earlier| placed & bit(earlier) != 0)
                })
                .collect();
            if ready.is_empty() {
                let waiting = (0..steps.len()).filter(|&index| placed & bit(index) == 0);
                let steps = waiting.map(|index| steps[index].name.clone()).collect();
                return Err(DefinitionError::Cycle { definition: definition.clone(), steps });
            }
            for index in ready {
                placed |= bit(index);
                before[index] = predecessors[index].iter().fold(0, |all, &at| all | bit(at) | before[at]);
            }
        }
        let behind = (0..steps.len())
            .map(|index| {
                (0..steps.len()).filter(|&other| before[other] & bit(index) != 0).fold(0, |all, at| all | bit(at))
            })
            .collect();
        Ok(Graph { predecessors, before, behind })
    }

    fn before(&self, index: usize) -> impl Iterator<Item = usize> {
        bits(self.before[index])
    }

    fn behind(&self, index: usize) -> impl Iterator<Item = usize> {
        bits(self.behind[index])
    }
}

fn bit(index: usize) -> u128 {
    1 << index
}

/// Returns the indices of the set bits, in ascending order.
fn bits(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(lowest)
    })
}

/// The definitions that a node knows.
pub trait Definitions: Send + Sync + 'static {
    /// Returns the definition of a stored saga, if this node knows it.
    fn find(&self, name: &str, version: i32, input: &Input) -> Option<Arc<Definition>>;

    /// Returns what this node may claim, as `name/version`.
    fn titles(&self) -> Vec<String>;
}

impl Definitions for Vec<Arc<Definition>> {
    fn find(&self, name: &str, version: i32, _: &Input) -> Option<Arc<Definition>> {
        self.iter().find(|known| known.name == name && known.version == version).cloned()
    }

    fn titles(&self) -> Vec<String> {
        self.iter().map(|known| known.title()).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
