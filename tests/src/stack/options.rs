//! The options of a test's stack, and the preparation before its services start.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use common::{
    config::{ConfigSource, Settings},
    db,
    http::Transport,
};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{
    ORCHESTRATOR, SERVICES,
    service::{ANY_PORT, listen},
};
use crate::proxy::Proxy;

/// Settings of every stack, on top of the profile.
const FOR_TESTS: [(&str, &str); 18] = [
    ("telemetry.filter", "error"),
    ("inventory.initial_stock", "100"),
    // All stacks share the hundred connections of one server.
    ("database.pool_size", "3"),
    // Short backoffs for short tests.
    ("retry.action.backoff_min_ms", "5"),
    ("retry.action.backoff_max_ms", "50"),
    ("retry.compensation.backoff_min_ms", "5"),
    ("retry.compensation.backoff_max_ms", "100"),
    ("retry.failed.backoff_min_ms", "5"),
    ("retry.failed.backoff_max_ms", "100"),
    ("supervision.backoff_min_ms", "10"),
    ("supervision.backoff_max_ms", "100"),
    ("participants.breaker_pause_ms", "200"),
    ("catalog.refresh_ms", "50"),
    ("orchestrator.heartbeat_ms", "200"),
    ("orchestrator.grace_ms", "5000"),
    ("http.drain_grace_ms", "5000"),
    ("orchestrator.begin_limit_ms", "60000"),
    // A slow machine must not look like a lost call, unless the test wants that.
    ("participants.timeout_ms", "20000"),
];

/// The options of a stack. By default there are no failures and no delays.
#[derive(Clone, Default)]
pub struct StackOptions {
    profile: Option<String>,
    folder: Option<PathBuf>,
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    proxied: Vec<&'static str>,
    behind: BTreeMap<&'static str, String>,
    pub(super) server_url: Option<String>,
    services_url: Option<String>,
    calls: Calls,
    pub(super) panics: Panics,
}

/// Effect of a service's panic on the test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panics {
    /// The test fails.
    #[default]
    Unwanted,
    /// None: the test provoked the panic.
    Provoked,
}

/// How the orchestrator calls the participants.
#[derive(Clone, Copy, Debug, Default)]
enum Calls {
    #[default]
    InProcess,
    OverTheNetwork,
}

pub(super) struct Prepared {
    pub(super) settings: Arc<Settings>,
    pub(super) listeners: Vec<(&'static str, TcpListener)>,
    pub(super) proxies: BTreeMap<&'static str, Proxy>,
    pub(super) transport: Transport,
}

impl StackOptions {
    /// Loads another profile than `bench`, which has no faults.
    pub fn profile(mut self, profile: &str) -> Self {
        self.profile = Some(profile.to_owned());
        self
    }

    /// Reads the configuration from a folder, which the services then watch, instead of the built-in files.
    pub fn folder(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Overrides a key of the configuration files.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Sets an environment variable of OpenTelemetry.
    pub fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Puts a proxy between the orchestrator and a participant.
    pub fn through_proxy(mut self, participant: &'static str) -> Self {
        self.proxied.push(participant);
        self
    }

    /// Makes the orchestrator call a participant at this URL, for a proxy between the two.
    pub fn behind(mut self, participant: &'static str, url: &str) -> Self {
        self.behind.insert(participant, url.to_owned());
        self
    }

    /// Makes the orchestrator call the participants over the network, as from a process of its own.
    pub fn over_the_network(mut self) -> Self {
        self.calls = Calls::OverTheNetwork;
        self
    }

    /// Declares that the test makes services panic.
    pub fn provoking_panics(mut self) -> Self {
        self.panics = Panics::Provoked;
        self
    }

    /// Uses another PostgreSQL server than the shared one.
    pub fn on_server(mut self, url: &str) -> Self {
        self.server_url = Some(url.to_owned());
        self
    }

    /// Gives the services another URL of the server than the tests use.
    pub fn reached_by(mut self, url: &str) -> Self {
        self.services_url = Some(url.to_owned());
        self
    }

    /// Loads the settings, without those that depend on the resources of the stack.
    pub(super) fn load(&self) -> Settings {
        self.source().load().unwrap_or_else(|errors| panic!("bad settings of a test:\n{errors}"))
    }

    fn source(&self) -> ConfigSource {
        let profile = self.profile.as_deref().unwrap_or("bench");
        let mut source = ConfigSource::embedded(profile);
        source.dir.clone_from(&self.folder);
        let chosen = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in FOR_TESTS.into_iter().chain(chosen) {
            source = source.with(key, value);
        }
        source.env.extend(self.variables.iter().cloned());
        source
    }

    /// Binds the ports and creates the databases.
    pub(super) async fn prepare(&self, server_url: &str) -> Prepared {
        let stack = format!("t{}", Uuid::new_v4().simple());
        let mut source = self.source().with("database.url", self.services_url.as_deref().unwrap_or(server_url));
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        let mut proxies = BTreeMap::new();
        for name in SERVICES {
            let listener = listen(ANY_PORT).await;
            let mut address = listener.local_addr().expect("a bound listener has an address");
            addresses.push(address);
            source = source
                .with(&format!("services.{name}.port"), address.port())
                .with(&format!("services.{name}.database"), format!("{stack}_{name}"));
            if self.proxied.contains(&name) {
                let proxy = Proxy::before(address).await;
                address = proxy.address;
                proxies.insert(name, proxy);
            }
            let url = self.behind.get(name).cloned().unwrap_or_else(|| format!("http://{address}"));
            source = source.with(&format!("services.{name}.url"), url);
            listeners.push((name, listener));
        }
        let mut settings = source.load().unwrap_or_else(|errors| panic!("bad settings of a test:\n{errors}"));
        if self.folder.is_none() {
            // There is no folder to watch.
            settings.reload = None;
        }
        let settings = Arc::new(settings);
        for name in SERVICES {
            make_database(&settings, name).await;
        }
        let transport = match self.calls {
            Calls::InProcess => Transport::in_process(addresses),
            Calls::OverTheNetwork => Transport::network(),
        };
        Prepared { settings, listeners, proxies, transport }
    }
}

async fn make_database(settings: &Settings, service: &str) {
    let (url, database) = (&settings.database.url, &settings.service(service).database);
    db::ensure_database(url, database).await.expect("the test server makes databases");
    let migrations = match service {
        ORCHESTRATOR => orchestrator::migrations(),
        participant => domain_services::migrations(participant),
    };
    db::migrate(url, database, migrations, db::OtherPrograms::AreStopped)
        .await
        .expect("migrations apply to an empty database");
}
