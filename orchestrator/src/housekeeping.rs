//! Housekeeping: what is kept for a while only, in small batches, so that no purchase ever waits for it.
//!
//! | what | when | what is left |
//! |---|---|---|
//! | events | older than `events_keep_ms` | the horizon, by which a listener that comes back is told of the gap |
//! | details of a saga | `retention_days` after its end | a slim row: its status is answered in brief for ever |
//! | an idempotency key | `key_keep_ms` after its saga's end, where retention is on | – |
//!
//! Every node keeps house; rows that another one has are skipped. The journals of the participants are never pruned: a
//! repeat of an old call must find its decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::config::OrchestratorSettings;
use common::group_commit::{Ledger, ReadError};
use common::supervision::{ActorCard, ChildSpec, Handle, child};
use metrics::Gauge;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use tracing::{info, warn};

use crate::checkout;
use crate::meters;
use crate::store::writer::SagaLogWriter;
use crate::store::{events, flags, retention};

/// The rest between two rounds.
const EVERY: Duration = Duration::from_secs(1);
/// The rest while there is more to be pruned: events come in as fast as sagas run.
const EVERY_WHILE_BEHIND: Duration = Duration::from_millis(100);

/// What housekeeping is made of.
#[derive(Clone)]
pub(crate) struct HousekeepingArguments {
    pub(crate) card: Arc<ActorCard>,
    pub(crate) saga_log: Ledger<SagaLogWriter>,
    pub(crate) rules: Rules,
}

/// How long what is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    events_keep_ms: i64,
    retention: Option<Retention>,
}

#[derive(Clone, Copy, Debug)]
struct Retention {
    days: i32,
    key_keep_ms: i64,
}

impl Rules {
    pub(crate) fn of(settings: &OrchestratorSettings) -> Rules {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let retention = Retention {
            days: i32::try_from(settings.retention_days).unwrap_or(i32::MAX),
            key_keep_ms: ms(settings.key_keep_ms),
        };
        Rules { events_keep_ms: ms(settings.events_keep_ms), retention: (retention.days > 0).then_some(retention) }
    }
}

struct Housekeeping;

enum HousekeepingMsg {
    Round,
    Done(Result<Round, ReadError>),
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    pruned: u64,
    cleared: u64,
    released: u64,
    /// Sagas that a person must look at. Not kept house with, but counted here: every second, on every node.
    attention: i64,
}

/// What all rounds did, across restarts.
#[derive(Default)]
struct Totals {
    pruned: AtomicU64,
    cleared: AtomicU64,
    released: AtomicU64,
}

struct State {
    arguments: HousekeepingArguments,
    totals: Arc<Totals>,
    /// Whether what another server's dump brought has been looked for.
    looked_for_another_life: bool,
    /// Whether the last round worked, so that an outage is logged once.
    works: bool,
    attention: Gauge,
}

/// Makes housekeeping a child.
pub(crate) fn housekeeping(arguments: HousekeepingArguments) -> ChildSpec {
    let totals = Arc::new(Totals::default());
    let shown = totals.clone();
    arguments.card.set_state(move || {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "events_pruned": of(&shown.pruned),
            "sagas_cleared": of(&shown.cleared),
            "keys_released": of(&shown.released),
        })
    });
    child(arguments.card.clone(), Handle::new(), move || (Housekeeping, (arguments.clone(), totals.clone())))
}

impl Actor for Housekeeping {
    type Msg = HousekeepingMsg;
    type State = State;
    type Arguments = (HousekeepingArguments, Arc<Totals>);

    async fn pre_start(
        &self,
        me: ActorRef<HousekeepingMsg>,
        (arguments, totals): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        me.cast(HousekeepingMsg::Round)?;
        Ok(State { arguments, totals, looked_for_another_life: false, works: true, attention: meters::attention() })
    }

    async fn handle(
        &self,
        me: ActorRef<HousekeepingMsg>,
        message: HousekeepingMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.card.handled();
        match message {
            HousekeepingMsg::Round => begin(me, state),
            HousekeepingMsg::Done(round) => done(&me, state, round),
        }
        Ok(())
    }
}

fn begin(me: ActorRef<HousekeepingMsg>, state: &State) {
    let (saga_log, rules, is_first) =
        (state.arguments.saga_log.clone(), state.arguments.rules, !state.looked_for_another_life);
    tokio::spawn(async move {
        let round = saga_log
            .read(move |connection| {
                Box::pin(async move {
                    let first = if is_first { First::Yes } else { First::No };
                    round(connection, rules, first).await
                })
            })
            .await;
        let _ = me.cast(HousekeepingMsg::Done(round));
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Yes,
    No,
}

async fn round(
    connection: &mut common::db::Connection,
    rules: Rules,
    first: First,
) -> Result<Round, tokio_postgres::Error> {
    let mut round = Round::default();
    if first == First::Yes {
        let foreign = events::forget_another_life(connection).await?;
        if foreign > 0 {
            warn!(events = foreign, "events of another server were dropped: this database was restored from a dump");
        }
    }
    round.attention = flags::attention_count(connection).await?.sagas;
    round.pruned = events::prune(connection, rules.events_keep_ms).await?;
    if let Some(Retention { days, key_keep_ms }) = rules.retention {
        round.cleared = retention::clear(connection, days, &checkout::in_brief()).await?;
        round.released = retention::release_keys(connection, key_keep_ms).await?;
    }
    Ok(round)
}

fn done(me: &ActorRef<HousekeepingMsg>, state: &mut State, round: Result<Round, ReadError>) {
    let mut rest = EVERY;
    match round {
        Ok(Round { pruned, cleared, released, attention }) => {
            state.attention.set(attention as f64);
            (state.looked_for_another_life, state.works) = (true, true);
            let Totals { pruned: all_pruned, cleared: all_cleared, released: all_released } = &*state.totals;
            all_pruned.fetch_add(pruned, Ordering::Relaxed);
            all_cleared.fetch_add(cleared, Ordering::Relaxed);
            all_released.fetch_add(released, Ordering::Relaxed);
            if cleared + released > 0 {
                info!(cleared, released, "old sagas are kept in brief now");
            }
            if pruned == events::PRUNE_BATCH {
                rest = EVERY_WHILE_BEHIND;
            }
        }
        Err(error) => {
            if state.works {
                warn!(%error, "housekeeping has to wait");
            }
            state.works = false;
        }
    }
    me.send_after(rest, || HousekeepingMsg::Round);
}
