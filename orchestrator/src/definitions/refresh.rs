//! Keeps the definitions of this node in step with the saga log's database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::group_commit::{BatchSender, ReadError};
use common::supervision::{ActorEntry, ChildSpec, Periodic, every};
use parking_lot::Mutex;
use saga_definitions::{Format, Identity};
use smol_str::SmolStr;
use tokio::sync::SetOnce;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{Given, Registry};
use crate::store::definitions::{self, StoredDefinition, Storing};
use crate::store::writer::SagaLogWriter;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads begin this long before the newest definition: the transaction that stored another one may have been slower.
const OVERLAP: TimeDelta = TimeDelta::minutes(1);

/// The actor's state.
pub(crate) struct Refresh {
    pub(crate) registry: Arc<Registry>,
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    /// This process.
    pub(crate) incarnation: Uuid,
    /// Definitions from files that are not in the database yet.
    pub(crate) files: Mutex<Vec<Given>>,
    /// Time of the newest definition that was read.
    pub(crate) newest: Mutex<Option<DateTime<Utc>>>,
    /// Definitions in the database that this node cannot run.
    pub(crate) unusable: Mutex<BTreeSet<String>>,
    /// Set when a file differs from the definition of its name and version, to what must be done.
    pub(crate) conflict: Arc<SetOnce<String>>,
}

pub(crate) fn refresh(entry: Arc<ActorEntry>, refresh: Refresh) -> ChildSpec {
    every(entry, Duration::ZERO, refresh)
}

impl Periodic for Refresh {
    async fn run(&self) -> Duration {
        if let Err(error) = self.look().await {
            // The saga log's own health shows that it cannot be read.
            debug!(%error, "the definitions could not be read");
        }
        LOOK_EVERY
    }
}

impl Refresh {
    async fn look(&self) -> Result<(), ReadError> {
        self.store_files().await?;
        let since = self.newest.lock().map(|newest| newest - OVERLAP);
        let own = self.incarnation;
        let read = self.saga_log.read(move |connection| {
            Box::pin(async move {
                let newer = definitions::newer(connection, since).await?;
                Ok((newer, definitions::of_other_nodes(connection, own).await?))
            })
        });
        let ((newer, newest), listed) = read.await?;
        for stored in newer {
            self.learn(&stored);
        }
        if newest.is_some() {
            *self.newest.lock() = newest;
        }
        self.registry.others.store(Arc::new(listed));
        Ok(())
    }

    /// Stores the definitions from files, which are known from then on.
    async fn store_files(&self) -> Result<(), ReadError> {
        loop {
            let Some(stored) = self.files.lock().last().map(Given::stored) else { return Ok(()) };
            let title = saga_engine::definition::title(&stored.name, stored.version);
            let origin = stored.origin.clone();
            let store = self.saga_log.read_in_reserve(move |connection| {
                Box::pin(async move { definitions::store(connection, &stored).await })
            });
            match store.await? {
                Storing::New | Storing::Equal => {
                    let Some(given) = self.files.lock().pop() else { return Ok(()) };
                    info!(definition = title, origin, "a saga definition is known");
                    self.registry.add(given);
                }
                Storing::Differs(other) => {
                    let _ = self.conflict.set(format!(
                        "{origin} is not the definition {title} of this database, which came from {other}: raise the \
                         version in the file"
                    ));
                    return Ok(());
                }
            }
        }
    }

    fn learn(&self, stored: &StoredDefinition) {
        let title = saga_engine::definition::title(&stored.name, stored.version);
        let is_known = self.registry.given().contains_key(&(SmolStr::new(&stored.name), stored.version));
        // A file with this name and version is compared first.
        let is_in_a_file = self.files.lock().iter().any(|given| given.definition.title() == title);
        if is_known || is_in_a_file || self.unusable.lock().contains(&title) {
            return;
        }
        match self.registry.check(&stored.body, Format::Json, Identity::Inside, &stored.origin) {
            Ok(given) => {
                info!(definition = title, origin = stored.origin, "a saga definition is known");
                self.registry.add(given);
            }
            Err(rejected) => {
                warn!(definition = title, %rejected, "this node cannot run a saga definition");
                self.unusable.lock().insert(title);
            }
        }
    }
}
