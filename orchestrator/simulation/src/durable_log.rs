//! The saga log in memory: rows, leases, flags and claims, with the conditions of the statements on PostgreSQL. It is
//! durable: it survives the death of any process.

mod claims;
mod keys;
mod leases;
mod open;
mod replica;

pub use claims::LogNow;
pub use leases::Leases;
pub(crate) use replica::Replica;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use saga_engine::record::{SecretHash, ValueRefused};
use smol_str::SmolStr;
use uuid::Uuid;

use self::open::OpenTransactions;
use super::mutation::{Mutation, is_mutated};
use super::process::BEGIN_LIMIT;
use saga_engine::definition::{Input, Outputs};
use saga_engine::failed::{Marks, WokenBy};
use saga_engine::log::{Direction, StepView};
use saga_engine::owner::Owner;
use saga_engine::record::{Change, IdempotencyKey, LogWrite, NewSaga, RowState, Until, WriteReport, judge};
use saga_engine::takeover::Takeover;
use saga_engine::{SagaId, Status};

/// A row of the saga log.
#[derive(Clone, Debug)]
pub struct Row {
    pub(super) status: Status,
    /// Time of the end, if it has ended.
    pub ended_at: Option<DateTime<Utc>>,
    pub(super) input: Input,
    pub(super) definition: SmolStr,
    pub(super) started: Vec<SmolStr>,
    pub(super) secret: Option<SecretHash>,
    pub(super) attention: Option<String>,
    /// Whether the attention mark outlives the end of the saga.
    pub attention_stays: bool,
    /// The process that owns the saga.
    pub owner: Owner,
    /// Whether a cancel was requested, after which COMPLETED is not allowed.
    pub(super) cancel_requested: bool,
    /// Whether it began with a key, released or not.
    pub(super) had_key: bool,
    /// Time of the end by the database's clock, also if a mutation puts another time into `ended_at`.
    truly_ended_at: Option<DateTime<Utc>>,
    /// Time of the release of its key, by the database's clock.
    key_released_at: Option<DateTime<Utc>>,
    /// Whether no version of the program can read its values.
    pub(super) is_bad: bool,
    /// Time at which it wakes, if it sleeps.
    pub wake_at: Option<DateTime<Utc>>,
    /// The owner's epoch.
    pub epoch: i32,
    pub(super) timeline: Vec<StepView>,
    version: i32,
    outputs: Outputs,
    direction: Direction,
    error: Option<String>,
    /// The nonce of its begin.
    pub nonce: Uuid,
    /// Its idempotency key, until it is released.
    pub key: Option<IdempotencyKey>,
    deaths: i32,
    /// Whether the next awaited write clears the attention mark.
    pub attention_until_write: bool,
    /// Time of the last requested retry.
    pub retry_requested_at: Option<DateTime<Utc>>,
    marks: Marks,
    /// The operation whose confirmation for another saga wakes it.
    pub waits_for: Option<String>,
    deadline_at: DateTime<Utc>,
    pub(super) created_at: DateTime<Utc>,
    takeovers: Vec<Takeover>,
}

/// The saga log.
#[derive(Default)]
pub struct DurableLog {
    rows: BTreeMap<SagaId, Row>,
    /// The leases, and the hold on all sagas.
    pub leases: Leases,
    /// Transactions that commit later.
    pub(super) open: OpenTransactions,
    /// Number of claims by a process that did not own the saga.
    pub(super) takeovers: u64,
    /// Number of released keys.
    pub(super) keys_released: u64,
    /// Number of claims by the process that owned the saga.
    pub(super) wakes: u64,
    /// Sagas that would have two rows on PostgreSQL.
    pub(super) with_two_rows: Vec<SagaId>,
}

impl DurableLog {
    pub(super) fn rows(&self) -> impl Iterator<Item = (SagaId, &Row)> {
        self.rows.iter().map(|(id, row)| (*id, row))
    }

    /// Returns a row.
    pub fn row(&self, id: SagaId) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// Applies a write if its conditions hold, and returns its report.
    pub fn write(&mut self, owner: &Owner, write: &LogWrite, now: DateTime<Utc>) -> WriteReport {
        self.apply(owner, write, now).unwrap_or_else(|| self.verdict(owner, write))
    }

