//! The front as an actor: its task serves requests; if it ends unexpectedly, the actor dies and restarts on the same
//! listener. On a stop, the listener is closed.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{HttpService, serve};
use crate::supervision::{ActorEntry, ChildSpec, Handle, child};

/// Creates the child that serves a front on a listener, which it keeps across restarts.
pub fn server(entry: Arc<ActorEntry>, front: HttpService, listener: TcpListener) -> ChildSpec {
    let (shared, listener) = (entry.clone(), Arc::new(ArcSwapOption::from_pointee(listener)));
    child(entry, Handle::new(), move || {
        (Server, ServerArgs { entry: shared.clone(), front: front.clone(), listener: listener.clone() })
    })
}

/// The listener, kept between restarts until a stop.
type Kept = Arc<ArcSwapOption<TcpListener>>;

struct Server;

struct ServerArgs {
    entry: Arc<ActorEntry>,
    front: HttpService,
    listener: Kept,
}

/// The serving task has ended.
struct Ended;

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
        let listener = args.listener.load_full().ok_or("the listener is closed")?;
        let address = listener.local_addr()?.to_string();
        args.entry.set_state(move || json!({ "address": address }));
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
        // The listener closes when the serving task drops its own reference.
        state.listener.store(None);
        state.stop.cancel();
        if let Some(serving) = state.serving.take() {
            serving.await?;
        }
        Ok(())
    }
}
