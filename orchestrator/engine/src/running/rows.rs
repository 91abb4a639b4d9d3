//! Rows of this process that lack an actor for a known reason: the saga was claimed and is on its way to the
//! coordinator, or its actor died and the death is not in the log yet. A search for rows without an actor skips both.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::SagaId;
use crate::recovery::ActorDeath;

/// How long a claimed saga may take to the coordinator. After that the message counts as lost: the coordinator was
/// dying.
const HANDOVER_LIMIT: Duration = Duration::from_secs(10);

/// Rows that lack an actor for a known reason.
#[derive(Debug, Default)]
pub(super) struct RowsWithoutActor {
    handed_over: HashMap<SagaId, (i32, Instant)>,
    deaths: HashMap<SagaId, ActorDeath>,
}

impl RowsWithoutActor {
    pub(super) fn hand_over(&mut self, id: SagaId, epoch: i32) {
        self.handed_over.insert(id, (epoch, Instant::now()));
    }

    /// Records that a saga has arrived at the coordinator, or never will.
    pub(super) fn arrived(&mut self, id: SagaId) {
        self.handed_over.remove(&id);
    }

    pub(super) fn none_arrives(&mut self) {
        self.handed_over.clear();
    }

    pub(super) fn died(&mut self, death: ActorDeath) {
        self.deaths.insert(death.id, death);
    }

    pub(super) fn deaths(&self) -> Vec<ActorDeath> {
        self.deaths.values().cloned().collect()
    }

    pub(super) fn recorded(&mut self, deaths: &[ActorDeath]) {
        for death in deaths {
            if self.deaths.get(&death.id) == Some(death) {
                self.deaths.remove(&death.id);
            }
        }
    }

    /// Tells whether the row lacks an actor under this epoch, or a newer one, for a known reason.
    pub(super) fn explain(&self, id: SagaId, epoch: i32) -> bool {
        let is_on_its_way = self
            .handed_over
            .get(&id)
            .is_some_and(|(handed, since)| *handed >= epoch && since.elapsed() < HANDOVER_LIMIT);
        is_on_its_way || self.deaths.get(&id).is_some_and(|death| death.epoch >= epoch)
    }
}
