//! The front as an actor: its task serves, and if that ends unasked the actor dies and is restarted on the same listener.

use std::sync::Arc;

use common::{
    http::{Front, serve},
    supervision::ActorCard,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The actor.
pub(crate) struct Server;

/// What it starts with.
pub(crate) struct ServerArgs {
    pub(crate) card: Arc<ActorCard>,
    pub(crate) front: Front,
    pub(crate) listener: Arc<TcpListener>,
}

/// The serving task ended.
pub(crate) struct Ended;

/// What it keeps.
pub(crate) struct ServerState {
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl Actor for Server {
    type Msg = Ended;
    type State = ServerState;
    type Arguments = ServerArgs;

    async fn pre_start(&self, myself: ActorRef<Ended>, args: ServerArgs) -> Result<ServerState, ActorProcessingErr> {
        let address = args.listener.local_addr()?.to_string();
        args.card.set_state(move || json!({ "address": address }));
        let stop = CancellationToken::new();
        let served = serve(args.front, args.listener, stop.clone());
        let serving = tokio::spawn(async move {
            served.await;
            let _ = myself.cast(Ended);
        });
        Ok(ServerState { stop, serving: Some(serving) })
    }

    async fn handle(&self, _: ActorRef<Ended>, _: Ended, _: &mut ServerState) -> Result<(), ActorProcessingErr> {
        Err("the accept loop ended".into())
    }

    async fn post_stop(&self, _: ActorRef<Ended>, state: &mut ServerState) -> Result<(), ActorProcessingErr> {
        state.stop.cancel();
        if let Some(serving) = state.serving.take() {
            serving.await?;
        }
        Ok(())
    }
}
