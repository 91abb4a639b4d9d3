//! Sagas that make no progress: counted for whoever watches the metrics, and named in the logs, each once a silence.
//!
//! Progress is an event in a saga's log. A saga that backs off, or is parked, makes some with every attempt; one that
//! waits for a call that never comes back, or for a write that is never known, makes none.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foundation::supervision::{ActorCard, ChildSpec, Handle, child};
use metrics::gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tokio::time::Instant;
use tracing::warn;

use crate::SagaId;
use crate::running::{Running, RunningSaga};

/// As many sagas as are named at once; the rest is a number.
const NAMED: usize = 10;

/// What the watch is made of.
#[derive(Clone)]
pub struct StallArguments {
    /// Its card.
    pub card: Arc<ActorCard>,
    /// What runs here.
    pub running: Arc<Running>,
    /// The silence after which a saga is called stalled.
    pub after: Duration,
}

struct Watch;

struct State {
    arguments: StallArguments,
    /// Those that were named in this silence of theirs.
    named: HashSet<SagaId>,
    count: Arc<AtomicUsize>,
}

struct Look;

/// Makes the watch a child.
pub fn stall_watch(arguments: StallArguments) -> ChildSpec {
    child(arguments.card.clone(), Handle::new(), move || (Watch, arguments.clone()))
}

impl Actor for Watch {
    type Msg = Look;
    type State = State;
    type Arguments = StallArguments;

    async fn pre_start(&self, me: ActorRef<Look>, arguments: StallArguments) -> Result<State, ActorProcessingErr> {
        let count = Arc::new(AtomicUsize::new(0));
        let shown = count.clone();
        arguments.card.set_state(move || json!({ "stalled": shown.load(Ordering::Relaxed) }));
        me.cast(Look)?;
        Ok(State { arguments, named: HashSet::new(), count })
    }

    async fn handle(&self, me: ActorRef<Look>, _: Look, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.arguments.card.handled();
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
        warn!(sagas = new.len() - NAMED, "and so do others");
    }
    state.named = stalled.iter().map(|(saga, _)| saga.id).collect();
}