    /// Applies a write if its conditions hold, and returns its report; `None` if it changes nothing.
    pub(super) fn apply(&mut self, owner: &Owner, write: &LogWrite, now: DateTime<Utc>) -> Option<WriteReport> {
        if holds_nul(write) {
            let (code, reason) = ("22021".to_owned(), "invalid byte sequence (22021)".to_owned());
            return Some(WriteReport::Rejected(ValueRefused { code, reason }));
        }
        let (cancel_requested, at) = match &write.change {
            Change::Begin { saga, ended } => self.begin(owner, write, saga, ended.as_ref(), now),
            _ => self.change(owner, write, now),
        }?;
        Some(WriteReport::Durable { cancel_requested, at })
    }

    /// Returns the report of a write that changes nothing.
    pub(super) fn verdict(&self, owner: &Owner, write: &LogWrite) -> WriteReport {
        if let Change::Begin { saga, .. } = &write.change
            && !self.rows.contains_key(&write.saga_id)
            && let Some(holder) = self.key_holder(saga)
        {
            return WriteReport::KeyHeld(holder);
        }
        let row = self.rows.get(&write.saga_id).map(|row| RowState {
            owner_incarnation: row.owner.incarnation,
            epoch: row.epoch,
            status: row.status,
            direction: row.direction,
            created_at: row.created_at,
            ended_at: row.ended_at,
            cancel_requested: row.cancel_requested,
            begin_nonce: row.nonce,
        });
        judge(write, owner.incarnation, row.as_ref())
    }

    fn begin(
        &mut self,
        owner: &Owner,
        write: &LogWrite,
        saga: &NewSaga,
        ended: Option<&String>,
        now: DateTime<Utc>,
    ) -> Option<(bool, DateTime<Utc>)> {
        let has_key = self.key_holder(saga).is_some();
        let is_in_time = now < saga.decided_by && saga.decided_by < now + 2 * BEGIN_LIMIT;
        if has_key || !is_in_time || !self.leases.is_live(owner, now) {
            return None;
        }
        if let Some(row) = self.rows.get(&write.saga_id) {
            // The row of an ended saga has moved and is in no begin's way; only a repeat looks for it.
            if row.ended_at.is_some() && row.attention.is_none() && !write.was_in_doubt {
                self.with_two_rows.push(write.saga_id);
            }
            return None;
        }
        let created_at = now - saga.age;
        let (status, direction) = match ended {
            None => (Status::Pending, Direction::Forward),
            Some(_) => (Status::Compensated, Direction::Compensating),
        };
        let row = Row {
            status,
            ended_at: ended.map(|_| now),
            input: saga.input.clone(),
            definition: saga.definition.clone(),
            attention: write.attention.as_ref().map(|mark| mark.reason.clone()),
            attention_stays: write.attention.as_ref().is_some_and(|mark| mark.until == Until::Resolved),
            owner: owner.clone(),
            cancel_requested: false,
            is_bad: false,
            had_key: saga.key.is_some(),
            truly_ended_at: ended.map(|_| now),
            key_released_at: None,
            version: saga.definition_version,
            outputs: write.outputs.clone(),
            started: write.started.clone(),
            secret: saga.secret,
            direction,
            error: ended.cloned(),
            timeline: write.timeline.clone(),
            nonce: saga.nonce,
            key: saga.key.clone(),
            epoch: write.epoch,
            deaths: 0,
            attention_until_write: false,
            retry_requested_at: None,
            wake_at: None,
            marks: Marks::NONE,
            waits_for: None,
            deadline_at: now + saga.deadline,
            created_at,
            takeovers: Vec::new(),
        };
        self.rows.insert(write.saga_id, row);
        Some((false, ended.map_or(created_at, |_| now)))
    }

