//! The shelf-keeper: an actor that keeps the memory of the catalog fresh.
//!
//! ```text
//! Refresh ─► spawned read ─► Refreshed ─► Memory ─► (refresh_ms later) Refresh
//! ```
//! A failed read leaves the memory as it is: stale products are better than none.

use std::time::Duration;

use common::{
    group_commit::{BatchSender, ReadError},
    supervision::ActorEntry,
    wire::catalog::Product,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use std::sync::Arc;
use tracing::warn;

use super::{ShelfWriter, memory::Memory, table};

pub(super) struct ShelfKeeper;

/// The actor's arguments, kept in its state.
pub(super) struct ShelfKeeperArgs {
    pub(super) entry: Arc<ActorEntry>,
    pub(super) ledger: BatchSender<ShelfWriter>,
    pub(super) memory: Memory,
    pub(super) refresh_every: Duration,
}

pub(super) enum ShelfKeeperMsg {
    /// Start a read of the products.
    Refresh,
    /// Result of the read.
    Refreshed(Result<Vec<Product>, ReadError>),
}

/// The state holds whether the last read worked, so that an outage is logged once and not at every refresh.
pub(super) struct ShelfKeeperState {
    args: ShelfKeeperArgs,
    last_read: LastRead,
}

#[derive(PartialEq, Eq)]
enum LastRead {
    Worked,
    Failed,
}

impl Actor for ShelfKeeper {
    type Msg = ShelfKeeperMsg;
    type State = ShelfKeeperState;
    type Arguments = ShelfKeeperArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ShelfKeeperMsg>,
        args: ShelfKeeperArgs,
    ) -> Result<ShelfKeeperState, ActorProcessingErr> {
        let memory = args.memory.clone();
        args.entry.set_state(move || match memory.snapshot().map(|snapshot| snapshot.counts()) {
            None => json!({ "products": null }),
            Some((products, available)) => json!({ "products": products, "available": available }),
        });
        myself.cast(ShelfKeeperMsg::Refresh)?;
        Ok(ShelfKeeperState { args, last_read: LastRead::Worked })
    }

    async fn handle(
        &self,
        myself: ActorRef<ShelfKeeperMsg>,
        message: ShelfKeeperMsg,
        state: &mut ShelfKeeperState,
    ) -> Result<(), ActorProcessingErr> {
        state.args.entry.handled();
        match message {
            ShelfKeeperMsg::Refresh => refresh(myself, state),
            ShelfKeeperMsg::Refreshed(read) => refreshed(myself, state, read),
        }
        Ok(())
    }
}

fn refresh(myself: ActorRef<ShelfKeeperMsg>, state: &ShelfKeeperState) {
    let ledger = state.args.ledger.clone();
    tokio::spawn(async move {
        let read = ledger.read(|connection| Box::pin(table::active(connection))).await;
        // The actor may have stopped with the service; then the result is dropped.
        let _ = myself.cast(ShelfKeeperMsg::Refreshed(read));
    });
}

fn refreshed(myself: ActorRef<ShelfKeeperMsg>, state: &mut ShelfKeeperState, read: Result<Vec<Product>, ReadError>) {
    match read {
        Ok(products) => {
            state.args.memory.replace(products);
            state.last_read = LastRead::Worked;
        }
        Err(error) => {
            if state.last_read == LastRead::Worked {
                warn!(%error, "products cannot be read; the catalog keeps serving those in memory");
            }
            state.last_read = LastRead::Failed;
        }
    }
    // Armed after each read, not by an interval, so that slow reads never fill the mailbox.
    myself.send_after(state.args.refresh_every, || ShelfKeeperMsg::Refresh);
}
