//! Mutations of the engine, made from outside: a [`World`] around the simulated one that changes requests and replies
//! as if the engine were mutated. The engine itself has no test switches.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::time::Instant;
use uuid::Uuid;

use super::definitions::output_of;
use super::mutation::{Mutation, is_mutated};
use super::process::policy;
use orchestrator::checkout::output;
use orchestrator::participant_client::Judged;
use saga_engine::definition::{Definition, Outputs};
use saga_engine::lease::{RenewRequest, Renewal};
use saga_engine::log::Direction;
use saga_engine::outcome::{Failure, Found, Outcome, Retry, Sent, Unknown};
use saga_engine::owner::Owner;
use saga_engine::record::{Change, LogWrite, WriteReport};
use saga_engine::recovery::{ClaimRequest, Claimed};
use saga_engine::stored::StoredSaga;
use saga_engine::takeover::LeftBy;
use saga_engine::world::{Answer, Call, Purpose, World};
use saga_engine::{SagaId, Status};

/// A world that makes its engine behave as if it had the mutation.
pub(super) struct Mutated<W> {
    pub(super) world: Arc<W>,
    /// The definition of new sagas.
    pub(super) definition: Arc<Definition>,
    memory: Arc<Mutex<Memory>>,
}

/// The answer to a call, until it is given.
type HeldAnswer = Arc<Mutex<Option<Answer<Outcome>>>>;

/// The memory of a mutated engine.
#[derive(Default)]
struct Memory {
    /// The actions in flight of each saga.
    in_flight: BTreeMap<SagaId, Vec<HeldAnswer>>,
    /// The step of each saga that was refused.
    refused: BTreeMap<SagaId, SmolStr>,
}

impl<W> Mutated<W> {
    pub(super) fn new(world: Arc<W>, definition: Arc<Definition>) -> Mutated<W> {
        Mutated { world, definition, memory: Arc::default() }
    }
}

impl<W: World> World for Mutated<W> {
    fn write(&self, write: Arc<LogWrite>, answer: Answer<WriteReport>) {
        let is_early = match &write.change {
            Change::Begin { ended: None, .. } => is_mutated(Mutation::EffectBeforeBegin),
            Change::End { .. } => is_mutated(Mutation::AnswerBeforeEnd),
            Change::TurnBack { .. } => is_mutated(Mutation::CompensateBeforeTurn),
            Change::Begin { ended: Some(_), .. } | Change::Outputs | Change::MarkFailed { .. } => false,
        };
        if matches!(write.change, Change::Begin { .. }) && is_mutated(Mutation::RepeatedBeginLooksNew) {
            let as_new = LogWrite { was_in_doubt: false, ..LogWrite::clone(&write) };
            return self.world.write(Arc::new(as_new), answer);
        }
        if !is_early {
            if matches!(write.change, Change::TurnBack { .. }) && is_mutated(Mutation::CallsInFlightForgotten) {
                let calls = self.memory.lock().in_flight.remove(&write.saga_id).unwrap_or_default();
                self.world.write(write, Answer::new(move |report| forget(calls, answer, report)));
                return;
            }
            return self.world.write(write, answer);
        }
        answer.give(WriteReport::Durable { cancel_requested: false, at: write.at });
        if !matches!(write.change, Change::TurnBack { .. }) {
            self.world.write(write, Answer::new(|_| {}));
        }
    }

    fn call(&self, mut call: Call, answer: Answer<Outcome>) {
        let undone_unasked = || Outcome::Undone(Found::NotSaid, Outputs::default());
        match &call.purpose {
            Purpose::Action { .. } if call.attempt > 1 && is_mutated(Mutation::RetryWithoutKey) => {
                let (old, new) = (call.saga_id.to_string(), self.world.new_saga_id());
                call.context.saga_id = new;
                call.request.path = call.request.path.replace(&old, &new.to_string());
                call.request.body = call.request.body.map(|body| body.replace(&old, &new.to_string()));
            }
            Purpose::Action { .. } if is_mutated(Mutation::BranchOutputsLost) => self.lose_a_branch(&mut call),
            Purpose::Action { .. } => {}
            Purpose::Compensation if self.is_beside_a_refused_step(&call) => return answer.give(undone_unasked()),
            Purpose::Compensation => {
                let is_unknown = call.operation == "refund" && call.context.outputs.text(output::PAYMENT_ID).is_none();
                let is_last = self.definition.steps().iter().rfind(|step| step.compensation().is_some());
                if (is_unknown && is_mutated(Mutation::RefundOnlyIfKnown))
                    || (call.epoch > 1
                        && is_last.is_some_and(|step| step.name == call.step)
                        && is_mutated(Mutation::ForgetOneCompensation))
                {
                    return answer.give(undone_unasked());
                }
                if is_mutated(Mutation::CompensateInOrder) {
                    return self.compensate_first_step_before(call, answer);
                }
            }
        }
        let (purpose, attempt) = (call.purpose.clone(), call.attempt);
        let answer = changed(answer, move |outcome| heard(purpose, attempt, outcome));
        self.world.call(call.clone(), self.remembered(&call, answer));
    }

