//! The list of the five services, for the commands that start or migrate them.

use std::{collections::BTreeSet, error::Error, net::SocketAddr, num::NonZero, sync::Arc, time::Duration};

use common::{
    config::{ServiceSettings, Settings},
    db::{self, DbError, Newer, OtherPrograms, SchemaError},
    http::Transport,
    service::{Running, Shutdown},
};
use refinery::Runner;
use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
};
use tracing::info;

use crate::ending::Failure;

/// The names of all services; the participants come first, since the orchestrator needs them.
pub(crate) const SERVICES: [&str; domain_services::PARTICIPANTS.len() + 1] = {
    let mut names = [orchestrator::SERVICE; domain_services::PARTICIPANTS.len() + 1];
    let mut index = 0;
    while index < domain_services::PARTICIPANTS.len() {
        names[index] = domain_services::PARTICIPANTS[index];
        index += 1;
    }
    names
};

/// Returns the service that a module belongs to, or the program if it belongs to none.
pub(crate) fn name_of(module: &str) -> &'static str {
    let mut parts = module.split("::");
    match (parts.next(), parts.next()) {
        (Some("orchestrator" | "saga_engine" | "saga_definitions"), _) => orchestrator::SERVICE,
        (Some("domain_services"), Some(module)) => {
            SERVICES.into_iter().find(|service| *service == module).unwrap_or("ecommerce")
        }
        _ => "ecommerce",
    }
}

/// Binds the port of a service, and replaces port 0 by the chosen port in its settings.
pub(crate) async fn bind(settings: &mut Settings, service: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let address = settings.listen_address(service);
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    let (listener, address) = bound.await.map_err(|error: std::io::Error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => "the port is taken".to_owned(),
            _ => error.to_string(),
        };
        Failure::Broken(format!(
            "{service} cannot listen on {address}: {reason}; stop what listens there, or set services.{service}.port \
             (ECOMMERCE__SERVICES__{}__PORT) or http.bind",
            service.to_uppercase()
        ))
    })?;
    if let Some(service) = settings.services.get_mut(service) {
        if let Some(host) = service.url.strip_suffix(":0") {
            service.url = format!("{host}:{}", address.port());
        }
        service.port = address.port();
    }
    Ok((listener, address))
}

