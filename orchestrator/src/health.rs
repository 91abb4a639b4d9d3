//! Health of the orchestrator, for `GET /health/`: its saga log, its lease, and the circuit breakers of the
//! participants. The check calls no participant; it reports what the breakers learned from purchases.

use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;
use common::db;
use common::group_commit::BatchSender;
use common::http::{Check, Finding, HealthCheck};
use common::supervision::ActorEntry;
use futures::future::join3;

use crate::participant_client::open_breaker::{OpenBreaker, open_breakers};
use crate::store::writer::SagaLogWriter;
use saga_engine::hold::Hold;
use saga_engine::lease::LeaseState;

/// The parts that the check covers.
#[derive(Clone)]
pub(crate) struct Needs {
    pub(crate) pool: db::Pool,
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) lease: Arc<LeaseState>,
    /// The clients of the participants, which show their breakers.
    pub(crate) clients: Vec<Arc<ActorEntry>>,
    /// Age of a batch in flight beyond which the writer counts as stalled.
    pub(crate) stalled_after: Duration,
}

pub(crate) fn check(needs: Needs) -> HealthCheck {
    Arc::new(move || {
        let needs = needs.clone();
        Box::pin(async move {
            let writer = needs.saga_log.check_writer(needs.stalled_after);
            let lost = needs.saga_log.lost_commits();
            let (database, writer, lost) = join3(db::check_writable(&needs.pool), writer, lost).await;
            let mut checks = vec![Check::new("saga_log", database.and(writer))];
            checks.extend(Check::of_lost_commits(lost.as_deref()));
            match needs.lease.hold() {
                Some(Hold { since, reason }) => {
                    // A node on hold works as intended. Reported unhealthy, it would get no traffic, and the release
                    // could not reach it.
                    let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
                    let note = Finding::Note(format!("all sagas are on hold since {since}: {reason}"));
                    checks.push(Check { name: "hold", finding: note });
                }
                None => checks.push(Check::new("lease", needs.lease.check())),
            }
            let open = open_breakers(&needs.clients);
            if !open.is_empty() {
                let named: Vec<String> = open.iter().map(named).collect();
                checks.push(Check { name: "breakers", finding: Finding::Degraded(named.join(", ")) });
            }
            checks
        })
    })
}

/// Names a breaker, as `<participant>/<operation>: <state>`.
fn named(breaker: &OpenBreaker) -> String {
    format!("{}: {}", breaker.operation.replacen('.', "/", 1), breaker.state)
}
