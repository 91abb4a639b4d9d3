//! The root: starts and stops a tree, and is notified when the tree gives up.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, SpawnErr, SupervisionEvent};
use tokio::sync::watch;
use tracing::{error, warn};

use super::{ActorEntry, ChildSpec, SupervisorSpec, supervisor};

/// A started tree. It runs until [`Root::stop`], even if this value is dropped.
pub struct Root {
    /// The entry of the tree's top supervisor.
    pub entry: Arc<ActorEntry>,
    guardian: ActorRef<NoMessage>,
    gave_up: watch::Receiver<Option<String>>,
}

impl Root {
    /// Waits until the tree gives up, because the budget of its top supervisor is spent, and returns the reason. For a
    /// tree that is stopped it never returns.
    pub async fn gave_up(&self) -> String {
        let mut gave_up = self.gave_up.clone();
        let reason = gave_up.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Stops the tree, children in reverse order, and kills the rest after `timeout`.
    pub async fn stop(&self, timeout: Duration) {
        if self.guardian.stop_and_wait(None, Some(timeout)).await.is_err()
            && self.guardian.get_status() != ActorStatus::Stopped
        {
            warn!(tree = self.entry.name(), ?timeout, "the supervision tree did not stop in time, killing it");
            self.guardian.kill();
        }
    }
}

/// Starts a tree.
///
/// # Errors
/// If a child does not start; children started before it are stopped again.
pub async fn start(spec: SupervisorSpec) -> Result<Root, SpawnErr> {
    let tree = supervisor(spec);
    let entry = tree.entry.clone();
    let (tell, gave_up) = watch::channel(None);
    let (guardian, _) = Actor::spawn(None, Guardian, (tree, tell)).await?;
    Ok(Root { entry, guardian, gave_up })
}

struct Guardian;

enum NoMessage {}

struct State {
    tree: ActorCell,
    entry: Arc<ActorEntry>,
    gave_up: watch::Sender<Option<String>>,
}

impl Actor for Guardian {
    type Msg = NoMessage;
    type State = State;
    type Arguments = (ChildSpec, watch::Sender<Option<String>>);

    async fn pre_start(
        &self,
        myself: ActorRef<NoMessage>,
        (tree, gave_up): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let cell = (tree.start)(myself.get_cell()).await?;
        Ok(State { tree: cell, entry: tree.entry, gave_up })
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<NoMessage>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let reason = match event {
            SupervisionEvent::ActorFailed(_, error) => error.to_string(),
            SupervisionEvent::ActorTerminated(_, _, reason) => {
                reason.unwrap_or_else(|| "the supervision tree ended unexpectedly".to_owned())
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        error!(tree = state.entry.name(), %reason, "the supervision tree gave up");
        state.entry.failed(reason.clone());
        state.gave_up.send_replace(Some(reason));
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<NoMessage>, state: &mut State) -> Result<(), ActorProcessingErr> {
        // Fails for a tree that has given up: it has already ended.
        let _ = state.tree.drain_and_wait(None).await;
        Ok(())
    }
}
