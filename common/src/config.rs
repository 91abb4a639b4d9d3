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
mod lookup;
mod rules;
mod sections;
mod source;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub(crate) use check::closest;
pub use error::{ConfigErrors, ConfigProblem};
pub use lookup::Found;
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
    /// The threads of a process.
    pub runtime: RuntimeSettings,
    /// PostgreSQL.
    pub database: DatabaseSettings,
    /// Tokens.
    pub auth: AuthSettings,
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// The writers that commit in groups.
    pub group_commit: GroupCommitSettings,
    /// What the health check asks for.
    pub health: HealthSettings,
    /// Restart budgets.
    pub supervision: SupervisionSettings,
    /// The orchestrator's sagas and leases.
    pub orchestrator: OrchestratorSettings,
    /// The orchestrator's dashboard.
    pub ui: UiSettings,
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

    /// Returns the URL of the server, as whom a service logs in there: the role of its own where it has a password, else
    /// the user whom `database.url` names.
    ///
    /// # Panics
    /// As [`Settings::service`].
    pub fn database_url(&self, name: &str) -> SecretString {
        let ServiceSettings { database, database_password, .. } = self.service(name);
        match database_password.expose_secret() {
            "" => self.database.url.clone(),
            password => url_as(self.database.url.expose_secret(), database, password),
        }
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

/// Names another user in a URL of PostgreSQL. In both forms of such a URL what comes later counts, so it is put at the end.
fn url_as(url: &str, user: &str, password: &str) -> SecretString {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    SecretString::from(match (is_url, url.contains('?')) {
        (true, true) => format!("{url}&user={}&password={}", encoded(user), encoded(password)),
        (true, false) => format!("{url}?user={}&password={}", encoded(user), encoded(password)),
        (false, _) => format!("{url} user='{}' password='{}'", quoted(user), quoted(password)),
    })
}

#[cfg(test)]
mod tests;
