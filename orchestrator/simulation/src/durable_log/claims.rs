//! The statements of recovery ([`Statements`]) on the log in memory, with the conditions of those on PostgreSQL.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{DurableLog, Row};
use crate::mutation::{Mutation, is_mutated};
use orchestrator::store::claim::plain_reason;
use saga_engine::SagaId;
use saga_engine::log::Direction;
use saga_engine::owner::Owner;
use saga_engine::recovery::{ActorDeath, Claimer, Flag, Free, ListedRow, SeenLease, SeenOwner, Statements};
use saga_engine::stored::{ReadRow, StoredSaga, UnreadableRow};
use saga_engine::takeover::{LeftBy, Takeover};

/// The log at one moment, as seen by one process.
pub struct LogNow<'a> {
    /// The log.
    pub log: &'a mut DurableLog,
    /// The process.
    pub claimer: &'a Claimer,
    /// The moment.
    pub now: DateTime<Utc>,
}

impl LogNow<'_> {
    /// Returns a saga as read from its row.
    pub fn read(&self, id: SagaId) -> Option<ReadRow> {
        self.log.rows.get(&id).map(|row| read(id, row, LeftBy::Loss, self.now))
    }

    fn is_mine(&self, row: &Row) -> bool {
        row.owner.incarnation == self.claimer.owner.incarnation
    }

    /// Tells whether this process may run a saga now, regardless of its owner.
    fn may_run(&self, row: &Row) -> bool {
        let known = self.claimer.definitions.contains(&format!("{}/{}", row.definition, row.version));
        let is_poisoned = is_mutated(Mutation::ClaimsPoison) && row.deaths > self.claimer.max_claims;
        row.ended_at.is_none() && known && !is_poisoned && row.wake_at.is_none_or(|wake_at| wake_at <= self.now)
    }

    fn is_listed(&self, listed: &[ListedRow], id: SagaId, row: &Row) -> bool {
        listed.contains(&ListedRow { id, epoch: row.epoch }) && self.is_mine(row) && self.may_run(row)
    }

    fn free(&self, free: Free<'_>) -> Vec<SagaId> {
        let me = &self.claimer.owner;
        let has_its_name =
            self.log.leases.rows.get(&me.node_id).is_some_and(|lease| lease.incarnation == me.incarnation);
        let is_free = |id: SagaId, row: &Row| match free {
            Free::OfTheDead(owners) => has_its_name && owners.contains(&row.owner) && self.may_run(row),
            Free::OwnSleepers => row.wake_at.is_some() && self.is_mine(row) && self.may_run(row),
            Free::Orphans(listed) => self.is_listed(listed, id, row),
            Free::Died(_) => false,
        };
        let limit = usize::try_from(self.claimer.batch).unwrap_or(usize::MAX);
        // Rows locked by another transaction are skipped.
        let is_locked = |id: SagaId| self.log.open.on(id).is_some();
        let rows = self.log.rows.iter().filter(|(id, row)| is_free(**id, row) && !is_locked(**id));
        let mut rows: Vec<(&SagaId, &Row)> = rows.collect();
        // The order of the statements: owner by owner, or those first that are due for the longest.
        match free {
            Free::OfTheDead(owners) => rows.sort_by_key(|(_, row)| owners.iter().position(|owner| *owner == row.owner)),
            Free::OwnSleepers => rows.sort_by_key(|(_, row)| row.wake_at),
            Free::Orphans(_) | Free::Died(_) => {}
        }
        rows.into_iter().map(|(id, _)| *id).take(limit).collect()
    }

    fn take(&mut self, id: SagaId) -> Option<ReadRow> {
        let row = self.log.rows.get_mut(&id)?;
        if is_mutated(Mutation::ClaimsPoison) {
            row.deaths += 1;
        }
        let is_own = row.owner.incarnation == self.claimer.owner.incarnation;
        if is_own {
            self.log.wakes += 1
        } else {
            self.log.takeovers += 1
        }
        let slept = row.wake_at.is_some() && !row.attention_until_write;
        let left_by = if slept { LeftBy::Sleep } else { LeftBy::Loss };
        let lease = self.log.leases.rows.get(&row.owner.node_id);
        let lease = lease.filter(|lease| !is_own && lease.incarnation == row.owner.incarnation);
        let unowned_ms = lease.map(|lease| (self.now - lease.expires_at).num_milliseconds().max(0));
        row.owner = self.claimer.owner.clone();
        row.epoch += if is_mutated(Mutation::ClaimWithoutEpoch) { 0 } else { 1 };
        row.wake_at = None;
        row.waits_for = None;
        if !is_own || left_by == LeftBy::Loss {
            let node = row.owner.node_id.clone();
            row.takeovers.push(Takeover { node, epoch: row.epoch, at: self.now, unowned_ms });
        }
        Some(read(id, row, left_by, self.now))
    }

    /// Counts the death of a saga's actor. Returns the saga for a new actor, unless its actors died `max_deaths` times:
    /// then it rests, with `mark` and the reason of the death as its attention mark.
    fn set_back(&mut self, death: &ActorDeath, max_deaths: i32, mark: impl FnOnce(i32) -> String) -> Option<ReadRow> {
        let (incarnation, now) = (self.claimer.owner.incarnation, self.now);
        let row = self.log.rows.get_mut(&death.id)?;
        if row.ended_at.is_some() || row.owner.incarnation != incarnation || row.epoch != death.epoch {
            return None;
        }
        row.epoch += if is_mutated(Mutation::ClaimWithoutEpoch) { 0 } else { 1 };
        row.deaths += 1;
        let too_many = row.deaths - max_deaths;
        if too_many < 0 {
            self.log.wakes += 1;
            row.wake_at = None;
            let node = row.owner.node_id.clone();
            row.takeovers.push(Takeover { node, epoch: row.epoch, at: now, unowned_ms: None });
            return Some(read(death.id, row, LeftBy::Loss, now));
        }
        if !row.attention_stays {
            row.attention = Some(format!("{}{}", mark(row.deaths), plain_reason(&death.reason)));
        }
        row.attention_until_write = true;
        let minutes = 2_u64.pow(u32::try_from(too_many.min(5)).unwrap_or_default()).min(30);
        let rested = now + Duration::from_secs(60 * minutes);
        let turns_at = (row.direction == Direction::Forward && row.deadline_at > now).then_some(row.deadline_at);
        row.wake_at = Some(turns_at.map_or(rested, |deadline_at| deadline_at.min(rested)));
        None
    }
}