    fn may_call_actions(&self) -> bool {
        self.world.may_call_actions() || is_mutated(Mutation::ActionWithoutLease)
    }

    fn claim(&self, mut request: ClaimRequest, answer: Answer<Result<Claimed, String>>) {
        if is_mutated(Mutation::NoSearchForOrphans) {
            request.search_after = None;
        }
        let world = self.world.clone();
        self.world.claim(
            request,
            changed(answer, move |claimed: Result<Claimed, String>| {
                claimed.map(|mut claimed| {
                    for saga in &mut claimed.claimed {
                        recovered(&*world, saga);
                    }
                    claimed
                })
            }),
        );
    }

    fn renew(&self, request: RenewRequest, answer: Answer<Result<Renewal, String>>) {
        let world = self.world.clone();
        self.world.renew(request, changed(answer, move |renewal| renewed(&*world, renewal)));
    }

    fn give_up_lease(&self, owner: Arc<Owner>, answer: Answer<Result<(), String>>) {
        self.world.give_up_lease(owner, answer);
    }

    fn now(&self) -> DateTime<Utc> {
        self.world.now()
    }

    fn random(&self) -> f64 {
        self.world.random()
    }

    fn new_saga_id(&self) -> SagaId {
        self.world.new_saga_id()
    }

    fn new_nonce(&self) -> Uuid {
        self.world.new_nonce()
    }
}

impl<W: World> Mutated<W> {
    /// Remembers a call, as far as a mutation needs that.
    fn remembered(&self, call: &Call, answer: Answer<Outcome>) -> Answer<Outcome> {
        let is_action = matches!(call.purpose, Purpose::Action { .. });
        if is_action && is_mutated(Mutation::CallsInFlightForgotten) {
            let held = Arc::new(Mutex::new(Some(answer)));
            self.memory.lock().in_flight.entry(call.saga_id).or_default().push(held.clone());
            return Answer::new(move |outcome| reply(&held, outcome));
        }
        if is_action && is_mutated(Mutation::SiblingsForgotten) {
            let (memory, id, step) = (self.memory.clone(), call.saga_id, call.step.clone());
            return changed(answer, move |outcome| {
                if matches!(outcome, Outcome::Refused(_)) {
                    memory.lock().refused.insert(id, step);
                }
                outcome
            });
        }
        answer
    }

    /// Tells whether a compensation is for a step beside a refused one.
    fn is_beside_a_refused_step(&self, call: &Call) -> bool {
        let index = |name: &SmolStr| self.definition.steps().iter().position(|step| step.name == *name);
        let refused = self.memory.lock().refused.get(&call.saga_id).and_then(index);
        let (Some(refused), Some(step)) = (refused, index(&call.step)) else { return false };
        let is_in_line = |mut steps: Box<dyn Iterator<Item = usize> + '_>| steps.any(|other| other == refused);
        !is_in_line(Box::new(self.definition.before(step))) && !is_in_line(Box::new(self.definition.behind(step)))
    }

    /// Makes the request of a step that comes after several without the outputs of one of them.
    fn lose_a_branch(&self, call: &mut Call) {
        let steps = self.definition.steps();
        let Some(index) = steps.iter().position(|step| step.name == call.step) else { return };
        let [_, lost, ..] = self.definition.predecessors(index) else { return };
        let lost = output_of(&steps[*lost].name);
        let others = call.context.outputs.iter().filter(|(name, _)| **name != lost);
        call.context.outputs = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        call.request = (steps[index].action.request)(&call.context).expect("a step of a graph can make its request");
    }

    /// Calls the compensation of the first compensable step before the due one.
    fn compensate_first_step_before(&self, call: Call, answer: Answer<Outcome>) {
        let first = self.definition.steps().iter().find_map(|step| Some((step, step.compensation()?)));
        let Some((step, operation)) = first.filter(|(step, _)| step.name != call.step) else {
            return self.world.call(call, answer);
        };
        let early = Call {
            step: step.name.clone(),
            participant: step.participant.clone(),
            operation: operation.name.clone(),
            request: (operation.request)(&call.context).expect("the checkout can make its requests"),
            read: operation.read.clone(),
            ..call.clone()
        };
        let world = self.world.clone();
        self.world.call(early, Answer::new(move |_| world.call(call, answer)));
    }
}

