//! Definition of a saga: a graph of steps.
//!
//! A step names the participant, the request, the compensation and the outputs to keep from the reply, and the steps
//! that it comes after. Retries, order, compensation and durability are the engine's.

mod graph;
mod operation;

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use thiserror::Error;

use self::graph::Graph;
pub use self::operation::{
    Context, Input, MakeRequest, Method, Operation, Outputs, ReadReply, ReplyError, Request, full_name,
};

/// The most steps of a definition: a saga is one row, which is read and written whole.
pub const MAX_STEPS: usize = 100;

/// The most calls of one saga in flight at once, unless its definition says otherwise.
pub const DEFAULT_MAX_PARALLEL: usize = 16;

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
    /// Whether its reads, once all are done, have at least one output: then a row without outputs shows that no step with an
    /// effect has started.
    pub reads_yield_outputs: bool,
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
        /// The steps of the cycle, and the steps that wait for it.
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
            reads_yield_outputs: false,
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