fn read(id: SagaId, row: &Row, left_by: LeftBy, now: DateTime<Utc>) -> ReadRow {
    if row.is_bad {
        Err(UnreadableRow { id, epoch: row.epoch, reason: "the simulator spoiled it".to_owned() })
    } else {
        Ok(stored(id, row, left_by, now))
    }
}

fn stored(id: SagaId, row: &Row, left_by: LeftBy, now: DateTime<Utc>) -> StoredSaga {
    StoredSaga {
        id,
        definition: row.definition.clone(),
        definition_version: row.version,
        input: row.input.clone(),
        secret: row.secret,
        outputs: row.outputs.clone(),
        started: row.started.clone(),
        status: row.status,
        direction: row.direction,
        error: row.error.clone(),
        timeline: row.timeline.clone(),
        epoch: row.epoch,
        deaths: row.deaths,
        cancel_requested: row.cancel_requested,
        remaining: (row.deadline_at - now).to_std().unwrap_or_default(),
        created_at: row.created_at,
        ended_at: row.ended_at,
        attention: row.attention.clone(),
        resolution: None,
        takeovers: row.takeovers.clone(),
        marks: row.marks,
        left_by,
    }
}

fn done<T>(value: T) -> Ready<Result<T, Infallible>> {
    ready(Ok(value))
}

