//! The supervisor: one for one, with a budget and a back-off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{ActorCard, Backoff, Budget, ChildSpec, StartFn, SupervisorSpec};

/// How long a child may take to stop before it is killed, unless the root says otherwise.
const CHILD_STOP_TIMEOUT: Duration = Duration::from_secs(30);

struct Supervisor;

struct Arguments {
    card: Arc<ActorCard>,
    budget: Budget,
    backoff: Backoff,
    children: Vec<ChildSpec>,
}

struct State {
    arguments: Arguments,
    running: Vec<Option<ActorCell>>,
    restarts: VecDeque<Instant>,
}

enum Msg {
    Respawn(usize),
}

impl Actor for Supervisor {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<Msg>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        let mut running: Vec<Option<ActorCell>> = Vec::with_capacity(arguments.children.len());
        for child in &arguments.children {
            match (child.start)(myself.get_cell()).await {
                Ok(cell) => {
                    child.card.started();
                    running.push(Some(cell));
                }
                Err(error) => {
                    stop_in_reverse(&arguments.children, &mut running).await;
                    return Err(format!("{} did not start: {error}", child.card.name()).into());
                }
            }
        }
        arguments.card.started();
        Ok(State { arguments, running, restarts: VecDeque::new() })
    }

    async fn handle(&self, myself: ActorRef<Msg>, message: Msg, state: &mut State) -> Result<(), ActorProcessingErr> {
        let Msg::Respawn(index) = message;
        let child = state.arguments.children[index].clone();
        match (child.start)(myself.get_cell()).await {
            Ok(cell) => {
                info!(actor = child.card.name(), restarts = child.card.restarts(), "actor restarted");
                child.card.started();
                state.running[index] = Some(cell);
                Ok(())
            }
            Err(error) => restart(&myself, state, index, format!("did not start: {error}")),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (who, reason) = match event {
            SupervisionEvent::ActorFailed(who, error) => (who, error.to_string()),
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                (who, reason.unwrap_or_else(|| "ended without being asked to".to_owned()))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let index =
            state.running.iter().position(|cell| cell.as_ref().is_some_and(|cell| cell.get_id() == who.get_id()));
        match index {
            Some(index) => {
                state.running[index] = None;
                restart(&myself, state, index, reason)
            }
            None => Ok(()),
        }
    }

    async fn post_stop(&self, _: ActorRef<Msg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        stop_in_reverse(&state.arguments.children, &mut state.running).await;
        state.arguments.card.stopped();
        Ok(())
    }
}

/// Arms a restart, or fails if the budget is spent.
fn restart(myself: &ActorRef<Msg>, state: &mut State, index: usize, reason: String) -> Result<(), ActorProcessingErr> {
    let card = &state.arguments.children[index].card;
    let Budget { max_restarts, within } = state.arguments.budget;
    let now = Instant::now();
    state.restarts.push_back(now);
    while state.restarts.front().is_some_and(|at| now.duration_since(*at) > within) {
        state.restarts.pop_front();
    }
    let used = u32::try_from(state.restarts.len()).unwrap_or(u32::MAX);
    if used > max_restarts {
        card.failed(reason.clone());
        error!(actor = card.name(), %reason, "restart budget is spent");
        return Err(format!(
            "{} died more than {max_restarts} times within {within:?}, last of: {reason}",
            card.name()
        )
        .into());
    }
    let Backoff { min, max } = state.arguments.backoff;
    let wait = min.saturating_mul(1 << (used - 1).min(16)).min(max);
    warn!(actor = card.name(), %reason, ?wait, "actor died, restarting it");
    card.restarting(reason);
    myself.send_after(wait, move || Msg::Respawn(index));
    Ok(())
}

/// Stops children one after the other, last first, each with its `post_stop`. A parent that merely stops kills them.
async fn stop_in_reverse(children: &[ChildSpec], running: &mut [Option<ActorCell>]) {
    for (child, cell) in children.iter().zip(running.iter_mut()).rev() {
        let Some(cell) = cell.take() else { continue };
        // Taken from the supervisor first: its end is wanted, and no reason for a restart.
        if cell.stop_and_wait(Some("stopped by its supervisor".to_owned()), Some(CHILD_STOP_TIMEOUT)).await.is_err() {
            warn!(actor = child.card.name(), "actor did not stop in time, killing it");
            cell.kill();
        }
        child.card.stopped();
    }
}

/// Makes a nested supervisor a child.
pub fn supervisor(spec: SupervisorSpec) -> ChildSpec {
    let SupervisorSpec { card, budget, backoff, children } = spec;
    for child in &children {
        card.add_child(child.card.clone());
    }
    let shared = card.clone();
    let start: StartFn = Arc::new(move |parent| {
        let arguments = Arguments { card: shared.clone(), budget, backoff, children: children.clone() };
        Box::pin(async move {
            let name = Some(arguments.card.name().to_owned());
            let (actor, _) = Actor::spawn_linked(name, Supervisor, arguments, parent).await?;
            Ok(actor.get_cell())
        })
    });
    ChildSpec { card, start }
}

/// A started tree.
pub struct Root {
    /// Its card.
    pub card: Arc<ActorCard>,
    top: ActorRef<TopMsg>,
    gave_up: watch::Receiver<Option<String>>,
}

impl Root {
    /// Waits until the tree has given up, and returns the reason: the budget at its top is spent.
    pub async fn gave_up(&self) -> String {
        let mut gave_up = self.gave_up.clone();
        let reason = gave_up.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            // The sender lives as long as the tree: it was stopped, and will never give up.
            None => std::future::pending().await,
        }
    }

    /// Stops the tree, children in reverse order; what has not stopped after `timeout` is killed.
    pub async fn stop(&self, timeout: Duration) {
        if self.top.stop_and_wait(None, Some(timeout)).await.is_err() {
            warn!(tree = self.card.name(), "the tree did not stop in time, killing it");
            self.top.kill();
        }
    }
}

/// Starts a tree.
///
/// # Errors
/// When a child does not start; those before it are stopped again.
pub async fn start(spec: SupervisorSpec) -> Result<Root, SpawnErr> {
    let child = supervisor(spec);
    let card = child.card.clone();
    let (gave_up_sender, gave_up) = watch::channel(None);
    let (top, _) = Actor::spawn(None, Top, (child, gave_up_sender)).await?;
    Ok(Root { card, top, gave_up })
}

/// What stands above a tree: it only hears of its end.
struct Top;
struct TopState {
    tree: ActorCell,
    card: Arc<ActorCard>,
    gave_up: watch::Sender<Option<String>>,
}
enum TopMsg {}

impl Actor for Top {
    type Msg = TopMsg;
    type State = TopState;
    type Arguments = (ChildSpec, watch::Sender<Option<String>>);

    async fn pre_start(
        &self,
        me: ActorRef<TopMsg>,
        (child, gave_up): Self::Arguments,
    ) -> Result<TopState, ActorProcessingErr> {
        let tree = (child.start)(me.get_cell()).await?;
        Ok(TopState { tree, card: child.card, gave_up })
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<TopMsg>,
        event: SupervisionEvent,
        state: &mut TopState,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            error!(tree = state.card.name(), %error, "the tree gave up");
            state.card.failed(error.to_string());
            let _ = state.gave_up.send(Some(error.to_string()));
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<TopMsg>, state: &mut TopState) -> Result<(), ActorProcessingErr> {
        // A tree that has given up is gone already, and that is fine.
        let _ = state.tree.stop_and_wait(None, None).await;
        Ok(())
    }
}
