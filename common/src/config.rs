//! The settings of the whole system: typed, checked as a whole, loaded from layers.
//!
//! ```text
//! default.toml (embedded: values AND schema) < <dir>/default.toml < <profile>.toml < ECOMMERCE__SECTION__KEY
//! ```
//! `config/default.toml` names every knob once, with its default and a comment; a key that is not there is unknown,
//! a value of another type is wrong. So a typing mistake is an error at start and never a setting silently ignored.
//! All problems of all layers are reported together, each with the key, where it was set and what was expected.
//!
//! Nothing else in the system reads the environment for settings.

mod check;
mod error;
mod layers;
mod rules;
mod sections;
mod source;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde::Deserialize;

pub(crate) use check::closest;
pub use error::{ConfigErrors, ConfigProblem};
pub use sections::*;
pub use source::{ConfigFiles, ConfigSource, DEVELOPMENT, PRODUCTION};

use crate::faults::FaultSettings;

/// Holds every setting of every service. Secrets are redacted in its `Debug` form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The profile that was loaded: `development`, `bench`, `production` or a file of one's own.
    #[serde(skip)]
    pub profile: String,
    /// The front of every service.
    pub http: HttpSettings,
    /// How often one client may ask.
    pub rate_limit: RateLimitSettings,
    /// Port, address and database of each of the five services, by name.
    pub services: BTreeMap<String, ServiceSettings>,
    /// PostgreSQL.
    pub database: DatabaseSettings,
    /// Tokens.
    pub auth: AuthSettings,
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// The writers that commit in groups.
    pub group_commit: GroupCommitSettings,
    /// Restart budgets.
    pub supervision: SupervisionSettings,
    /// The orchestrator's sagas and leases.
    pub orchestrator: OrchestratorSettings,
    /// How the orchestrator calls participants.
    pub participants: ParticipantSettings,
    /// When a call is tried again.
    pub retry: RetrySettings,
    /// The saga itself.
    pub checkout: CheckoutSettings,
    /// The catalog service.
    pub catalog: CatalogSettings,
    /// The inventory service.
    pub inventory: InventorySettings,
    /// The failure lab.
    pub faults: FaultSettings,
    /// Where these settings came from, so that they can be loaded again; `None` when made by hand.
    #[serde(skip)]
    pub reload: Option<ConfigSource>,
}

impl Settings {
    /// Returns the settings of a service.
    ///
    /// # Panics
    /// When the name is none of the five services: names are constants of this system.
    pub fn service(&self, name: &str) -> &ServiceSettings {
        self.services.get(name).unwrap_or_else(|| panic!("{name} is no service of this system"))
    }

    /// Returns the address that a service listens on.
    ///
    /// # Panics
    /// As [`Settings::service`].
    pub fn listen_address(&self, name: &str) -> SocketAddr {
        SocketAddr::new(self.http.bind, self.service(name).port)
    }

    /// Gives every service without an address the one that it listens on: loopback where it listens on all interfaces.
    fn fill_in_urls(&mut self) {
        let host = match self.http.bind {
            IpAddr::V4(address) if address.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::V6(address) if address.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
            address => address,
        };
        for service in self.services.values_mut() {
            if service.url.is_empty() {
                service.url = format!("http://{}", SocketAddr::new(host, service.port));
            }
            service.url.truncate(service.url.trim_end_matches('/').len());
        }
    }

    /// Says whether the production profile was loaded: operator endpoints without a token are off then.
    pub fn is_production(&self) -> bool {
        self.profile == PRODUCTION
    }
}

#[cfg(test)]
mod tests;
