//! The settings of the whole system: typed, checked together, loaded from layers.
//!
//! ```text
//! default.toml (embedded: values AND schema) < <dir>/default.toml < <profile>.toml < OTEL_* < ECOMMERCE__SECTION__KEY
//!                                                                                           < flags (`--node-id`)
//! ```
//! `config/default.toml` lists every key once, with its default and a comment. A key missing there is unknown, and a
//! value of another type is wrong: a typing mistake is an error at start, never a setting silently ignored. All
//! problems of all layers are reported together, each with the key, where it was set and the expected value.
//!
//! No other module reads settings from the environment.

mod check;
mod error;
mod layers;
mod lookup;
mod named;
mod otel;
mod pairs;
mod profiles;
mod rules;
mod sections;
mod source;
mod values;
mod variables;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use error::{ConfigErrors, ConfigProblem};
pub use foundation::judgement::Judgement;
pub use lookup::Found;
pub use named::NamedParticipantSettings;
pub(crate) use pairs::{headers, pairs};
pub use profiles::{DEVELOPMENT, PRODUCTION};
pub use sections::*;
pub use source::{ConfigFiles, ConfigSource, FlagSetting, is_absent};
pub use values::{check_token, is_callable};
pub use variables::PROGRAM_VARIABLES;

use crate::faults::{FaultChanges, FaultSettings};

/// All settings of all services. Secrets are redacted in the `Debug` form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the loaded profile: `development`, `bench`, `production` or a custom file.
    #[serde(skip)]
    pub profile: String,
    /// HTTP limits, the same for every service.
    pub http: HttpSettings,
    /// Rate limit per client.
    pub rate_limit: RateLimitSettings,
    /// Port, address and database of each of the five services, by name.
    pub services: BTreeMap<String, ServiceSettings>,
    /// Worker threads of a process.
    pub runtime: RuntimeSettings,
    /// PostgreSQL.
    pub database: DatabaseSettings,
    /// Tokens.
    pub auth: AuthSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
    /// Group-commit writers.
    pub group_commit: GroupCommitSettings,
    /// Health check.
    pub health: HealthSettings,
    /// Restart budgets.
    pub supervision: SupervisionSettings,
    /// The orchestrator's sagas and leases.
    pub orchestrator: OrchestratorSettings,
    /// The orchestrator's dashboard.
    pub ui: UiSettings,
    /// Calls from the orchestrator to participants.
    pub participants: ParticipantSettings,
    /// The participants that users name, `[participants.<name>]`.
    #[serde(skip)]
    pub named_participants: BTreeMap<String, NamedParticipantSettings>,
    /// Retry policies of calls.
    pub retry: RetrySettings,
    /// The protocol of DTM's clients.
    pub dtm: DtmSettings,
    /// Sagas of users.
    pub sagas: SagasSettings,
    /// The checkout saga.
    pub checkout: CheckoutSettings,
    /// The catalog service.
    pub catalog: CatalogSettings,
    /// The inventory service.
    pub inventory: InventorySettings,
    /// The failure lab.
    pub faults: FaultSettings,
    /// Settings that are accepted although other values are advisable.
    #[serde(skip)]
    pub warnings: Vec<ConfigProblem>,
    /// Source of these settings, for reloading; `None` when they were built in code.
    #[serde(skip)]
    pub reload: Option<ConfigSource>,
}

impl Settings {
    /// Returns the settings of a service.
    ///
    /// # Panics
    /// If `name` is not one of the five services: names are constants of this system.
    pub fn service(&self, name: &str) -> &ServiceSettings {
        self.services.get(name).unwrap_or_else(|| panic!("unknown service {name}"))
    }

    /// Returns how a participant is called: a named one by settings of its own, where it has them.
    pub fn calls_to(&self, participant: &str) -> &ParticipantSettings {
        self.named_participants.get(participant).map_or(&self.participants, |named| &named.calls)
    }

    /// Returns the URL of the server with a service's database: the service's own, else `database.url`. Empty if neither
    /// is set.
    ///
    /// # Panics
    /// See [`Settings::service`].
    pub fn server_url(&self, name: &str) -> &SecretString {
        if self.has_own_server(name) { &self.service(name).database_url } else { &self.database.url }
    }

    /// Returns the key of [`Settings::server_url`], for messages.
    ///
    /// # Panics
    /// See [`Settings::service`].
    pub fn server_key(&self, name: &str) -> String {
        if self.has_own_server(name) { format!("services.{name}.database_url") } else { "database.url".to_owned() }
    }

    fn has_own_server(&self, name: &str) -> bool {
        !self.service(name).database_url.expose_secret().is_empty()
    }

    /// Returns the server URL of a service with its login: its own role if it has a password, else the user in the URL.
    ///
    /// # Panics
    /// See [`Settings::service`].
    pub fn database_url(&self, name: &str) -> SecretString {
        let ServiceSettings { database, database_password, .. } = self.service(name);
        let server = self.server_url(name);
        match database_password.expose_secret() {
            "" => server.clone(),
            password => url_as(server.expose_secret(), database, password),
        }
    }

    /// Returns the address that a service listens on.
    ///
    /// # Panics
    /// See [`Settings::service`].
    pub fn listen_address(&self, name: &str) -> SocketAddr {
        SocketAddr::new(self.http.bind, self.service(name).port)
    }

    /// Sets each empty service URL to the listen address of the service; loopback if it listens on all interfaces.
    fn fill_in_urls(&mut self) {
        for service in self.services.values_mut() {
            if service.url.is_empty() {
                service.url = format!("http://{}", reachable(SocketAddr::new(self.http.bind, service.port)));
            }
            service.url.truncate(service.url.trim_end_matches('/').len());
        }
    }

    /// Returns whether failure settings may be changed while the system runs.
    pub fn fault_changes(&self) -> FaultChanges {
        if self.is_production() && !self.faults.enabled { FaultChanges::Refused } else { FaultChanges::Allowed }
    }

    /// Returns whether the production profile was loaded. Operator endpoints without a token are off then.
    pub fn is_production(&self) -> bool {
        self.profile == PRODUCTION
    }
}

/// Returns an address that a client can use: loopback for a service on all interfaces.
pub fn reachable(listening: SocketAddr) -> SocketAddr {
    let host = match listening.ip() {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, listening.port())
}

/// Replaces the user in a PostgreSQL URL. In both forms of such a URL the last value wins, so the user is appended.
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
