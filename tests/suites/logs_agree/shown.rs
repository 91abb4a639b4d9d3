//! The reports and rows of a log, as texts without times; and the statements of recovery on either log.

use saga_engine::SagaId;
use saga_engine::failed::Marks;
use saga_engine::owner::Owner;
use saga_engine::record::WriteReport;
use saga_engine::recovery::{Free, ListedRow, SeenLease, Statements};
use saga_engine::stored::{ReadRow, StoredSaga};
use uuid::Uuid;

/// Returns a report without its time.
pub(crate) fn report(report: WriteReport) -> String {
    match report {
        WriteReport::Durable { cancel_requested, .. } => format!("durable, cancel requested: {cancel_requested}"),
        WriteReport::Rejected(refused) => format!("rejected {}", refused.code),
        other => format!("{other:?}"),
    }
}

/// Returns a row without its times.
pub(crate) fn shown(row: ReadRow) -> String {
    match row {
        Ok(saga) => {
            let remaining = saga.remaining.is_zero();
            let ended = saga.ended_at.is_some();
            let takeovers: Vec<_> =
                saga.takeovers.iter().map(|takeover| (takeover.node.clone(), takeover.epoch)).collect();
            let StoredSaga { id, definition, input, secret, outputs, started, status, direction, error, .. } = &saga;
            let StoredSaga { epoch, deaths, cancel_requested, attention, marks, left_by, .. } = &saga;
            let Marks { count, woken_by } = marks;
            let attention = attention.as_deref().map(without_detail);
            format!(
                "{id} {definition} {input:?} {:?} {outputs:?} {started:?} {status:?} {direction:?} {error:?} epoch {epoch} deaths {deaths} \
                 cancel {cancel_requested} over {remaining} ended {ended} {attention:?} {takeovers:?} \
                 {count} {woken_by:?} {left_by:?}",
                secret.map(|hash| hash.0)
            )
        }
        Err(row) => format!("{} {} cannot be read", row.id, row.epoch),
    }
}

/// Removes the reason why a row cannot be read, which differs.
pub(crate) fn without_detail(attention: &str) -> &str {
    attention
        .strip_suffix("the simulator spoiled it")
        .or(attention.strip_suffix("deadline_at: it is infinite"))
        .unwrap_or(attention)
}

/// Claims, as a look does: rows that cannot be read are set aside.
pub(crate) async fn claim<S: Statements<Error: std::fmt::Debug>>(log: &mut S, free: Free<'_>) -> String {
    let claimed = log.claim(free).await.expect("a claim");
    let unreadable: Vec<_> = claimed.iter().filter_map(|row| row.as_ref().err().cloned()).collect();
    if !unreadable.is_empty() {
        log.set_aside(&unreadable).await.expect("they are set aside");
    }
    let mut claimed: Vec<String> = claimed.into_iter().map(shown).collect();
    claimed.sort();
    claimed.join("\n")
}

/// Performs all statements of recovery that change nothing.
pub(crate) async fn look<S: Statements<Error: std::fmt::Debug>>(
    log: &mut S,
    ids: &[SagaId],
    listed: &[ListedRow],
    owners: &[Owner],
) -> String {
    let running: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let mut lost = log.lost(&running).await.expect("the lost ones");
    lost.sort();
    let flags = log.flags(None).await.expect("flags");
    let mut flags: Vec<_> = flags.iter().map(|flag| (flag.id, flag.cancel, flag.retry_at.is_some())).collect();
    flags.sort();
    let seen = log.owners().await.expect("owners");
    let lease = |lease: &SeenLease| match lease {
        SeenLease::Until(_) => "until".to_owned(),
        SeenLease::None | SeenLease::GivenUp => format!("{lease:?}"),
    };
    let mut seen: Vec<_> =
        seen.iter().map(|seen| format!("{:?} {} {}", seen.owner, lease(&seen.lease), seen.has_sagas)).collect();
    seen.sort();
    let own = log.own_rows(Uuid::nil(), 2).await.expect("own rows");
    let of_the_dead = log.free_of_the_dead(owners).await.expect("a number");
    let free = log.still_free(listed).await.expect("a number");
    format!("lost {lost:?}, flags {flags:?}, owners {seen:?}, own {own:?}, of the dead {of_the_dead}, free {free}")
}
