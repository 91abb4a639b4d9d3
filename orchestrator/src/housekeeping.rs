//! Housekeeping: deletes data whose retention is over, in small batches, so that no purchase waits for it.
//!
//! | data | when | left |
//! |---|---|---|
//! | events | older than `events_keep_ms`, or from another server's dump | the horizon, which reveals the gap to a listener that reconnects |
//! | details of a saga | `retention_days` after its end | a slim row in `saga_brief`: its status stays available, in brief |
//! | an idempotency key | `key_keep_ms` after its saga's end, if retention is on | – |
//!
//! Every node runs it. Rows locked by another node are skipped, and a failed part does not stop the others. The
//! journals of the participants are never pruned: a repeat of an old call must find its decision.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::config::OrchestratorSettings;
use common::db::Connection;
use common::group_commit::BatchSender;
use common::supervision::{ActorEntry, ChildSpec, Periodic, every};
use metrics::Gauge;
use parking_lot::Mutex;
use serde_json::json;
use tracing::{debug, warn};

use crate::checkout::output;
use crate::meters;
use crate::store::retention::InBrief;
use crate::store::writer::SagaLogWriter;
use crate::store::{flags, retention, row_text};

/// Pause between two rounds.
const EVERY: Duration = Duration::from_secs(1);
/// Pause while there is a backlog: events arrive as fast as sagas run, and sagas come of age as fast as they once ended.
const EVERY_WHILE_BEHIND: Duration = Duration::from_millis(100);

/// Pause between two looks at the partitions: they lock tables that purchases use, though not for long.
const EVERY_FOR_MONTHS: Duration = Duration::from_secs(60);

/// Retention times.
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

/// A task within a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Counts the attention list: every second, on every node.
    Attention,
    /// Drops the events of another server.
    ForeignEvents,
    /// Prunes old events.
    OldEvents,
    /// Clears the details of old sagas.
    Details,
    /// Releases the keys of old sagas.
    Keys,
    /// Makes and drops the partitions of ended sagas.
    Months,
}

const PARTS: [Part; 6] =
    [Part::Attention, Part::ForeignEvents, Part::OldEvents, Part::Details, Part::Keys, Part::Months];

impl Part {
    /// Runs this part in one batch and returns the number of rows affected.
    async fn run(self, connection: &mut Connection, rules: Rules) -> Result<u64, tokio_postgres::Error> {
        match (self, rules.retention) {
            (Part::Attention, _) => Ok(flags::attention_count(connection).await?.sagas.unsigned_abs()),
            (Part::ForeignEvents, _) => retention::forget_another_life(connection).await,
            (Part::OldEvents, _) => retention::prune(connection, rules.events_keep_ms).await,
            (Part::Details, Some(Retention { days, .. })) => {
                retention::clear(connection, days, &purchase_in_brief()).await
            }
            (Part::Keys, Some(Retention { key_keep_ms, .. })) => retention::release_keys(connection, key_keep_ms).await,
            (Part::Details | Part::Keys, None) => Ok(0),
            (Part::Months, _) => retention::months(connection).await.map(|()| 0),
        }
    }

    /// Returns whether a batch of this number of rows leaves some.
    fn progress(self, rows: u64) -> Progress {
        let batch = match self {
            Part::ForeignEvents | Part::OldEvents => retention::PRUNE_BATCH,
            Part::Details | Part::Keys => retention::CLEAR_BATCH,
            Part::Attention | Part::Months => return Progress::UpToDate,
        };
        if rows == batch { Progress::MoreToDo } else { Progress::UpToDate }
    }
}

/// Totals of all rounds.
#[derive(Default)]
struct Totals {
    pruned: AtomicU64,
    /// Events of another server dropped since the last log line.
    dropped: AtomicU64,
    cleared: AtomicU64,
    released: AtomicU64,
    /// Count of the last round.
    attention: AtomicU64,
}

struct Housekeeping {
    saga_log: BatchSender<SagaLogWriter>,
    rules: Rules,
    totals: Arc<Totals>,
    /// The parts that failed in the last round, so that an outage is logged once.
    failing: Mutex<BTreeSet<Part>>,
    /// When partitions were looked at for the last time.
    months_at: Mutex<Option<Instant>>,
    attention: Gauge,
}

