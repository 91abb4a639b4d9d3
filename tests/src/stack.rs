//! A whole system in this process: the five services on free ports, each with its own database.
//!
//! They are started by the same functions as in production. The orchestrator calls the participants in process, as with
//! `up`, unless the options say otherwise or a proxy is between them.

mod options;
mod service;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use common::config::Settings;
use common::http::Transport;
use common::telemetry::{ServiceName, init};
use futures::{FutureExt, future::join_all};
use parking_lot::RwLock;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Mutex, time::timeout};
use uuid::Uuid;

use self::service::Service;
pub use self::{
    options::{Panics, StackOptions},
    service::Paused,
};
use crate::{
    PATIENCE, cluster,
    database::Database,
    http::{Answer, send, try_send},
    panics,
    proxy::Proxy,
    wait_until,
};

/// The five services, participants first.
pub const SERVICES: [&str; 5] = ["catalog", "payments", "inventory", "purchases", ORCHESTRATOR];

/// The name of the orchestrator.
pub const ORCHESTRATOR: &str = "orchestrator";

/// A running system.
pub struct Stack {
    /// The settings of its services.
    pub settings: Arc<Settings>,
    server_url: String,
    /// By service: its addresses; the other services call the first.
    addresses: RwLock<BTreeMap<&'static str, Vec<SocketAddr>>>,
    turn: AtomicUsize,
    proxies: BTreeMap<&'static str, Proxy>,
    /// The running services.
    services: Mutex<BTreeMap<&'static str, Service>>,
    replicas: Mutex<Vec<Service>>,
    /// The way between the services; replicas of participants are not on it.
    transport: Transport,
    databases: Mutex<BTreeMap<String, Database>>,
    /// The thread names of all services started so far.
    threads: RwLock<Vec<String>>,
    panics: Panics,
    http: Client,
    _slot: cluster::Slot,
}

/// Runs a test on its own stack and takes it down, even if the test fails.
///
/// # Panics
/// When the test panics, or a service does not start or does not end normally.
pub async fn with_stack(options: StackOptions, test: impl AsyncFnOnce(&Stack)) {
    let stack = Stack::start(options).await;
    let outcome = AssertUnwindSafe(test(&stack)).catch_unwind().await;
    let end = stack.end().await;
    match outcome {
        Err(panic) => resume_unwind(panic),
        Ok(()) => assert!(end.is_ok(), "the stack ended badly: {end:?}"),
    }
}

impl Stack {
    /// Starts a stack. [`Stack::end`] takes it down.
    ///
    /// # Panics
    /// When a service does not start.
    pub async fn start(options: StackOptions) -> Self {
        init(&options.load().telemetry, ServiceName::Of("ecommerce"));
        let slot = cluster::Slot::take().await;
        let server_url = match &options.server_url {
            Some(url) => url.clone(),
            None => cluster::server_url().await.to_owned(),
        };
        let prepared = options.prepare(&server_url).await;
        let mut threads = Vec::new();
        let mut services = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        for (name, listener) in prepared.listeners {
            let service = Service::start(name, prepared.settings.clone(), listener, prepared.transport.clone()).await;
            addresses.insert(name, vec![service.address]);
            threads.push(service.threads.clone());
            services.insert(name, service);
        }
        Self {
            settings: prepared.settings,
            server_url,
            addresses: RwLock::new(addresses),
            turn: AtomicUsize::new(0),
            proxies: prepared.proxies,
            services: Mutex::new(services),
            replicas: Mutex::default(),
            transport: prepared.transport,
            databases: Mutex::default(),
            threads: RwLock::new(threads),
            panics: options.panics,
            http: crate::http::client(),
            _slot: slot,
        }
    }

    /// Stops all services and drops their databases.
    ///
    /// # Errors
    /// The services that did not end normally.
    pub async fn end(&self) -> Result<(), String> {
        let services = std::mem::take(&mut *self.services.lock().await);
        let replicas = std::mem::take(&mut *self.replicas.lock().await);
        // All at once: a running saga may need its participants until its grace period is over.
        let ends = join_all(services.into_values().chain(replicas).map(Service::stop)).await;
        self.drop_databases().await?;
        ends.into_iter().collect::<Result<(), String>>()?;
        let threads = std::mem::take(&mut *self.threads.write());
        let panics: Vec<String> = threads.iter().flat_map(|threads| panics::take(threads)).collect();
        match (self.panics, panics.as_slice()) {
            (_, []) | (Panics::Provoked, _) => Ok(()),
            (Panics::Unwanted, panics) => Err(format!("services panicked: {panics:#?}")),
        }
    }

    async fn drop_databases(&self) -> Result<(), String> {
        let server = timeout(PATIENCE, Database::try_connect(&self.server_url, "postgres")).await;
        let server = server.map_err(|_| "the server does not answer".to_owned())?;
        let server = server.map_err(|error| format!("the server is gone: {error}"))?;
        for name in SERVICES {
            server.run(&format!("drop database if exists {} with (force)", self.database_name(name))).await;
        }
        Ok(())
    }

    /// Returns the address of a service; of several replicas, the one that the other services call.
    ///
    /// # Panics
    /// When there is no such service.
    pub fn address(&self, service: &str) -> SocketAddr {
        self.addresses_of(service)[0]
    }

    /// Returns the addresses of a service and its replicas, in the order of their starts.
    ///
    /// # Panics
    /// When there is no such service.
    pub fn addresses_of(&self, service: &str) -> Vec<SocketAddr> {
        self.addresses.read()[service].clone()
    }

