//! The four domain services: catalog, payments, inventory, purchases.
//!
//! They know neither the orchestrator nor each other. Their common parts are in `participant`; each service is one file
//! of its name. A new service is such a file, a folder of SQL, and a line in `REGISTRY`.

mod catalog;
mod inventory;
mod participant;
mod payments;
mod purchases;

use std::sync::Arc;

use common::config::Settings;
use common::http::Transport;
use refinery::Runner;
use tokio::net::TcpListener;

pub use self::participant::journal;
pub use self::participant::service::StartError;
use self::participant::service::{Entry, entry};
pub use common::service::{Running, Shutdown};

const REGISTRY: [Entry; 4] = [
    entry::<catalog::Catalog>(),
    entry::<payments::Payments>(),
    entry::<inventory::Inventory>(),
    entry::<purchases::Purchases>(),
];

/// The names of the domain services, in the order of the saga's steps.
pub const PARTICIPANTS: [&str; REGISTRY.len()] = {
    let mut names = [""; REGISTRY.len()];
    let mut index = 0;
    while index < REGISTRY.len() {
        names[index] = REGISTRY[index].name;
        index += 1;
    }
    names
};

/// Starts a service on a listener. Its database must exist and be migrated, but may be unreachable for now. The service
/// takes calls over the network and by `transport` until `shutdown` has begun, then drains its requests and stops.
///
/// # Errors
/// [`StartError`] when the name is unknown, the database settings are invalid, or an actor does not start.
pub async fn start(
    service: &str,
    settings: Arc<Settings>,
    listener: TcpListener,
    transport: Transport,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    let entry = find(service).ok_or_else(|| StartError::Unknown(service.to_owned()))?;
    (entry.start)(settings, listener, transport, shutdown).await
}

/// Returns the migrations of a service's database.
///
/// # Panics
/// When the name is not in [`PARTICIPANTS`].
pub fn migrations(service: &str) -> Runner {
    let entry = find(service).unwrap_or_else(|| panic!("{service} is not a domain service"));
    (entry.migrations)()
}

fn find(service: &str) -> Option<&'static Entry> {
    static ENTRIES: [Entry; REGISTRY.len()] = REGISTRY;
    ENTRIES.iter().find(|entry| entry.name == service)
}
