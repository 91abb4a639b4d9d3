//! Sagas without progress: counted as a metric, and logged once for each stall.
//!
//! Progress is an event in a saga's log. A saga that backs off or is parked makes progress with every attempt; a saga
//! whose call never ends, or whose write is never confirmed, makes none.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation::supervision::{ActorEntry, ChildSpec, Handle, child};
use metrics::gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::time::Instant;
use tracing::warn;

use crate::SagaId;
use crate::running::{Running, RunningSaga};

/// Maximum number of sagas logged at once; the others are only counted.
const NAMED: usize = 10;

/// Arguments of the stall watch.
#[derive(Clone)]
pub struct StallArguments {
    /// The actor's entry in the actor tree.
    pub entry: Arc<ActorEntry>,
    /// The sagas that run in this process.
    pub running: Arc<Running>,
    /// Time without an event after which a saga counts as stalled.
    pub after: Duration,
}

struct Watch;

struct State {
    arguments: StallArguments,
    /// Stalled sagas that were logged already.
    named: HashSet<SagaId>,
    count: Arc<AtomicUsize>,
}

struct Look;

/// Returns the child specification of the stall watch.
pub fn stall_watch(arguments: StallArguments) -> ChildSpec {
    child(arguments.entry.clone(), Handle::new(), move || (Watch, arguments.clone()))
}

impl Actor for Watch {
    type Msg = Look;
    type State = State;
    type Arguments = StallArguments;

    async fn pre_start(&self, me: ActorRef<Look>, arguments: StallArguments) -> Result<State, ActorProcessingErr> {
        let count = Arc::new(AtomicUsize::new(0));
        let shown = count.clone();
        arguments.entry.set_state(move || json!({ "stalled": shown.load(Ordering::Relaxed) }));
        me.cast(Look)?;
        Ok(State { arguments, named: HashSet::new(), count })
    }

    async fn handle(&self, me: ActorRef<Look>, _: Look, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.arguments.entry.handled();
        look(state);
        let every = (state.arguments.after / 4).clamp(Duration::from_millis(100), Duration::from_secs(10));
        me.send_after(every, || Look);
        Ok(())
    }
}

fn look(state: &mut State) {
    let after = state.arguments.after;
    let now = Instant::now();
    let stalled: Vec<(Arc<RunningSaga>, Duration)> = state
        .arguments
        .running
        .all()
        .into_iter()
        .filter_map(|saga| {
            let silence = now.saturating_duration_since(saga.progress().changed_at);
            (silence >= after).then_some((saga, silence))
        })
        .collect();
    gauge!("sagas_stalled").set(stalled.len() as f64);
    state.count.store(stalled.len(), Ordering::Relaxed);
    let new: Vec<_> = stalled.iter().filter(|(saga, _)| !state.named.contains(&saga.id)).collect();
    for (saga, silence) in new.iter().take(NAMED) {
        let waiting_for = saga.progress().waiting_for.describe();
        warn!(saga.id = %saga.id, ?silence, %waiting_for, "a saga makes no progress");
    }
    if new.len() > NAMED {
        warn!(sagas = new.len() - NAMED, "more sagas make no progress");
    }
    state.named = stalled.iter().map(|(saga, _)| saga.id).collect();
}
