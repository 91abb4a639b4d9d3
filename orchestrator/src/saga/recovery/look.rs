//! One look at the saga log: what is asked, what is found, and the order in which a node finds it.

use chrono::{DateTime, Utc};
use common::db::Connection;
use uuid::Uuid;

use super::claim::{Claimer, Reach};
use super::owned::{self, Flag};
use crate::saga::SagaId;
use crate::store::reader::StoredSaga;

/// What one look asks.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose sagas may be claimed.
    pub reach: Reach,
    /// What runs here, if rows of this process without an actor are suspected.
    pub orphans_beside: Option<Vec<Uuid>>,
    /// What runs here, if some of it may have been taken over.
    pub mine: Option<Vec<Uuid>>,
    /// The newest retry that is known.
    pub retries_since: Option<DateTime<Utc>>,
}

/// What it gave.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Sagas that are this process's now.
    pub claimed: Vec<StoredSaga>,
    /// Whether a claim filled its batch.
    pub has_more: bool,
    /// What others set on its sagas.
    pub flags: Vec<Flag>,
    /// Sagas that are another process's now.
    pub lost: Vec<SagaId>,
}

impl Claimer {
    /// Looks.
    ///
    /// # Errors
    /// What the database says; some sagas may have been claimed before it did.
    pub(crate) async fn look(
        &self,
        connection: &mut Connection,
        question: Question,
    ) -> Result<Found, tokio_postgres::Error> {
        let Question { reach, orphans_beside, mine, retries_since } = question;
        let lost = match mine {
            Some(running) => owned::lost(connection, &self.owner, &running).await?,
            None => Vec::new(),
        };
        let flags = owned::flags(connection, &self.owner, retries_since).await?;
        let is_full = |sagas: &[StoredSaga]| sagas.len() as i64 == self.batch;
        let mut claimed = self.of_the_dead(connection, reach).await?;
        let sleepers = self.of_own_sleepers(connection).await?;
        let mut has_more = is_full(&claimed) || is_full(&sleepers);
        claimed.extend(sleepers);
        if let Some(mut beside) = orphans_beside {
            // What was claimed just now is this process's already and has no actor yet; it gets one, and not two.
            beside.extend(claimed.iter().map(|saga| saga.id.0));
            let orphans = self.of_own_orphans(connection, &beside).await?;
            has_more |= is_full(&orphans);
            claimed.extend(orphans);
        }
        Ok(Found { claimed, has_more, flags, lost })
    }
}
