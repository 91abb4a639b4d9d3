//! A batch as columns, the parameters of the writer's set-based statements.

use chrono::{DateTime, Utc};
use common::ids::ProductId;
use uuid::Uuid;

use crate::checkout::Order;
use crate::store::{row_events, row_text};
use saga_engine::Status;
use saga_engine::change::BeginTold;
use saga_engine::change::StateChange;
use saga_engine::record::{Change, KeyScope, LogWrite, NewSaga, Until};

/// The longest sleep of a saga, in milliseconds: beyond some point the database rejects the wake-up time.
const LONGEST_SLEEP_MS: i64 = 24 * 3_600 * 1_000;

/// The columns that a statement takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    All,
    /// The columns that every write fills.
    Few,
}

impl Columns {
    fn few_if(condition: bool) -> Columns {
        if condition { Columns::Few } else { Columns::All }
    }
}

#[derive(Default)]
pub(super) struct BeginColumns<'a> {
    pub(super) id: Vec<Uuid>,
    pub(super) definition: Vec<&'a str>,
    pub(super) version: Vec<i32>,
    pub(super) user_id: Vec<Option<String>>,
    pub(super) cents: Vec<Option<i64>>,
    pub(super) product: Vec<Option<String>>,
    pub(super) input: Vec<Option<String>>,
    pub(super) started: Vec<Option<String>>,
    pub(super) outputs: Vec<String>,
    pub(super) error: Vec<Option<&'a str>>,
    pub(super) timeline: Vec<String>,
    pub(super) key: Vec<Option<&'a str>>,
    pub(super) gid: Vec<Option<&'a str>>,
    pub(super) nonce: Vec<Uuid>,
    pub(super) secret_hash: Vec<Option<&'a [u8]>>,
    pub(super) epoch: Vec<i32>,
    pub(super) attention: Vec<Option<&'a str>>,
    pub(super) attention_stays: Vec<bool>,
    pub(super) deadline_ms: Vec<i64>,
    pub(super) age_us: Vec<i64>,
    pub(super) decided_by: Vec<DateTime<Utc>>,
    pub(super) has_ended: Vec<bool>,
    pub(super) changes: Vec<Option<String>>,
    pub(super) key_scope: Vec<Option<&'static str>>,
    pub(super) key_user: Vec<Option<&'a str>>,
    pub(super) fingerprint: Vec<Option<&'a [u8]>>,
    pub(super) fingerprint_version: Vec<Option<i16>>,
}

impl<'a> BeginColumns<'a> {
    pub(super) fn push(&mut self, item: &'a LogWrite, saga: &'a NewSaga, ended: Option<&'a str>) {
        self.id.push(item.saga_id.0);
        self.definition.push(&saga.definition);
        self.version.push(saga.definition_version);
        let order = Order::of_saga(&saga.definition, &saga.input);
        self.input.push(order.is_none().then(|| saga.input.to_string()));
        let (user_id, cents, product) = match order {
            Some(Order { user_id, product_id, amount }) => {
                (Some(user_id.into_string()), Some(amount.cents()), product_id.map(ProductId::into_string))
            }
            None => (None, None, None),
        };
        self.user_id.push(user_id);
        self.cents.push(cents);
        self.product.push(product);
        self.started.push(started(item));
        self.outputs.push(row_text::json(&item.outputs));
        self.error.push(ended);
        self.timeline.push(row_text::of_steps(&item.timeline));
        let (gid, key) = match &saga.key {
            Some(key) if key.scope == KeyScope::Gid => (Some(key.key.as_str()), None),
            key => (None, key.as_ref().map(|key| key.key.as_str())),
        };
        self.key.push(key);
        self.gid.push(gid);
        self.nonce.push(saga.nonce);
        self.secret_hash.push(saga.secret.as_ref().map(|hash| hash.0.as_slice()));
        self.epoch.push(item.epoch);
        self.attention.push(reason(item));
        self.attention_stays.push(stays(item));
        self.deadline_ms.push(i64::try_from(saga.deadline.as_millis()).unwrap_or(i64::MAX));
        self.age_us.push(i64::try_from(saga.age.as_micros()).unwrap_or(i64::MAX));
        self.decided_by.push(saga.decided_by);
        self.has_ended.push(ended.is_some());
        self.changes.push(changes(item));
        let (scope, user_id) = saga.key.as_ref().map(|key| columns_of(&key.scope)).unzip();
        self.key_scope.push(scope);
        self.key_user.push(user_id);
        self.fingerprint.push(saga.key.as_ref().map(|key| key.fingerprint.hash.as_slice()));
        self.fingerprint_version.push(saga.key.as_ref().map(|key| key.fingerprint.version));
    }

