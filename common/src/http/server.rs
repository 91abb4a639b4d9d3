//! The front as an actor: its task serves, and if that ends unasked the actor dies and is restarted on the same listener.
//! When it is told to stop, the listener is closed.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Front, serve};
use crate::supervision::{ActorCard, ChildSpec, Handle, child};

/// Makes the child that serves a front on a listener, which it keeps across restarts.
pub fn server(card: Arc<ActorCard>, front: Front, listener: TcpListener) -> ChildSpec {
    let (shared, listener) = (card.clone(), Kept(Arc::new(Mutex::new(Some(Arc::new(listener))))));
    child(card, Handle::new(), move || {
        (Server, ServerArgs { card: shared.clone(), front: front.clone(), listener: listener.clone() })
    })
}

/// The listener between two lives of the actor, until a stop. Clones share it.
#[derive(Clone)]
struct Kept(Arc<Mutex<Option<Arc<TcpListener>>>>);

impl Kept {
    fn get(&self) -> Option<Arc<TcpListener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves it to whoever serves on it, and closes it with that.
    fn let_go(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The actor.
struct Server;

/// What it starts with.
struct ServerArgs {
    card: Arc<ActorCard>,
    front: Front,
    listener: Kept,
}

/// The serving task ended.
struct Ended;

/// What it keeps.
struct ServerState {
    listener: Kept,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl Actor for Server {
    type Msg = Ended;
    type State = ServerState;
    type Arguments = ServerArgs;

    async fn pre_start(&self, myself: ActorRef<Ended>, args: ServerArgs) -> Result<ServerState, ActorProcessingErr> {
        let listener = args.listener.get().ok_or("the listener is closed")?;
        let address = listener.local_addr()?.to_string();
        args.card.set_state(move || json!({ "address": address }));
        let stop = CancellationToken::new();
        let served = serve(args.front, listener, stop.clone());
        let serving = tokio::spawn(async move {
            served.await;
            let _ = myself.cast(Ended);
        });
        Ok(ServerState { listener: args.listener, stop, serving: Some(serving) })
    }

    async fn handle(&self, _: ActorRef<Ended>, _: Ended, _: &mut ServerState) -> Result<(), ActorProcessingErr> {
        Err("the accept loop ended".into())
    }

    async fn post_stop(&self, _: ActorRef<Ended>, state: &mut ServerState) -> Result<(), ActorProcessingErr> {
        state.listener.let_go();
        state.stop.cancel();
        if let Some(serving) = state.serving.take() {
            serving.await?;
        }
        Ok(())
    }
}