impl Statements for LogNow<'_> {
    type Error = Infallible;

    fn batch(&self) -> i64 {
        self.claimer.batch
    }

    fn lost(&mut self, running: &[Uuid]) -> impl Future<Output = Result<Vec<SagaId>, Infallible>> + Send {
        let is_lost =
            |id: &SagaId| self.log.rows.get(id).is_some_and(|row| !self.is_mine(row) || row.ended_at.is_some());
        let mut lost: Vec<SagaId> = running.iter().map(|id| SagaId(*id)).filter(is_lost).collect();
        lost.sort();
        done(lost)
    }

    fn flags(&mut self, since: Option<DateTime<Utc>>) -> impl Future<Output = Result<Vec<Flag>, Infallible>> + Send {
        let flags = self
            .log
            .rows
            .iter()
            .filter(|(_, row)| row.ended_at.is_none() && self.is_mine(row))
            .filter(|(_, row)| row.wake_at.is_none_or(|wake_at| wake_at <= self.now))
            .map(|(id, row)| Flag {
                id: *id,
                cancel: row.cancel_requested && row.direction == Direction::Forward,
                retry_at: row.retry_requested_at,
            })
            .filter(|flag| flag.cancel || flag.retry_at > since)
            .collect();
        done(flags)
    }

    fn owners(&mut self) -> impl Future<Output = Result<Vec<SeenOwner>, Infallible>> + Send {
        let mut owners: Vec<Owner> = Vec::new();
        for row in self.log.rows.values().filter(|row| row.ended_at.is_none() && !self.is_mine(row)) {
            if !owners.contains(&row.owner) {
                owners.push(row.owner.clone());
            }
        }
        let mut seen: Vec<SeenOwner> = owners
            .into_iter()
            .map(|owner| {
                let lease = match self.log.leases.rows.get(&owner.node_id) {
                    Some(_) if is_mutated(Mutation::IgnoreLease) && !self.log.leases.is_live(&owner, self.now) => {
                        SeenLease::GivenUp
                    }
                    Some(lease) if lease.incarnation == owner.incarnation && lease.is_given_up => SeenLease::GivenUp,
                    Some(lease) if lease.incarnation == owner.incarnation => {
                        SeenLease::Until(lease.expires_at.to_string())
                    }
                    Some(_) | None => SeenLease::None,
                };
                SeenOwner { owner, lease, has_sagas: true }
            })
            .collect();
        for (node_id, lease) in &self.log.leases.rows {
            let owner = Owner { node_id: node_id.clone(), incarnation: lease.incarnation };
            if owner.incarnation != self.claimer.owner.incarnation && !seen.iter().any(|seen| seen.owner == owner) {
                let lease =
                    if lease.is_given_up { SeenLease::GivenUp } else { SeenLease::Until(lease.expires_at.to_string()) };
                seen.push(SeenOwner { owner, lease, has_sagas: false });
            }
        }
        done(seen)
    }

    fn own_rows(&mut self, after: Uuid, limit: i64) -> impl Future<Output = Result<Vec<ListedRow>, Infallible>> + Send {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let rows = self.log.rows.iter().filter(|(id, row)| id.0 > after && self.is_mine(row) && self.may_run(row));
        done(rows.map(|(id, row)| ListedRow { id: *id, epoch: row.epoch }).take(limit).collect())
    }

    fn free_of_the_dead(&mut self, dead: &[Owner]) -> impl Future<Output = Result<usize, Infallible>> + Send {
        // Rows locked by another transaction count too.
        done(self.log.rows.values().filter(|row| dead.contains(&row.owner) && self.may_run(row)).count())
    }

    fn claim(&mut self, free: Free<'_>) -> impl Future<Output = Result<Vec<ReadRow>, Infallible>> + Send {
        let claimed: Vec<ReadRow> = match free {
            Free::Died(deaths) => {
                let max = self.claimer.max_claims;
                let mark = |deaths| format!("its actor died {deaths} times: ");
                deaths.iter().filter_map(|death| self.set_back(death, max, mark)).collect()
            }
            Free::OfTheDead(_) | Free::OwnSleepers | Free::Orphans(_) => {
                let ids = self.free(free);
                ids.into_iter().filter_map(|id| self.take(id)).collect()
            }
        };
        done(claimed)
    }

    fn set_aside(&mut self, rows: &[UnreadableRow]) -> impl Future<Output = Result<(), Infallible>> + Send {
        for UnreadableRow { id, epoch, reason } in rows {
            let death = ActorDeath { id: *id, epoch: *epoch, reason: reason.clone() };
            let claimed = self.set_back(&death, 1, |_| "its row cannot be read: ".to_owned());
            debug_assert!(claimed.is_none(), "after one death it rests");
        }
        done(())
    }

    fn tidy(&mut self, _: &[Owner]) -> impl Future<Output = Result<(), Infallible>> + Send {
        // By the end of a run every node knows every definition, and a run ends before a lease is long dead.
        done(())
    }

    fn still_free(&mut self, rows: &[ListedRow]) -> impl Future<Output = Result<usize, Infallible>> + Send {
        done(self.log.rows.iter().filter(|(id, row)| self.is_listed(rows, **id, row)).count())
    }
}
