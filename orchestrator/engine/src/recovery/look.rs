//! One look at the saga log: its request, its result, and the order of its statements.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::error;
use uuid::Uuid;

use super::judgement::{Leases, Reach};
use super::statements::{Flag, Free, ListedRow, Statements};
use crate::SagaId;
use crate::owner::Owner;
use crate::running::Running;
use crate::stored::StoredSaga;

/// Maximum number of rows in one page of the search for rows without an actor.
const ROWS_LISTED: i64 = 5_000;

/// A request for one look at the saga log.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The owners whose sagas may be claimed.
    pub reach: Reach,
    /// The search for rows without an actor goes on after this id; `None` if no search is under way.
    pub search_after: Option<Uuid>,
    /// The sagas that run here, if some may have been taken over.
    pub mine: Option<Vec<Uuid>>,
    /// Time of the newest retry that is known already.
    pub retries_since: Option<DateTime<Utc>>,
    /// The sagas that run in this process.
    pub running: Arc<Running>,
    /// Leases of other processes, as seen by earlier looks.
    pub leases: Arc<Leases>,
}

/// Result of one look.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// Sagas that this process owns now.
    pub claimed: Vec<StoredSaga>,
    /// Whether another look should follow at once: a claim filled its batch, or the search has another page.
    pub has_more: bool,
    /// Flags on sagas of this process.
    pub flags: Vec<Flag>,
    /// Sagas that this process no longer owns.
    pub lost: Vec<SagaId>,
    /// Progress of the search for rows without an actor, if one is under way.
    pub search: Option<Searched>,
}

/// Progress of a search for rows without an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Searched {
    /// The id after which it goes on; `None` if it is over.
    pub next: Option<Uuid>,
    /// Number of rows found that could not be claimed.
    pub left: usize,
}

/// Performs one look. One claim takes at most [`Statements::batch`] rows.
///
/// The page of the search is listed before anything is claimed, since sagas claimed by this look have no actor yet.
/// [`Statements::tidy`] runs at the end of a search, at least every `sweep_ms`.
///
/// # Errors
/// The error of the first statement that fails; sagas claimed before it stay claimed.
pub async fn look<S: Statements>(log: &mut S, question: ClaimRequest) -> Result<Claimed, S::Error> {
    let ClaimRequest { reach, search_after, mine, retries_since, running, leases } = question;
    let mut found = Claimed::default();
    if let Some(mine) = mine {
        found.lost = log.lost(&mine).await?;
    }
    found.flags = log.flags(retries_since).await?;
    if reach == Reach::Nothing {
        return Ok(found);
    }
    let asked_at = Instant::now();
    let owners = log.owners().await?;
    let dead = leases.judge(owners, reach, asked_at);
    let page = match search_after {
        Some(after) => Some(page(log, after, &running).await?),
        None => None,
    };
    let deaths = running.unrecorded_deaths();
    claim(log, Free::Died(&deaths), &mut found).await?;
    running.deaths_recorded(&deaths);
    claim_of_the_dead(log, &dead, &running, &mut found).await?;
    claim(log, Free::OwnSleepers, &mut found).await?;
    if let Some(Page { orphans, next }) = page {
        claim(log, Free::Orphans(&orphans), &mut found).await?;
        let claimed: HashSet<SagaId> = found.claimed.iter().map(|saga| saga.id).collect();
        let left: Vec<ListedRow> = orphans.into_iter().filter(|row| !claimed.contains(&row.id)).collect();
        let left = if left.is_empty() { 0 } else { log.still_free(&left).await? };
        found.has_more |= next.is_some();
        if next.is_none() {
            log.tidy(&dead).await?;
        }
        found.search = Some(Searched { next, left });
    }
    Ok(found)
}

/// Claims rows of dead processes. They are counted first, so that they stay counted if the claim fails. A count reads all
/// of them, so a takeover of many batches counts only for its first and last ones.
async fn claim_of_the_dead<S: Statements>(
    log: &mut S,
    dead: &[Owner],
    running: &Running,
    found: &mut Claimed,
) -> Result<(), S::Error> {
    if dead.is_empty() {
        running.left_of_the_dead(0);
        return Ok(());
    }
    let batch = usize::try_from(log.batch()).unwrap_or(usize::MAX);
    let mut free = running.of_the_dead();
    if free <= batch {
        free = log.free_of_the_dead(dead).await?;
        running.left_of_the_dead(free);
    }
    if free == 0 {
        return Ok(());
    }
    let claimed = claim(log, Free::OfTheDead(dead), found).await?;
    let left = free.saturating_sub(claimed);
    // After less than a batch another node may have the others: the next look counts.
    running.left_of_the_dead(if claimed < batch { left.min(batch) } else { left });
    Ok(())
}

/// Rows without an actor, and the id after which the next page begins.
struct Page {
    orphans: Vec<ListedRow>,
    next: Option<Uuid>,
}

/// Lists rows of this process and keeps those without an actor. An actor is in memory before its row is in the log, and
/// stays there until the row ends, sleeps or has another owner. So the rows are read first, and memory after them.
async fn page<S: Statements>(log: &mut S, after: Uuid, running: &Running) -> Result<Page, S::Error> {
    let rows = log.own_rows(after, ROWS_LISTED).await?;
    let is_last = (rows.len() as i64) < ROWS_LISTED;
    let end = rows.last().filter(|_| !is_last).map(|row| row.id.0);
    let mut orphans: Vec<ListedRow> = rows.into_iter().filter(|row| !running.accounts_for(row.id, row.epoch)).collect();
    running.found_without_actor(orphans.len());
    let limit = usize::try_from(log.batch()).unwrap_or(usize::MAX);
    let is_cut = orphans.len() > limit;
    orphans.truncate(limit);
    let next = if is_cut { orphans.last().map(|row| row.id.0) } else { end };
    Ok(Page { orphans, next })
}

/// Claims rows and returns their number. A row that cannot be read is set aside without failing the others.
async fn claim<S: Statements>(log: &mut S, free: Free<'_>, found: &mut Claimed) -> Result<usize, S::Error> {
    if free.is_empty() {
        return Ok(0);
    }
    let claimed = log.claim(free).await?;
    let number = claimed.len();
    found.has_more |= number as i64 >= log.batch();
    let mut unreadable = Vec::new();
    for row in claimed {
        match row {
            Ok(saga) => found.claimed.push(saga),
            Err(row) => unreadable.push(row),
        }
    }
    if !unreadable.is_empty() {
        for row in &unreadable {
            error!(saga.id = %row.id, reason = row.reason, "a row of the saga log cannot be read: a person should look");
        }
        log.set_aside(&unreadable).await?;
    }
    Ok(number)
}