/// The runtime of the services. Dropping it ends its threads without waiting for work abandoned by a forced stop.
pub(crate) struct Threads {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts the threads for this number of services in this process. The services share them: then a saga's work in a
    /// service mostly runs on the thread that requested it, without waking another.
    pub(crate) fn start(settings: &Settings, services: usize) -> Result<Self, Failure> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(settings.runtime.threads(processors, services))
            .thread_name("services")
            .enable_all()
            .build()
            .map_err(|error| Failure::broken("cannot start the threads", &error))?;
        Ok(Self { runtime: Some(runtime) })
    }

    pub(crate) async fn run(
        &self,
        service: &'static str,
        settings: Arc<Settings>,
        listener: TcpListener,
        transport: Transport,
        shutdown: Shutdown,
    ) -> Result<Running, Failure> {
        let not_started = format!("{service} did not start");
        let listener = listener.into_std().map_err(|error| Failure::broken(&not_started, &error))?;
        let started = async move {
            // Registers the listener with this runtime.
            let listener = TcpListener::from_std(listener)?;
            if service == orchestrator::SERVICE {
                Ok(orchestrator::start(settings, listener, transport, shutdown).await?)
            } else {
                Ok(domain_services::start(service, settings, listener, transport, shutdown).await?)
            }
        };
        let Some(runtime) = &self.runtime else { return Err(Failure::Broken(not_started)) };
        let started: Result<Result<Running, Box<dyn Error + Send + Sync>>, _> = runtime.spawn(started).await;
        match started {
            Ok(Ok(running)) => Ok(running),
            Ok(Err(error)) => Err(Failure::broken(&not_started, &*error)),
            Err(died) => Err(Failure::broken(&not_started, &died)),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Result of migrating one database.
pub(crate) struct Migrated {
    pub(crate) service: &'static str,
    pub(crate) database: String,
    pub(crate) applied: usize,
    /// Migrations of a newer program, which are accepted.
    pub(crate) newer: Option<Newer>,
}

/// Waits until the servers answer, creates missing databases and roles on each, and migrates all of them.
pub(crate) async fn migrate(settings: &Settings, others: OtherPrograms) -> Result<Vec<Migrated>, Failure> {
    let mut waited_for = BTreeSet::new();
    for service in SERVICES {
        if waited_for.insert(settings.server_url(service).expose_secret()) {
            wait_for_server(settings, service).await.map_err(database_failure(settings, service))?;
        }
    }
    let mut migrated = Vec::new();
    for service in SERVICES {
        let done = migrate_one(settings, service, others).await.map_err(database_failure(settings, service))?;
        let database = settings.service(service).database.clone();
        migrated.push(Migrated { service, database, applied: done.applied, newer: done.newer });
    }
    Ok(migrated)
}

/// Waits as the user of the server's URL; if it names none, as the service's own role, which must then exist.
async fn wait_for_server(settings: &Settings, service: &str) -> Result<(), DbError> {
    let start_wait = Duration::from_millis(settings.database.start_wait_ms);
    let server = settings.server_url(service);
    let ServiceSettings { database, database_password, .. } = settings.service(service);
    if db::names_user(server)? {
        db::wait_for(server, None, start_wait).await?;
        return db::check_pooling(server, None).await;
    }
    if database_password.expose_secret().is_empty() {
        db::wait_for(server, None, start_wait).await
    } else {
        db::wait_for(&settings.database_url(service), Some(database), start_wait).await
    }
}

async fn migrate_one(settings: &Settings, service: &str, others: OtherPrograms) -> Result<db::Migrated, DbError> {
    let server = settings.server_url(service);
    let ServiceSettings { database, database_password, .. } = settings.service(service);
    if database_password.expose_secret().is_empty() {
        db::ensure_database(server, database).await?
    } else {
        db::ensure_owned_database(server, database, database_password).await?
    }
    db::migrate(&settings.database_url(service), database, migrations(service), others).await
}

fn migrations(service: &str) -> Runner {
    if service == orchestrator::SERVICE { orchestrator::migrations() } else { domain_services::migrations(service) }
}

/// Makes failures of a service's database, which name the service and the key of the URL.
pub(crate) fn database_failure(settings: &Settings, service: &str) -> impl FnOnce(DbError) -> Failure {
    move |error| Failure::database(service, &settings.server_key(service), &error)
}

/// Checks that a service's database exists and has every migration. Migrations of a newer program are accepted, unless
/// they state that this one is too old.
pub(crate) async fn check_migrated(settings: &Settings, service: &str) -> Result<(), Failure> {
    let (database, key) = (&settings.service(service).database, settings.server_key(service));
    let advice = "`ecommerce migrate` brings it up to date";
    let unusable = |error| match (Failure::database(service, &key, &error), &error) {
        (Failure::Broken(line), DbError::Refused { .. }) => Failure::Broken(format!("{line}; {advice}")),
        (
            Failure::Broken(line),
            DbError::Schema { reason: SchemaError::Behind { .. } | SchemaError::NeverMigrated, .. },
        ) => Failure::Broken(format!("{line}: {advice}")),
        (failure, _) => failure,
    };

    let url = settings.database_url(service);
    db::check_pooling(&url, Some(database)).await.map_err(unusable)?;
    let connection = db::Connection::open(&url, database, &settings.database).await.map_err(unusable)?;
    if let Some(Newer { applied, known }) =
        db::check_schema(&connection, database, &migrations(service)).await.map_err(unusable)?
    {
        info!(service, database, applied, known, "the database has migrations of a newer program, which are accepted");
    }
    Ok(())
}
