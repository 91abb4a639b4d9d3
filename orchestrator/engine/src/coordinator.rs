//! The coordinator: admits sagas, starts an actor for each, and supervises them. It awaits no I/O.

use std::collections::HashMap;
use std::sync::Arc;

use foundation::secret::SecretHash;
use foundation::supervision::ActorView;
use foundation::supervision::{ActorEntry, ChildSpec, Handle, child};
use foundation::traces::Tracer;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use serde_json::json;
use tracing::{error, warn};
use uuid::Uuid;

use crate::SagaId;
use crate::actor::{Origin, Policy, SagaActor, SagaArguments, SagaMsg, StartAnswer, Waiter};
use crate::definition::{Definition, Definitions, Input};
use crate::log::{Recovered, SagaLog};
use crate::meters::SagaMeters;
use crate::record::IdempotencyKey;
use crate::recovery::ActorDeath;
use crate::running::{Running, RunningSaga};
use crate::stored::StoredSaga;
use crate::trace;
use crate::world::World;

/// Maximum number of sagas shown in the actor tree; beyond it only the count is shown.
const SHOWN_SAGAS: usize = 1_000;

/// A saga that a client starts.
pub struct StartSaga {
    /// Id of the saga.
    pub id: SagaId,
    /// Its definition.
    pub definition: Arc<Definition>,
    /// The input, opaque to the engine.
    pub input: Input,
    /// The client's idempotency key, if it sent one.
    pub key: Option<IdempotencyKey>,
    /// The hash of the client's secret for the saga, if it sent one.
    pub secret: Option<SecretHash>,
    /// Receives the answer.
    pub waiter: Waiter,
}

/// A message to the coordinator.
pub enum CoordinatorMsg {
    /// Run a new saga.
    StartSaga(Box<StartSaga>),
    /// Run a claimed saga from its row.
    Adopt(Box<StoredSaga>),
    /// The begin limit of this saga is near: begin now.
    BeginSoon(SagaId),
    /// This client does not wait for the end: answer it once the saga is in the log.
    Detach(SagaId, Waiter),
    /// This client waits for the end of a saga that another client started.
    Attach(SagaId, Waiter),
    /// The row of this saga carries a cancel.
    Cancel(SagaId),
    /// An operator requested a retry of this saga now.
    Retry(SagaId),
    /// Another node owns this saga now.
    Drop(SagaId),
}

/// Arguments of the coordinator.
#[derive(Clone)]
pub struct CoordinatorArguments {
    /// The coordinator's entry in the actor tree.
    pub entry: Arc<ActorEntry>,
    /// The engine's way out.
    pub world: Arc<dyn World>,
    /// Retries, timeouts and deadlines of sagas.
    pub policy: Policy,
    /// The sagas that run here.
    pub running: Arc<Running>,
    /// The definitions that this node knows, for claimed sagas.
    pub known: Arc<dyn Definitions>,
    /// While this many sagas run, new ones are refused as [`StartAnswer::Overloaded`].
    pub max_running: usize,
    /// Records the spans of ended sagas.
    pub tracer: Tracer,
}

/// The coordinator's actor.
pub struct Coordinator;

/// State of the coordinator.
pub struct CoordinatorState {
    arguments: CoordinatorArguments,
    sagas: HashMap<SagaId, ActorRef<SagaMsg>>,
    /// Saga and epoch of each actor.
    ids: HashMap<ActorId, (SagaId, i32)>,
    meters: SagaMeters,
}

/// Returns the child specification of the coordinator.
pub fn coordinator(handle: Handle<CoordinatorMsg>, arguments: CoordinatorArguments) -> ChildSpec {
    let (listed, found) = (arguments.running.clone(), arguments.running.clone());
    let counted = arguments.running.clone();
    arguments.entry.set_state(move || json!({ "running": counted.len(), "deaths": counted.deaths().len() }));
    arguments
        .entry
        .set_children(move || listed.some(SHOWN_SAGAS).iter().map(|saga| view(saga, saga.brief())).collect());
    arguments.entry.set_find(move |name| {
        let id = name.rsplit("saga/").next()?.parse::<Uuid>().ok()?;
        let saga = found.get(SagaId(id))?;
        Some(view(&saga, saga.in_full()))
    });
    child(arguments.entry.clone(), handle, move || (Coordinator, arguments.clone()))
}