    fn change(&mut self, owner: &Owner, write: &LogWrite, now: DateTime<Utc>) -> Option<(bool, DateTime<Utc>)> {
        let row = self.rows.get_mut(&write.saga_id)?;
        let is_mine = is_mutated(Mutation::WriteWithoutEpoch)
            || (row.epoch == write.epoch
                && (row.owner.incarnation == owner.incarnation || is_mutated(Mutation::ClaimWithoutEpoch)));
        if !is_mine || row.ended_at.is_some() {
            return None;
        }
        match &write.change {
            Change::End { status: Status::Completed, .. }
                if (row.direction != Direction::Forward && !is_mutated(Mutation::ForwardAfterTurn))
                    || (row.cancel_requested && !is_mutated(Mutation::IgnoreCancel)) =>
            {
                return None;
            }
            Change::End { status: Status::Pending | Status::Compensating, .. } => return None,
            Change::Begin { .. } | Change::Outputs => {}
            Change::TurnBack { cause } => {
                (row.status, row.direction) = (Status::Compensating, Direction::Compensating);
                row.error = Some(cause.clone());
            }
            Change::MarkFailed { .. } => row.status = Status::Failed,
            Change::End { status, error } => {
                row.status = *status;
                if *status != Status::Completed {
                    row.direction = Direction::Compensating;
                }
                row.error = error.clone().or_else(|| row.error.take());
                row.ended_at = Some(if is_mutated(Mutation::EndedByNodeClock) { write.at } else { now });
                row.truly_ended_at = Some(now);
            }
        }
        if std::mem::take(&mut row.attention_until_write) && !row.attention_stays {
            row.attention = None;
        }
        if let Some(mark) = &write.attention {
            let stays = mark.until == Until::Resolved;
            if stays || !row.attention_stays {
                row.attention = Some(mark.reason.clone());
            }
            row.attention_stays |= stays;
        }
        if row.ended_at.is_some() && !row.attention_stays {
            row.attention = None;
        }
        if !matches!(write.change, Change::End { .. }) {
            row.marks.woken_by = WokenBy::Time;
        }
        (row.wake_at, row.waits_for) = match &write.change {
            Change::MarkFailed { wake_in, marks, waits_for } => {
                row.marks.count = *marks;
                (Some(now + *wake_in), waits_for.clone())
            }
            _ => (None, None),
        };
        row.outputs = write.outputs.clone();
        row.started = write.started.clone();
        row.timeline = write.timeline.clone();
        row.deaths = 0;
        // After an end a cancel no longer matters.
        Some((row.cancel_requested && row.ended_at.is_none(), now))
    }

    /// Sets the cancel flag of a saga that has not ended; tells whether it was still running forward.
    pub fn cancel(&mut self, id: SagaId, now: DateTime<Utc>) -> bool {
        match self.rows.get_mut(&id) {
            Some(row) if row.ended_at.is_none() => {
                row.cancel_requested = true;
                if row.direction == Direction::Forward {
                    row.wake_at = row.wake_at.map(|wake_at| wake_at.min(now));
                }
                row.direction == Direction::Forward
            }
            _ => false,
        }
    }

    /// Wakes the sagas that wait for an operation, which was confirmed for another saga.
    pub fn wake_waiting(&mut self, operation: &str, now: DateTime<Utc>) {
        let waits = |row: &&mut Row| {
            row.waits_for.as_deref() == Some(operation)
                && row.wake_at.is_some_and(|at| at > now)
                && row.ended_at.is_none()
        };
        for row in self.rows.values_mut().filter(waits) {
            row.wake_at = Some(now);
            row.waits_for = None;
            row.marks.woken_by = WokenBy::Confirmation;
        }
    }

    /// Makes a row unreadable.
    pub fn spoil(&mut self, id: SagaId) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.is_bad = true;
        }
    }

    /// Requests a retry of every saga on the attention list, and wakes it.
    pub fn retry_all(&mut self, now: DateTime<Utc>) {
        let in_attention = self.rows.values_mut().filter(|row| row.attention.is_some() && row.ended_at.is_none());
        // Each row takes its own time; the order of reads is not theirs.
        for (index, row) in (0..).zip(in_attention) {
            row.retry_requested_at = Some(now - TimeDelta::microseconds(index));
            row.deaths = 0;
            row.wake_at = row.wake_at.map(|_| now);
        }
    }
}

/// Tells whether PostgreSQL would refuse a text of the write. Steps and changes are JSON, which escapes a NUL.
fn holds_nul(write: &LogWrite) -> bool {
    let error = match &write.change {
        Change::Begin { ended: error, .. } | Change::End { error, .. } => error.as_deref(),
        Change::TurnBack { cause } => Some(cause.as_str()),
        Change::Outputs | Change::MarkFailed { .. } => None,
    };
    let reason = write.attention.as_ref().map(|mark| mark.reason.as_str());
    error.into_iter().chain(reason).any(|text| text.contains('\0'))
}