    /// Starts a replica of a service, like a second process: the two share only the database. From now on the test's
    /// requests alternate between both; the other services still call the first one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn add_replica(&self, service: &'static str) {
        self.add_replica_with(service, |_| {}).await;
    }

    /// As [`Stack::add_replica`], with settings that differ from those of the stack.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn add_replica_with(&self, service: &'static str, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.as_ref().clone();
        change(&mut settings);
        let listener = service::listen(service::ANY_PORT).await;
        let replica = Service::start(service, Arc::new(settings), listener, self.transport.clone()).await;
        self.watch(&replica);
        self.announce(service, replica.address);
        self.replicas.lock().await.push(replica);
    }

    fn watch(&self, service: &Service) {
        self.threads.write().push(service.threads.clone());
    }

    fn announce(&self, service: &'static str, address: SocketAddr) {
        let mut addresses = self.addresses.write();
        addresses.entry(service).or_default().push(address);
    }

    /// Returns the proxy between the orchestrator and a participant.
    ///
    /// # Panics
    /// When the options did not request one.
    pub fn proxy(&self, service: &str) -> &Proxy {
        &self.proxies[service]
    }

    /// Returns whether a service answers a health check with 200 within a second.
    pub async fn is_healthy(&self, service: &str) -> bool {
        const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
        let probe = self.request(Method::GET, service, "/health/").timeout(PROBE_TIMEOUT);
        let answer = try_send(probe).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Makes a request to a service, to be sent by [`send`].
    pub fn request(&self, method: Method, service: &str, path: &str) -> RequestBuilder {
        let addresses = self.addresses_of(service);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.request_at(method, addresses[turn % addresses.len()], path)
    }

    /// Makes a request to one replica of a service, to be sent by [`send`].
    pub fn request_at(&self, method: Method, address: SocketAddr, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{address}{path}"))
    }

    /// Sends a request without a body.
    pub async fn get(&self, service: &str, path: &str) -> Answer {
        send(self.request(Method::GET, service, path)).await
    }

    /// Sends a JSON body unchanged.
    pub async fn post(&self, service: &str, path: &str, body: impl ToString) -> Answer {
        send(with_json(self.request(Method::POST, service, path), body)).await
    }

    /// Sends a DELETE request.
    pub async fn delete(&self, service: &str, path: &str) -> Answer {
        send(self.request(Method::DELETE, service, path)).await
    }

    /// Changes the failure settings of a service and its replicas, until they are restarted.
    ///
    /// # Panics
    /// When the service rejects them.
    pub async fn set_faults(&self, service: &str, faults: Value) {
        for address in self.addresses_of(service) {
            let request = self.request_at(Method::PUT, address, "/debug/faults");
            let answer = send(with_json(request, &faults)).await;
            assert_eq!(answer.status, 200, "{service} takes no {faults}: {}", answer.text);
        }
    }

    /// Returns a connection to the database of a service.
    ///
    /// # Panics
    /// When the connection fails.
    pub async fn database(&self, service: &str) -> Database {
        let mut databases = self.databases.lock().await;
        match databases.get(service) {
            Some(database) if database.is_open() => database.clone(),
            _ => {
                let database = Database::connect(&self.server_url, self.database_name(service)).await;
                databases.insert(service.to_owned(), database.clone());
                database
            }
        }
    }

    /// Opens another connection to the database of a service, for a test that needs several.
    ///
    /// # Panics
    /// When the connection fails.
    pub async fn new_connection(&self, service: &str) -> Database {
        Database::connect(&self.server_url, self.database_name(service)).await
    }

    fn database_name(&self, service: &str) -> &str {
        &self.settings.service(service).database
    }

    /// Stops a service like a terminated process; its replicas continue.
    ///
    /// # Panics
    /// When it does not run, or does not end normally.
    pub async fn stop(&self, service: &str) {
        let running = self.services.lock().await.remove(service);
        let running = running.unwrap_or_else(|| panic!("{service} does not run"));
        running.stop().await.expect("a service ends well when it is told to");
    }

    /// Kills a service at any point of its work; its replicas continue.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn crash(&self, service: &str) {
        let running = self.services.lock().await.remove(service);
        running.unwrap_or_else(|| panic!("{service} does not run")).crash();
    }

    /// Restarts a stopped or killed service at its old address.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&self, service: &'static str) {
        let address = self.address(service);
        // A killed service releases its port with a short delay.
        let listener = wait_until("the port is free", PATIENCE, async || TcpListener::bind(address).await.ok()).await;
        let running = Service::start(service, self.settings.clone(), listener, self.transport.clone()).await;
        self.watch(&running);
        self.services.lock().await.insert(service, running);
    }

    /// Pauses a service like SIGSTOP, until the value is dropped; its replicas continue.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn pause(&self, service: &str) -> Paused {
        let services = self.services.lock().await;
        services.get(service).unwrap_or_else(|| panic!("{service} does not run")).pause().await
    }

    /// Stops a service and starts it again at its old address.
    ///
    /// # Panics
    /// When it does not stop or does not start.
    pub async fn restart(&self, service: &'static str) {
        self.stop(service).await;
        self.start_again(service).await;
    }
}

/// Sets the JSON body of a request, unchanged.
pub fn with_json(request: RequestBuilder, body: impl ToString) -> RequestBuilder {
    request.header("content-type", "application/json").body(body.to_string())
}

/// Makes the id of a saga that never existed: its time is an hour ago, before any saga of a test.
pub fn unknown_saga() -> Uuid {
    let hour = Duration::from_secs(3_600);
    common::ids::uuid_v7((SystemTime::now() - hour).into())
}

/// Makes an unused transaction id.
pub fn new_transaction() -> String {
    Uuid::now_v7().to_string()
}
