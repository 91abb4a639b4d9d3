//! The supervisor: one-for-one restarts, with a budget and a back-off.
//!
//! A panic, an error, an unrequested end and a failed restart all count as a death. Children stop in reverse start
//! order; each finishes its mailbox and runs its `post_stop`. Without this, ractor kills the children of a stopping
//! actor.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use super::{ActorEntry, Backoff, Budget, ChildSpec, StartFn, SupervisorSpec};

/// How long a child may take to stop before it is killed; the whole tree has the limit of
/// [`Root::stop`](super::Root::stop).
const CHILD_STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The same limit once the supervisor has given up: a hanging child must not delay the level above.
const ORPHAN_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a child may take to start. A start is handled like any message, so it blocks the supervisor.
const CHILD_START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a killed child may take to end. It ends at its next await.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// Turns a supervisor into a child of another supervisor or of the root.
pub fn supervisor(spec: SupervisorSpec) -> ChildSpec {
    let SupervisorSpec { entry, budget, backoff, children } = spec;
    for child in &children {
        entry.add_child(child.entry.clone());
    }
    let shared = entry.clone();
    let start: StartFn = Arc::new(move |parent| {
        let arguments = Arguments { entry: shared.clone(), budget, backoff, children: children.clone() };
        Box::pin(async move {
            let name = Some(arguments.entry.name().to_owned());
            let (actor, _) = Actor::spawn_linked(name, Supervisor, arguments, parent).await?;
            Ok(actor.get_cell())
        })
    });
    ChildSpec { entry, start }
}

struct Supervisor;

struct Arguments {
    entry: Arc<ActorEntry>,
    budget: Budget,
    backoff: Backoff,
    children: Vec<ChildSpec>,
}

struct State {
    arguments: Arguments,
    /// Running children by index; `None` while a child waits for its restart.
    running: Vec<Option<ActorCell>>,
    /// Times of the children's deaths within the window of the budget.
    deaths: VecDeque<Instant>,
}

enum Msg {
    /// The back-off of the child with this index has passed.
    RestartDue(usize),
}

impl Actor for Supervisor {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<Msg>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        let mut running = Vec::with_capacity(arguments.children.len());
        for child in &arguments.children {
            match start(child, &myself).await {
                Ok(cell) => running.push(Some(cell)),
                Err(reason) => {
                    stop_in_reverse(&arguments.children, &mut running, ORPHAN_STOP_TIMEOUT).await;
                    return Err(format!("{} {reason}", child.entry.name()).into());
                }
            }
        }
        arguments.entry.started();
        Ok(State { arguments, running, deaths: VecDeque::new() })
    }

    async fn handle(&self, myself: ActorRef<Msg>, message: Msg, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.arguments.entry.handled();
        let Msg::RestartDue(index) = message;
        let child = &state.arguments.children[index];
        match start(child, &myself).await {
            Ok(cell) => {
                let (actor, restarts) = (child.entry.name(), child.entry.restarts());
                info!(actor, restarts, "actor restarted");
                state.running[index] = Some(cell);
                Ok(())
            }
            Err(reason) => child_died(&myself, state, index, reason).await,
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
                (who, reason.unwrap_or_else(|| "ended unexpectedly".to_owned()))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        state.arguments.entry.handled();
        let is_who = |cell: &Option<ActorCell>| cell.as_ref().is_some_and(|cell| cell.get_id() == who.get_id());
        match state.running.iter().position(is_who) {
            Some(index) => {
                state.running[index] = None;
                child_died(&myself, state, index, reason).await
            }
            None => Ok(()),
        }
    }

    async fn post_stop(&self, _: ActorRef<Msg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        stop_in_reverse(&state.arguments.children, &mut state.running, CHILD_STOP_TIMEOUT).await;
        state.arguments.entry.stopped();
        Ok(())
    }
}

async fn start(child: &ChildSpec, supervisor: &ActorRef<Msg>) -> Result<ActorCell, String> {
    match timeout(CHILD_START_TIMEOUT, (child.start)(supervisor.get_cell())).await {
        Ok(Ok(cell)) => {
            child.entry.started();
            Ok(cell)
        }
        Ok(Err(error)) => Err(format!("did not start: {error}")),
        Err(_) => Err(format!("did not start within {CHILD_START_TIMEOUT:?}")),
    }
}

/// Schedules a restart. If the budget is spent, stops the other children and fails the supervisor itself.
async fn child_died(
    myself: &ActorRef<Msg>,
    state: &mut State,
    index: usize,
    reason: String,
) -> Result<(), ActorProcessingErr> {
    let Arguments { budget, backoff, children, .. } = &state.arguments;
    let entry = &children[index].entry;
    let now = Instant::now();
    state.deaths.push_back(now);
    while state.deaths.front().is_some_and(|at| now.duration_since(*at) > budget.within) {
        state.deaths.pop_front();
    }
    let deaths = u32::try_from(state.deaths.len()).unwrap_or(u32::MAX);
    if deaths <= budget.max_restarts {
        let wait = backoff.before_restart(deaths);
        warn!(actor = entry.name(), %reason, ?wait, "actor died, restarting it");
        entry.restarting(reason);
        myself.send_after(wait, move || Msg::RestartDue(index));
        return Ok(());
    }
    error!(actor = entry.name(), %reason, "actor died, and its supervisor's restart budget is spent");
    let Budget { max_restarts, within } = *budget;
    let summary =
        format!("{} died, the budget of {max_restarts} restarts within {within:?} is spent: {reason}", entry.name());
    entry.failed(reason);
    // Otherwise ractor would kill them, and their names might still be in use when they are started again.
    stop_in_reverse(children, &mut state.running, ORPHAN_STOP_TIMEOUT).await;
    Err(summary.into())
}

/// Stops children one after the other, in reverse order.
async fn stop_in_reverse(children: &[ChildSpec], running: &mut [Option<ActorCell>], limit: Duration) {
    for (child, cell) in children.iter().zip(running.iter_mut()).rev() {
        // Taken out first, so that this requested end does not cause a restart.
        let Some(cell) = cell.take() else { continue };
        // An actor that has already ended returns an error too.
        if cell.drain_and_wait(Some(limit)).await.is_err() && cell.get_status() != ActorStatus::Stopped {
            warn!(actor = child.entry.name(), ?limit, "actor did not stop in time, killing it");
            let _ = cell.kill_and_wait(Some(KILL_TIMEOUT)).await;
        }
        child.entry.stopped();
    }
}
