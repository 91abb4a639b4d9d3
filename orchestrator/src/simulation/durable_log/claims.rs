//! What a look at the log in memory finds and claims, with the conditions of the statements of `saga::recovery`.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{DurableLog, Row};
use crate::saga::SagaId;
use crate::saga::log::Direction;
use crate::saga::recovery::{Claimer, Flag, Found, Question, Reach};
use crate::saga::takeover::{LeftBy, Takeover};
use crate::simulation::planted::{Planted, is_planted};
use crate::store::reader::StoredSaga;

impl DurableLog {
    /// Looks for what needs this process, and claims it.
    pub(in crate::simulation) fn look(&mut self, claimer: &Claimer, question: &Question, now: DateTime<Utc>) -> Found {
        let me = claimer.owner.clone();
        let is_mine = |row: &Row| row.owner.incarnation == me.incarnation;
        let lost = question
            .mine
            .iter()
            .flatten()
            .map(|id| SagaId(*id))
            .filter(|id| self.rows.get(id).is_some_and(|row| !is_mine(row) || row.ended_at.is_some()));
        let lost: Vec<SagaId> = sorted(lost);
        let since = question.retries_since;
        let flags = self
            .rows
            .iter()
            .filter(|(_, row)| row.ended_at.is_none() && is_mine(row))
            .map(|(id, row)| Flag {
                id: *id,
                cancel: row.cancel_requested && row.direction == Direction::Forward,
                retry_at: row.retry_requested_at,
            })
            .filter(|flag| flag.cancel || flag.retry_at > since)
            .collect();
        let has_its_name = self.leases.get(&me.node_id).is_some_and(|lease| lease.incarnation == me.incarnation);
        let mut claimed = self.claim(claimer, now, |log, row| {
            let is_dead = row.owner.node_id == me.node_id
                || (question.reach == Reach::Everybody && !log.is_live(&row.owner, now));
            !is_mine(row) && has_its_name && is_dead && row.wake_at.is_none_or(|wake| wake <= now)
        });
        claimed.extend(self.claim(claimer, now, |_, row| is_mine(row) && row.wake_at.is_some_and(|wake| wake <= now)));
        if let Some(beside) = &question.orphans_beside {
            let mut beside = beside.clone();
            beside.extend(claimed.iter().map(|saga: &StoredSaga| saga.id.0));
            let young = now - Duration::from_secs(1);
            let orphans: Vec<SagaId> = self
                .rows
                .iter()
                .filter(|(id, row)| {
                    is_mine(row) && row.wake_at.is_none() && !beside.contains(&id.0) && row.created_at < young
                })
                .map(|(id, _)| *id)
                .collect();
            claimed.extend(self.claim_these(claimer, now, orphans));
        }
        Found { claimed, has_more: false, flags, lost }
    }

    fn claim(
        &mut self,
        claimer: &Claimer,
        now: DateTime<Utc>,
        is_free: impl Fn(&DurableLog, &Row) -> bool,
    ) -> Vec<StoredSaga> {
        let free = self.rows.iter().filter(|(_, row)| is_free(self, row)).map(|(id, _)| *id).collect();
        self.claim_these(claimer, now, free)
    }

    fn claim_these(&mut self, claimer: &Claimer, now: DateTime<Utc>, ids: Vec<SagaId>) -> Vec<StoredSaga> {
        let mut claimed = Vec::new();
        for id in ids {
            let Some(row) = self.rows.get_mut(&id) else { continue };
            let known = claimer.definitions.contains(&format!("{}/{}", row.definition, row.version));
            if row.ended_at.is_some() || !known || row.claims > claimer.max_claims {
                continue;
            }
            let is_own = row.owner.incarnation == claimer.owner.incarnation;
            match is_own {
                true => self.wakes += 1,
                false => self.takeovers += 1,
            }
            let left_by = if row.wake_at.is_some() { LeftBy::Sleep } else { LeftBy::Loss };
            let lease = self.leases.get(&row.owner.node_id);
            let lease = lease.filter(|lease| !is_own && lease.incarnation == row.owner.incarnation);
            let unowned_ms = lease.map(|lease| (now - lease.expires_at).num_milliseconds().max(0));
            row.owner = claimer.owner.clone();
            row.epoch += if is_planted(Planted::ClaimWithoutEpoch) { 0 } else { 1 };
            row.claims += 1;
            row.wake_at = None;
            if row.claims > claimer.max_claims {
                row.attention = Some(format!("claimed {} times without progress", row.claims));
            }
            if !is_own || left_by == LeftBy::Loss {
                let node = row.owner.node_id.clone();
                row.takeovers.push(Takeover { node, epoch: row.epoch, at: now, unowned_ms });
            }
            claimed.push(StoredSaga {
                id,
                definition: row.definition.to_owned(),
                definition_version: row.version,
                order: row.order.clone(),
                outputs: row.outputs.clone(),
                status: row.status,
                direction: row.direction,
                error: row.error.clone(),
                timeline: row.timeline.clone(),
                epoch: row.epoch,
                claims: row.claims,
                cancel_requested: row.cancel_requested,
                remaining: (row.deadline_at - now).to_std().unwrap_or_default(),
                created_at: row.created_at,
                ended_at: row.ended_at,
                attention: row.attention.clone(),
                takeovers: row.takeovers.clone(),
                left_by,
            });
        }
        claimed
    }
}

fn sorted(ids: impl Iterator<Item = SagaId>) -> Vec<SagaId> {
    let mut ids: Vec<SagaId> = ids.collect();
    ids.sort();
    ids
}