    /// Returns the columns that have values. Each key has a scope, each ended saga an error, each mark that stays a reason.
    pub(super) fn needed(&self) -> Columns {
        let Self { started, error, secret_hash, attention, changes, key_scope, .. } = self;
        Columns::few_if(
            are_empty(started)
                && are_empty(error)
                && are_empty(secret_hash)
                && are_empty(attention)
                && are_empty(changes)
                && are_empty(key_scope),
        )
    }
}

/// Returns the columns `scope` and `user_id` of a key.
pub(in crate::store) fn columns_of(scope: &KeyScope) -> (&'static str, &str) {
    match scope {
        KeyScope::User(user) => ("user", user),
        KeyScope::Sagas => ("sagas", ""),
        KeyScope::Gid => ("gid", ""),
    }
}

#[derive(Default)]
pub(super) struct ChangeColumns<'a> {
    pub(super) id: Vec<Uuid>,
    pub(super) epoch: Vec<i32>,
    pub(super) status: Vec<Option<&'a str>>,
    pub(super) direction: Vec<Option<&'a str>>,
    pub(super) error: Vec<Option<&'a str>>,
    pub(super) started: Vec<Option<String>>,
    pub(super) outputs: Vec<String>,
    pub(super) timeline: Vec<String>,
    pub(super) attention: Vec<Option<&'a str>>,
    pub(super) attention_stays: Vec<bool>,
    pub(super) wake_ms: Vec<Option<i64>>,
    pub(super) changes: Vec<Option<String>>,
    pub(super) tells_begin: Vec<bool>,
    pub(super) tells_status: Vec<bool>,
    pub(super) marks: Vec<Option<i32>>,
    pub(super) waits_for: Vec<Option<&'a str>>,
}

impl<'a> ChangeColumns<'a> {
    pub(super) fn of(items: &[&'a LogWrite]) -> Self {
        let mut columns = Self::default();
        items.iter().for_each(|item| columns.push(item));
        columns
    }

    fn push(&mut self, item: &'a LogWrite) {
        const BACK: Option<&str> = Some("compensating");
        let (status, direction, error, wake_ms) = match &item.change {
            Change::Begin { .. } | Change::Outputs => (None, None, None, None),
            Change::TurnBack { cause } => (Some("COMPENSATING"), BACK, Some(cause.as_str()), None),
            Change::MarkFailed { wake_in, .. } => {
                let wake_ms = i64::try_from(wake_in.as_millis()).unwrap_or(i64::MAX).min(LONGEST_SLEEP_MS);
                (Some("FAILED"), None, None, Some(wake_ms))
            }
            Change::End { status, error } => {
                let direction = if *status == Status::Completed { None } else { BACK };
                (Some(status.as_str()), direction, error.as_deref(), None)
            }
        };
        self.id.push(item.saga_id.0);
        self.epoch.push(item.epoch);
        self.status.push(status);
        self.direction.push(direction);
        self.error.push(error);
        self.outputs.push(row_text::json(&item.outputs));
        self.started.push(started(item));
        self.timeline.push(row_text::of_steps(&item.timeline));
        self.attention.push(reason(item));
        self.attention_stays.push(stays(item));
        self.wake_ms.push(wake_ms);
        self.changes.push(changes(item));
        self.tells_begin.push(item.begin_told != BeginTold::Yes);
        let (marks, waits_for) = match &item.change {
            Change::MarkFailed { marks, waits_for, .. } => (i32::try_from(*marks).ok(), waits_for.as_deref()),
            _ => (None, None),
        };
        self.marks.push(marks);
        self.waits_for.push(waits_for);
        self.tells_status.push(item.changes.iter().any(|change| matches!(change, StateChange::Saga { .. })));
    }

    /// Returns the columns that have values.
    pub(super) fn needed(&self) -> Columns {
        let Self { started, attention, changes, .. } = self;
        Columns::few_if(are_empty(started) && are_empty(attention) && are_empty(changes))
    }
}

fn are_empty<T>(values: &[Option<T>]) -> bool {
    values.iter().all(Option::is_none)
}

/// Returns the changes that need a row of events: none if the saga ends and its own row contains them.
fn changes(item: &LogWrite) -> Option<String> {
    if row_events::hold_all(item) { None } else { row_text::of_changes(&item.changes) }
}

fn started(item: &LogWrite) -> Option<String> {
    (!item.started.is_empty()).then(|| item.started.join(","))
}

fn reason(item: &LogWrite) -> Option<&str> {
    item.attention.as_ref().map(|mark| mark.reason.as_str())
}

fn stays(item: &LogWrite) -> bool {
    item.attention.as_ref().is_some_and(|mark| mark.until == Until::Resolved)
}