/// Passes an outcome on, unless the call was forgotten. Without an outcome the answer is dropped.
fn reply(held: &Mutex<Option<Answer<Outcome>>>, outcome: Option<Outcome>) {
    let answer = held.lock().take();
    if let (Some(answer), Some(outcome)) = (answer, outcome) {
        answer.give(outcome);
    }
}

/// Reports a write, and treats calls without an outcome as unknown.
fn forget(calls: Vec<HeldAnswer>, answer: Answer<WriteReport>, report: Option<WriteReport>) {
    for call in calls {
        let unknown = Unknown {
            failure: Failure::timeout("a participant"),
            detail: "forgotten".to_owned(),
            retry: Retry::Never,
            sent: Sent::Maybe,
        };
        reply(&call, Some(Outcome::Unknown(unknown)));
    }
    if let Some(report) = report {
        answer.give(report);
    }
}

/// Changes the value of an answer.
fn changed<T: 'static>(answer: Answer<T>, change: impl FnOnce(T) -> T + Send + 'static) -> Answer<T> {
    Answer::new(move |value| {
        // Without a value `answer` is dropped, which replies `None`.
        if let Some(value) = value {
            answer.give(change(value));
        }
    })
}

/// Changes the outcome of a call.
fn heard(purpose: Purpose, attempt: u32, outcome: Outcome) -> Outcome {
    match (purpose, outcome) {
        (Purpose::Compensation, Outcome::Undone(_, outputs)) if is_mutated(Mutation::UndoneWhateverWasFound) => {
            Outcome::Undone(Found::Done, outputs)
        }
        (Purpose::Compensation, Outcome::Unknown(_)) if is_mutated(Mutation::CompensatedUnconfirmed) => {
            Outcome::Undone(Found::NotSaid, Outputs::default())
        }
        (Purpose::Action { .. }, Outcome::Unknown(unknown))
            if attempt < policy().action.attempts && is_mutated(Mutation::LastAttemptCounts) =>
        {
            Outcome::Unknown(Unknown { sent: Sent::Nothing, ..unknown })
        }
        (_, outcome) => outcome,
    }
}

/// Changes the answer to a renewal.
fn renewed(world: &impl World, renewal: Result<Renewal, String>) -> Result<Renewal, String> {
    let granted = |time| Ok(Renewal::Granted { sent_at: Instant::now(), time });
    match renewal {
        Ok(Renewal::Granted { time, .. }) if is_mutated(Mutation::LeaseFromAnswer) => granted(time),
        Ok(Renewal::Held(_)) if is_mutated(Mutation::IgnoreHold) => granted(world.now()),
        Err(_) if is_mutated(Mutation::LostRenewalCounts) => granted(world.now()),
        renewal => renewal,
    }
}

/// Changes a claimed saga.
fn recovered(world: &impl World, saga: &mut StoredSaga) {
    if is_mutated(Mutation::NewIdAfterTakeover) {
        saga.id = world.new_saga_id();
    }
    if is_mutated(Mutation::ForwardAfterTurn) {
        (saga.direction, saga.status, saga.error) = (Direction::Forward, Status::Pending, None);
    }
    if is_mutated(Mutation::ForgetEarlierOwners) {
        saga.left_by = LeftBy::Sleep;
        for step in &mut saga.timeline {
            (step.action, step.compensation) = ("pending".into(), None);
        }
    }
}

/// Classifies a reply as a mutated client does; `None` if the client is not mutated for it.
pub(super) fn judged(service: &str, call: &Call, reply: &Judged<'_>) -> Option<Outcome> {
    match (reply.status, &call.purpose) {
        (404 | 409, Purpose::Action { .. }) if is_mutated(Mutation::AnyConflictRefuses) => {
            Some(Outcome::Refused(Failure::refused(reply.status, service, "refused")))
        }
        (200, Purpose::Compensation) if is_mutated(Mutation::AnyJsonConfirms) => {
            let said = serde_json::from_slice::<serde_json::Value>(reply.body);
            let has_status = said.is_ok_and(|said| said["status"].is_string());
            has_status.then(|| Outcome::Undone(Found::NotSaid, Outputs::default()))
        }
        _ => None,
    }
}