pub(crate) fn housekeeping(entry: Arc<ActorEntry>, saga_log: BatchSender<SagaLogWriter>, rules: Rules) -> ChildSpec {
    let totals = Arc::new(Totals::default());
    let shown = totals.clone();
    entry.set_state(move || {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "events_pruned": of(&shown.pruned),
            "sagas_cleared": of(&shown.cleared),
            "keys_released": of(&shown.released),
            "sagas_in_attention": of(&shown.attention),
        })
    });
    let (failing, months_at) = (Mutex::default(), Mutex::default());
    let attention = meters::attention();
    every(entry, Duration::ZERO, Housekeeping { saga_log, rules, totals, failing, months_at, attention })
}

impl Periodic for Housekeeping {
    async fn run(&self) -> Duration {
        let (mut rest, rules) = (EVERY, self.rules);
        for part in PARTS {
            if part == Part::Months && !self.months_are_due() {
                continue;
            }
            let done = self.saga_log.read(move |connection| Box::pin(part.run(connection, rules))).await;
            let mut failing = self.failing.lock();
            match done {
                Ok(rows) => {
                    failing.remove(&part);
                    if counted(self, part, rows) == Progress::MoreToDo {
                        rest = EVERY_WHILE_BEHIND;
                    }
                }
                Err(error) => {
                    if failing.insert(part) {
                        warn!(?part, %error, "a part of housekeeping failed and is retried");
                    }
                }
            }
        }
        rest
    }
}

impl Housekeeping {
    fn months_are_due(&self) -> bool {
        let mut last = self.months_at.lock();
        let is_due = last.is_none_or(|last| last.elapsed() >= EVERY_FOR_MONTHS);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

/// Whether a part has rows left to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    UpToDate,
    MoreToDo,
}

fn counted(state: &Housekeeping, part: Part, rows: u64) -> Progress {
    let Totals { pruned, dropped, cleared, released, attention } = &*state.totals;
    match part {
        Part::Attention => {
            attention.store(rows, Ordering::Relaxed);
            state.attention.set(rows as f64);
        }
        Part::ForeignEvents => {
            dropped.fetch_add(rows, Ordering::Relaxed);
            if rows < retention::PRUNE_BATCH {
                let events = dropped.swap(0, Ordering::Relaxed);
                if events > 0 {
                    warn!(events, "events of another server were dropped: this database was restored from a dump");
                }
            }
        }
        Part::OldEvents => _ = pruned.fetch_add(rows, Ordering::Relaxed),
        Part::Details => _ = cleared.fetch_add(rows, Ordering::Relaxed),
        Part::Keys => _ = released.fetch_add(rows, Ordering::Relaxed),
        Part::Months => {}
    }
    if rows > 0 && matches!(part, Part::Details | Part::Keys) {
        debug!(?part, rows, "old sagas were reduced");
    }
    part.progress(rows)
}

/// Returns the outputs that a purchase keeps when its details are cleared. The remaining quantity is kept only if the
/// stock was not given back.
fn purchase_in_brief() -> InBrief {
    InBrief {
        names: vec![output::PRODUCT_ID, output::PAYMENT_ID, output::PURCHASE_ID, output::REMAINING_QUANTITY],
        only_if: row_text::marks_of("decrease", "inventory", "done")
            .into_iter()
            .map(|mark| (output::REMAINING_QUANTITY, mark))
            .collect(),
        added: ["unknown", "compensating"]
            .into_iter()
            .flat_map(|state| row_text::marks_of("decrease", "inventory", state))
            .map(|mark| (output::STOCK_IS_UNKNOWN, mark))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_batch_leaves_more_to_do() {
        for (part, batch) in
            [(Part::ForeignEvents, 2_000), (Part::OldEvents, 2_000), (Part::Details, 500), (Part::Keys, 500)]
        {
            assert_eq!([batch - 1, batch].map(|rows| part.progress(rows)), [Progress::UpToDate, Progress::MoreToDo]);
        }
        assert_eq!(Part::Attention.progress(2_000), Progress::UpToDate, "a count");
    }
}