fn view(saga: &RunningSaga, state: serde_json::Value) -> ActorView {
    ActorView {
        name: format!("saga/{}", saga.id),
        kind: "saga".to_owned(),
        status: "running".to_owned(),
        restarts: 0,
        last_restart_reason: None,
        started_at: Some(saga.created_at),
        messages_handled: 0,
        queue_depth: None,
        state,
        children: Vec::new(),
    }
}

impl Actor for Coordinator {
    type Msg = CoordinatorMsg;
    type State = CoordinatorState;
    type Arguments = CoordinatorArguments;

    async fn pre_start(
        &self,
        _: ActorRef<CoordinatorMsg>,
        arguments: CoordinatorArguments,
    ) -> Result<CoordinatorState, ActorProcessingErr> {
        // After a restart: the saga actors died with the coordinator, and recovery finds their rows without an actor.
        arguments.running.clear();
        arguments.running.suspect_orphans();
        Ok(CoordinatorState { arguments, sagas: HashMap::new(), ids: HashMap::new(), meters: SagaMeters::default() })
    }

    async fn handle(
        &self,
        me: ActorRef<CoordinatorMsg>,
        message: CoordinatorMsg,
        state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.entry.handled();
        match message {
            CoordinatorMsg::StartSaga(start) => start_saga(&me, state, *start).await?,
            CoordinatorMsg::Adopt(stored) => adopt(&me, state, *stored).await?,
            CoordinatorMsg::BeginSoon(id) => tell(state, id, SagaMsg::BeginSoon),
            CoordinatorMsg::Detach(id, waiter) => pass_on(state, id, waiter, SagaMsg::Detach),
            CoordinatorMsg::Attach(id, waiter) => pass_on(state, id, waiter, SagaMsg::Attach),
            CoordinatorMsg::Cancel(id) => tell(state, id, SagaMsg::CancelRequested),
            CoordinatorMsg::Retry(id) => tell(state, id, SagaMsg::RetryNow),
            CoordinatorMsg::Drop(id) => tell(state, id, SagaMsg::Lost),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<CoordinatorMsg>,
        event: SupervisionEvent,
        state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        let who = match event {
            SupervisionEvent::ActorTerminated(who, ..) => who,
            SupervisionEvent::ActorFailed(who, reason) => {
                let saga = state.ids.get(&who.get_id());
                let id = saga.map(|(id, _)| tracing::field::display(id));
                error!(saga.id = id, %reason, "a saga's actor died: it is rebuilt from the saga log");
                metrics::counter!("ecommerce_saga_actors_died_total").increment(1);
                if let Some(&(id, epoch)) = saga {
                    state.arguments.running.died(ActorDeath { id, epoch, reason: reason.to_string() });
                }
                who
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        if let Some((id, _)) = state.ids.remove(&who.get_id()) {
            // A saga that went to sleep and was woken at once may have its next actor already.
            if state.sagas.get(&id).is_some_and(|saga| saga.get_id() != who.get_id()) {
                return Ok(());
            }
            state.sagas.remove(&id);
            let saga = state.arguments.running.get(id);
            state.arguments.running.remove(id);
            if let Some(saga) = saga {
                stopped(state, &saga);
            }
        }
        Ok(())
    }
}

/// Records the end of a saga whose actor has stopped. An actor that stopped before the end has lost its row to another
/// owner. That owner may be this process: the answer to a claim was lost while this actor hid the row from the search
/// for orphans.
fn stopped(state: &CoordinatorState, saga: &RunningSaga) {
    let progress = saga.progress();
    match progress.log.ended() {
        Some(status) => {
            let now = state.arguments.world.now();
            let age = now.signed_duration_since(saga.created_at);
            trace::record(&state.arguments.tracer, saga, &progress.log, status, now);
            state.meters.ended(status, age.to_std().unwrap_or_default());
        }
        // It sleeps; the wake time is in its row.
        None if progress.log.is_marked_failed() => {}
        None => state.arguments.running.suspect_orphans(),
    }
}

/// Sends a message to a saga that runs here; otherwise does nothing.
fn tell(state: &CoordinatorState, id: SagaId, message: SagaMsg) {
    if let Some(saga) = state.sagas.get(&id) {
        // An actor that is stopping has written its state to the row already.
        let _ = saga.cast(message);
    }
}

/// Passes a waiter to its saga's actor. If the saga does not run here, the waiter must read the row.
fn pass_on(state: &CoordinatorState, id: SagaId, waiter: Waiter, message: fn(Waiter) -> SagaMsg) {
    match state.sagas.get(&id) {
        // A waiter that is dropped with the actor reads the row too.
        Some(saga) => drop(saga.cast(message(waiter))),
        None => drop(waiter.send(StartAnswer::AskTheRow(id))),
    }
}

async fn start_saga(
    me: &ActorRef<CoordinatorMsg>,
    state: &mut CoordinatorState,
    start: StartSaga,
) -> Result<(), ActorProcessingErr> {
    let StartSaga { id, definition, input, key, secret, waiter } = start;
    if state.sagas.len() >= state.arguments.max_running {
        let _ = waiter.send(StartAnswer::Overloaded);
        return Ok(());
    }
    state.meters.started.increment(1);
    let log = SagaLog::new(&definition);
    let now = state.arguments.world.now();
    // The log stores microseconds; truncated, memory and row give the same time.
    let created_at = chrono::DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now);
    let saga = RunningSaga::new(id, input, definition, created_at, 1, Vec::new(), log).with_secret(secret);
    let saga = Arc::new(saga);
    spawn(me, state, saga, Origin::New { key, waiter }).await
}

async fn adopt(
    me: &ActorRef<CoordinatorMsg>,
    state: &mut CoordinatorState,
    stored: StoredSaga,
) -> Result<(), ActorProcessingErr> {
    let StoredSaga { definition: name, definition_version: version, .. } = &stored;
    let Some(definition) = state.arguments.known.find(name, *version, &stored.input) else {
        // A node claims sagas of definitions that it makes from the input, whatever that names.
        let reason =
            format!("this node cannot make its definition {name}/{version}: its configuration may lack a participant");
        warn!(saga.id = %stored.id, reason, "a saga cannot be recovered here");
        let running = &state.arguments.running;
        running.died(ActorDeath { id: stored.id, epoch: stored.epoch, reason });
        running.not_handed_over(stored.id);
        return Ok(());
    };
    let recovered = Recovered {
        outputs: stored.outputs,
        started: stored.started,
        direction: stored.direction,
        cause: stored.error,
        status: stored.status,
        timeline: stored.timeline,
        left_by: stored.left_by,
    };
    let log = SagaLog::recovered(&definition, recovered);
    let StoredSaga { id, input, secret, created_at, epoch, takeovers, .. } = stored;
    let saga = RunningSaga::new(id, input, definition, created_at, epoch, takeovers, log).with_secret(secret);
    let saga = Arc::new(saga);
    let origin = Origin::Recovered {
        remaining: stored.remaining,
        cancel_requested: stored.cancel_requested,
        marks: stored.marks,
    };
    state.meters.recovered.increment(1);
    spawn(me, state, saga, origin).await
}

async fn spawn(
    me: &ActorRef<CoordinatorMsg>,
    state: &mut CoordinatorState,
    saga: Arc<RunningSaga>,
    origin: Origin,
) -> Result<(), ActorProcessingErr> {
    let arguments = SagaArguments {
        saga: saga.clone(),
        origin,
        world: state.arguments.world.clone(),
        policy: state.arguments.policy,
    };
    state.arguments.running.insert(saga.clone());
    // Unnamed: the name registry is process-wide, and sagas are many. `pre_start` of a saga awaits nothing.
    let (actor, _) = Actor::spawn_linked(None, SagaActor, arguments, me.get_cell()).await?;
    state.ids.insert(actor.get_id(), (saga.id, saga.epoch));
    state.sagas.insert(saga.id, actor);
    Ok(())
}
