//! The list of the five services, for the commands that start or migrate them.

use std::{error::Error, net::SocketAddr, num::NonZero, sync::Arc, time::Duration};

use common::{
    config::{ServiceSettings, Settings},
    db,
    service::Running,
};
use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
};
use tokio_util::sync::CancellationToken;

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

pub(crate) async fn bind(settings: &Settings, service: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let address = settings.listen_address(service);
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(|error: std::io::Error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => "the port is taken".to_owned(),
            _ => error.to_string(),
        };
        Failure::Broken(format!(
            "{service} cannot listen on {address}: {reason}; stop what listens there, or set services.{service}.port \
             (ECOMMERCE__SERVICES__{}__PORT) or http.bind",
            service.to_uppercase()
        ))
    })
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
        shutdown: CancellationToken,
    ) -> Result<Running, Failure> {
        let not_started = format!("{service} did not start");
        let listener = listener.into_std().map_err(|error| Failure::broken(&not_started, &error))?;
        let started = async move {
            // Registers the listener with this runtime.
            let listener = TcpListener::from_std(listener)?;
            match service == orchestrator::SERVICE {
                true => Ok(orchestrator::start(settings, listener, shutdown).await?),
                false => Ok(domain_services::start(service, settings, listener, shutdown).await?),
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
}

/// Waits until the server answers, creates missing databases and roles, and migrates all of them.
pub(crate) async fn migrate(settings: &Settings) -> Result<Vec<Migrated>, Failure> {
    wait_for_server(settings).await?;
    let server = &settings.database.url;
    if db::names_user(server)? {
        db::check_pooling(server, None).await?;
    }
    let mut migrated = Vec::new();
    for service in SERVICES {
        let ServiceSettings { database, database_password, .. } = settings.service(service).clone();
        match database_password.expose_secret().is_empty() {
            true => db::ensure_database(server, &database).await?,
            false => db::ensure_owned_database(server, &database, &database_password).await?,
        }
        let url = settings.database_url(service);
        let applied = match service == orchestrator::SERVICE {
            true => db::migrate(&url, &database, orchestrator::migrations()).await?,
            false => db::migrate(&url, &database, domain_services::migrations(service)).await?,
        };
        migrated.push(Migrated { service, database, applied });
    }
    Ok(migrated)
}

/// Waits as the user of `database.url`; if it names none, as a service's own role, which must then exist.
async fn wait_for_server(settings: &Settings) -> Result<(), Failure> {
    let start_wait = Duration::from_millis(settings.database.start_wait_ms);
    let server = &settings.database.url;
    let owned = SERVICES.map(|service| (service, settings.service(service)));
    let own_role = owned.iter().find(|(_, service)| !service.database_password.expose_secret().is_empty());
    match own_role {
        Some((service, ServiceSettings { database, .. })) if !db::names_user(server)? => {
            db::wait_for(&settings.database_url(service), Some(database), start_wait).await?;
        }
        _ => db::wait_for(server, None, start_wait).await?,
    }
    Ok(())
}

/// Checks that a service's database exists and has every migration. Additional migrations of a newer program are
/// accepted, since migrations only add.
pub(crate) async fn check_migrated(settings: &Settings, service: &str) -> Result<(), Failure> {
    let database = &settings.service(service).database;
    let advice = "`ecommerce migrate` brings it up to date";
    let runner = match service == orchestrator::SERVICE {
        true => orchestrator::migrations(),
        false => domain_services::migrations(service),
    };
    let newest = runner.get_migrations().iter().map(|migration| migration.version()).max();
    let outdated = |reason: &str| Failure::Broken(format!("database {database} {reason}: {advice}"));
    let unusable = |error| match error {
        db::DbError::Refused { .. } => Failure::Broken(format!("{error}; {advice}")),
        other => Failure::from(other),
    };

    let url = settings.database_url(service);
    db::check_pooling(&url, Some(database)).await.map_err(unusable)?;
    let connection = db::Connection::open(&url, database, &settings.database).await.map_err(unusable)?;
    let applied = connection
        .client()
        .query_one("select max(version)::int8 from refinery_schema_history", &[])
        .await
        .map_err(|_| outdated("was never migrated"))?
        .get::<_, Option<i64>>(0);
    match applied >= newest.map(i64::from) {
        true => Ok(()),
        false => Err(outdated("is behind this program")),
    }
}
