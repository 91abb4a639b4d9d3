//! One look at the saga log: what is asked, what is found, and the order in which a node finds it.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::error;
use uuid::Uuid;

use super::judgement::Leases;
use super::statements::{Flag, Free, Statements};
use crate::SagaId;
use crate::owner::Owner;
use crate::running::Running;
use crate::stored::StoredSaga;

/// Rows of this process that are listed at once in the search for those without an actor.
const ROWS_LISTED: i64 = 5_000;

/// What one look asks.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Whose sagas may be claimed.
    pub reach: Reach,
    /// Where the search for rows of this process without an actor goes on: behind this id. `None`: no search is under way.
    pub search_after: Option<Uuid>,
    /// What runs here, if some of it may have been taken over.
    pub mine: Option<Vec<Uuid>>,
    /// The newest retry that is known.
    pub retries_since: Option<DateTime<Utc>>,
    /// What runs here.
    pub running: Arc<Running>,
    /// What is known of the leases of other processes.
    pub leases: Arc<Leases>,
}

/// Whose sagas may be claimed, beside those that an earlier process of the own node left and those of processes that gave
/// their lease up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// None at all: this process is about to stop.
    Nothing,
    /// No others: after an outage every process looks dead.
    OwnNode,
    /// Those of every process whose lease does not move any more.
    Everybody,
}

/// What it gave.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// Sagas that are this process's now.
    pub claimed: Vec<StoredSaga>,
    /// Whether a claim filled its batch.
    pub has_more: bool,
    /// What others set on its sagas.
    pub flags: Vec<Flag>,
    /// Sagas that are another process's now.
    pub lost: Vec<SagaId>,
    /// How far the search for rows without an actor came, if one is under way.
    pub search: Option<Searched>,
}

/// How far a search for rows without an actor came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Searched {
    /// Behind which id it goes on; `None` if it is over.
    pub next: Option<Uuid>,
    /// Rows that were found and could not be claimed.
    pub left: usize,
}

/// A saga's actor that died of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorDeath {
    /// The saga.
    pub id: SagaId,
    /// Under which epoch it ran.
    pub epoch: i32,
    /// What it died of.
    pub reason: String,
}

/// A row, as it was when it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// The saga.
    pub id: SagaId,
    /// Its epoch.
    pub epoch: i32,
}

/// Looks. `batch` bounds what one statement claims.
///
/// Rows are listed before anything is claimed: what is claimed in this look has no actor yet. The end of a search, which
/// comes every `sweep_ms` at the latest, is also the time for what needs to be done now and then only.
///
/// # Errors
/// What a statement says; some sagas may have been claimed before it did.
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

/// Claims rows of processes that are not alive. They are counted before that, so that a claim that fails leaves them counted.
async fn claim_of_the_dead<S: Statements>(
    log: &mut S,
    dead: &[Owner],
    running: &Running,
    found: &mut Claimed,
) -> Result<(), S::Error> {
    let free = if dead.is_empty() { 0 } else { log.free_of_the_dead(dead).await? };
    running.left_of_the_dead(free);
    if free == 0 {
        return Ok(());
    }
    let claimed = claim(log, Free::OfTheDead(dead), found).await?;
    running.left_of_the_dead(free.saturating_sub(claimed));
    Ok(())
}

/// Rows without an actor, and where the next page begins.
struct Page {
    orphans: Vec<ListedRow>,
    next: Option<Uuid>,
}

/// Lists rows of this process and keeps those without an actor. An actor is in memory before its row is in the log, and
/// stays there until the row ends, sleeps, or is another owner's: memory that is read after the row tells.
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

/// Claims, and returns how many rows; one that cannot be read is set aside by itself.
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
