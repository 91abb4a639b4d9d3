//! Idempotency keys: the saga that holds a key, and the release of keys after their retention.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{DurableLog, Row};
use orchestrator::checkout::Order;
use saga_engine::SagaId;
use saga_engine::record::NewSaga;

impl Row {
    /// Tells whether the key was released, at the end of its retention by the database's clock or later.
    fn was_key_kept(&self, kept: Duration) -> bool {
        let kept = TimeDelta::from_std(kept).unwrap_or(TimeDelta::MAX);
        self.key_released_at.zip(self.truly_ended_at).is_some_and(|(released, ended)| released - ended >= kept)
    }
}

impl DurableLog {
    pub(super) fn key_holder(&self, saga: &NewSaga) -> Option<SagaId> {
        let key = saga.key.as_ref()?;
        let holds = |row: &Row| row.key.as_ref().is_some_and(|held| held.scope == key.scope && held.key == key.key);
        self.rows.iter().find(|(_, row)| holds(row)).map(|(id, _)| *id)
    }

    /// Releases the keys of sagas that ended longer than `kept` ago. A row that is locked by another transaction is
    /// skipped.
    pub fn release_keys(&mut self, kept: Duration, now: DateTime<Utc>) {
        let ended_before = now - kept;
        for (id, row) in &mut self.rows {
            let is_old = row.ended_at.is_some_and(|at| at < ended_before);
            if is_old && self.open.on(*id).is_none() && row.key.take().is_some() {
                row.key_released_at = Some(now);
                self.keys_released += 1;
            }
        }
    }

    /// Returns how many sagas began with a key that another saga had held before.
    pub(crate) fn keys_used_again(&self) -> u64 {
        self.by_key().values().map(|sagas| sagas.len() as u64 - 1).sum()
    }

    /// Returns the users with more than one saga under one key within its retention, and these sagas. Each client of a
    /// run has its own user and key.
    pub(crate) fn bought_twice(&self, kept: Duration) -> Vec<(String, Vec<SagaId>)> {
        let mut sagas = self.by_key();
        for ids in sagas.values_mut() {
            ids.retain(|id| !self.rows[id].was_key_kept(kept));
        }
        sagas.into_iter().filter(|(_, ids)| ids.len() > 1).collect()
    }

    fn by_key(&self) -> BTreeMap<String, Vec<SagaId>> {
        let mut sagas: BTreeMap<String, Vec<SagaId>> = BTreeMap::new();
        for (id, row) in self.rows.iter().filter(|(_, row)| row.had_key) {
            sagas.entry(Order::of_input(&row.input).user_id.into_string()).or_default().push(*id);
        }
        sagas
    }
}
