//! Makes the engine's definition of a definition as data.

use std::sync::Arc;
use std::time::Duration;

use foundation::judgement::Judgement;
use saga_engine::definition::{
    Context, Definition, DefinitionError, Effect, MakeRequest, Operation, ReadReply, Start, Step,
};
use smol_str::{SmolStr, format_smolstr};

use crate::call::Call;
use crate::file::SagaFile;
use crate::outline::Kind;
use crate::scope::Scope;
use crate::steps::FileStep;
use crate::template::Source;

impl SagaFile {
    /// Makes the engine's definition; `judgement` returns how each participant's answers are judged.
    ///
    /// # Errors
    /// [`DefinitionError`] if the engine has a rule that this crate does not check.
    pub fn compile(&self, judgement: impl Fn(&str) -> Judgement) -> Result<Definition, DefinitionError> {
        let steps =
            self.steps.iter().map(|step| compile_step(&self.name, step, judgement(&step.participant))).collect();
        let mut definition = Definition::new(self.name.clone(), self.version, steps)?;
        definition.deadline = self.deadline_ms.map(Duration::from_millis);
        definition.max_parallel = self.max_parallel;
        definition.reads_yield_outputs =
            self.steps.iter().any(|step| step.kind == Kind::ReadOnly && step.has_outputs());
        Ok(definition)
    }
}

fn compile_step(definition: &SmolStr, step: &Arc<FileStep>, judgement: Judgement) -> Step {
    let action = format_smolstr!("{definition}.{}", step.name);
    let mut action = operation(action, step, |step| &step.action);
    if step.compensation.as_ref().is_some_and(|call| call.sources().any(|source| matches!(source, Source::Output(_)))) {
        action.request = if_it_can_be_undone(step.clone(), action.request);
    }
    let effect = match (step.kind, &step.compensation) {
        (Kind::ReadOnly, _) => Effect::ReadOnly { refusal: None, refuse: |_| None },
        (Kind::Compensable, Some(_)) => {
            let undo = format_smolstr!("{definition}.{}.undo", step.name);
            Effect::Compensable(operation(undo, step, |step| step.compensation.as_ref().unwrap_or(&step.action)))
        }
        (Kind::Uncompensated | Kind::Compensable, _) => Effect::Uncompensated,
    };
    let is_undone = matches!(effect, Effect::Compensable(_));
    let must_be_recorded = is_undone && (judgement == Judgement::Status || step.compensation_needs_outputs);
    let start = if must_be_recorded { Start::Recorded } else { Start::Assumed };
    Step {
        after: Some(step.after.clone()),
        timeout: step.timeout_ms.map(Duration::from_millis),
        attempts: step.attempts,
        start,
        ..Step::new(step.name.clone(), step.participant.clone(), action, effect)
    }
}

/// Makes the request of an action only if that of its compensation can be made, too: it takes the same outputs, so an
/// action with a value that the compensation cannot carry could never be undone.
fn if_it_can_be_undone(step: Arc<FileStep>, request: MakeRequest) -> MakeRequest {
    Arc::new(move |context| {
        let scope = Scope::new(&step.name, context);
        let undo = step.compensation.as_ref().map_or(Ok(()), |call| call.check_lengths(scope));
        undo.map_err(|unusable| format!("its compensation could not be called: {unusable}"))?;
        request(context)
    })
}

fn operation(name: SmolStr, step: &Arc<FileStep>, call: fn(&FileStep) -> &Call) -> Operation {
    let (asking, answered) = (step.clone(), step.clone());
    let request: MakeRequest = Arc::new(move |context: &Context| {
        call(&asking).request(Scope::new(&asking.name, context)).map_err(|unusable| unusable.to_string())
    });
    let read: ReadReply =
        Arc::new(move |context: &Context, body: &[u8]| call(&answered).read(Scope::new(&answered.name, context), body));
    Operation { name, request, read }
}
