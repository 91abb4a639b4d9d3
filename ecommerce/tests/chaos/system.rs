//! A system of real processes, with proxies between orchestrators and participants, and its own PostgreSQL.

use std::{
    collections::BTreeMap,
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use common::config::{ConfigSource, Settings};
use ecommerce::facts::{self, Limits};
use orchestrator::invariants::{Report, Run};
use rand::RngExt;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tests::{
    PATIENCE, actors,
    database::Database,
    files::TemporaryFolder,
    http::{Answer, try_send},
    operations::FAULTY,
    private_cluster::PrivateCluster,
    proxy::Proxy,
    stack::with_json,
    wait_until,
};
use uuid::Uuid;

use crate::process::Process;

/// The profile of the processes; by default `development`.
const PROFILE: &str = "CHAOS_PROFILE";

/// Settings on top of the profile, whose failure rates stay: short timeouts and leases, so that rounds are short.
const FOR_CHAOS: [(&str, &str); 19] = [
    ("telemetry.filter", "warn,orchestrator=info,ractor=error"),
    ("inventory.initial_stock", "1000000"),
    ("database.pool_size", "4"),
    ("database.connect_timeout_ms", "1000"),
    ("database.statement_timeout_ms", "3000"),
    ("database.start_wait_ms", "60000"),
    ("retry.action.backoff_min_ms", "10"),
    ("retry.action.backoff_max_ms", "200"),
    ("retry.compensation.backoff_min_ms", "10"),
    ("retry.compensation.backoff_max_ms", "500"),
    ("retry.failed.backoff_min_ms", "100"),
    ("retry.failed.backoff_max_ms", "500"),
    ("supervision.max_restarts", "50"),
    ("participants.timeout_ms", "2000"),
    ("orchestrator.heartbeat_ms", "200"),
    ("orchestrator.lease_ms", "1000"),
    ("orchestrator.wait_limit_ms", "2500"),
    ("orchestrator.grace_ms", "3000"),
    ("http.drain_grace_ms", "3000"),
];

/// All faults of the transport.
const TRANSPORT_FAULTS: [(&str, &str); 4] = [
    ("unavailable_rate", "0.03"),
    ("lost_reply_rate", "0.03"),
    ("cut_connection_rate", "0.01"),
    ("duplicate_rate", "0.05"),
];

/// Longer than the wait limit: a client times out only if no orchestrator runs to answer it.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Options of a system.
pub(crate) struct Options {
    profile: String,
    nodes: Vec<&'static str>,
    settings: Vec<(String, String)>,
    way: Way,
}

/// How the orchestrators reach the participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A proxy accepts connections even while its participant is down.
    ThroughProxies,
    /// A participant that is down refuses connections.
    Direct,
}

impl Options {
    /// One orchestrator per node id. The failure rates of the profile (those of the exercise, unless `CHAOS_PROFILE`
    /// selects another one), almost no latency, and no other fault.
    pub(crate) fn new(nodes: &[&'static str]) -> Self {
        let profile = env::var(PROFILE).unwrap_or_else(|_| "development".to_owned());
        let mut options = Self { profile, nodes: nodes.to_vec(), settings: Vec::new(), way: Way::ThroughProxies };
        for (key, value) in FOR_CHAOS {
            options = options.set(key, value);
        }
        for (service, operation) in FAULTY {
            options = options.latency(service, operation, 1, 10);
        }
        options
    }

    /// No participant fails by chance, so every purchase completes unless a disaster reverts it.
    pub(crate) fn without_failures(mut self) -> Self {
        "bench".clone_into(&mut self.profile);
        self
    }

    /// Without proxies between orchestrators and participants.
    pub(crate) fn without_proxies(mut self) -> Self {
        self.way = Way::Direct;
        self
    }

    /// Enables every fault of the transport for every operation.
    pub(crate) fn with_transport_faults(mut self) -> Self {
        for (service, operation) in FAULTY {
            for (fault, rate) in TRANSPORT_FAULTS {
                self = self.set(&format!("faults.{service}.{operation}.{fault}"), rate);
            }
        }
        self
    }

    pub(crate) fn latency(self, service: &str, operation: &str, min_ms: u32, max_ms: u32) -> Self {
        let key = format!("faults.{service}.{operation}.latency_ms");
        self.set(&format!("{key}.min"), min_ms).set(&format!("{key}.max"), max_ms)
    }

    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    fn environment(&self) -> Vec<(String, String)> {
        let variable = |key: &str| format!("ECOMMERCE__{}", key.to_uppercase().replace('.', "__"));
        let settings = self.settings.iter().map(|(key, value)| (variable(key), value.clone()));
        [("ECOMMERCE_PROFILE".to_owned(), self.profile.clone())].into_iter().chain(settings).collect()
    }
}

/// A running system; dropping it stops all of it.
pub(crate) struct System {
    pub(crate) participants: BTreeMap<&'static str, Process>,
    pub(crate) orchestrators: Vec<Process>,
    /// The orchestrators' node ids.
    pub(crate) nodes: Vec<&'static str>,
    pub(crate) proxies: BTreeMap<&'static str, Proxy>,
    pub(crate) cluster: PrivateCluster,
    settings: Settings,
    http: Client,
    turn: AtomicUsize,
    _folder: TemporaryFolder,
}

impl System {
    /// Starts everything and waits until it is healthy.
    pub(crate) async fn start(options: Options) -> Self {
        let system = Self::launch(options).await;
        system.wait_for_health().await;
        system
    }

    /// Starts everything, without waiting for its health.
    pub(crate) async fn launch(mut options: Options) -> Self {
        let cluster = PrivateCluster::start().await;
        let folder = TemporaryFolder::new();
        let mut ports = BTreeMap::new();
        let mut proxies = BTreeMap::new();
        for service in domain_services::PARTICIPANTS {
            let address = free_address();
            let proxy = Proxy::before(address).await;
            let reached_at = match options.way {
                Way::ThroughProxies => proxy.address,
                Way::Direct => address,
            };
            options = options.set(&format!("services.{service}.url"), format!("http://{reached_at}"));
            ports.insert(service, address);
            proxies.insert(service, proxy);
        }
        options = options.set("database.url", &cluster.url);
        let environment = options.environment();
        let process = |name: &str, address: SocketAddr, more: &[&str]| {
            let port = address.port().to_string();
            let mut arguments = vec!["serve", name, "--port", &port];
            arguments.extend(more);
            let arguments = arguments.into_iter().map(str::to_owned).collect();
            let log = folder.path().join(format!("{name}-{port}.log"));
            Process::new(&format!("{name} {port}"), address, arguments, environment.clone(), log)
        };
        let participants =
            ports.into_iter().map(|(service, address)| (service, process(service, address, &[]))).collect();
        let orchestrators =
            options.nodes.iter().map(|node| process(ORCHESTRATOR, free_address(), &["--node-id", node])).collect();
        let settings = ConfigSource::embedded(&options.profile).with("database.url", &cluster.url).load().unwrap();
        let http = common::tls::http_client().pool_max_idle_per_host(0).timeout(CLIENT_TIMEOUT).build().unwrap();
        migrate(&environment);
        let turn = AtomicUsize::new(0);
        let nodes = options.nodes;
        let system =
            Self { participants, orchestrators, nodes, proxies, cluster, settings, http, turn, _folder: folder };
        system.all().for_each(Process::start);
        system
    }

    /// Returns all processes, participants first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Process> {
        self.participants.values().chain(&self.orchestrators)
    }

    /// Waits until every running process is healthy.
    pub(crate) async fn wait_for_health(&self) {
        self.wait_for_health_of(self.all()).await;
    }

    /// Waits until the running ones of these processes are healthy.
    pub(crate) async fn wait_for_health_of(&self, processes: impl Iterator<Item = &Process>) {
        for process in processes.filter(|process| process.is_running()) {
            wait_until(&format!("{} is healthy", process.name), PATIENCE, async || {
                assert!(process.is_running(), "{} ended unexpectedly:\n{}", process.name, process.said());
                self.is_healthy(process).await.then_some(())
            })
            .await;
        }
    }

    pub(crate) async fn is_healthy(&self, process: &Process) -> bool {
        let probe = self.request(Method::GET, process, "/health/").timeout(PROBE_TIMEOUT);
        try_send(probe).await.is_ok_and(|answer| answer.status == 200)
    }

    pub(crate) fn request(&self, method: Method, process: &Process, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", process.address))
    }

    /// Returns the orchestrators in turn, running or not.
    pub(crate) fn next_orchestrator(&self) -> &Process {
        &self.orchestrators[self.turn.fetch_add(1, Ordering::Relaxed) % self.orchestrators.len()]
    }

    /// Sends one order to an orchestrator, without retries.
    pub(crate) async fn order_at(&self, process: &Process, user: &str) -> Result<Answer, reqwest::Error> {
        let body = json!({ "user_id": user, "amount": 10 });
        try_send(with_json(self.request(Method::POST, process, "/saga/transaction"), body)).await
    }

    /// Returns an orchestrator's view of a saga; `None` if it does not exist.
    pub(crate) async fn status(&self, process: &Process, id: &str) -> Result<Option<Value>, String> {
        let request = self.request(Method::GET, process, &format!("/saga/status/{id}"));
        match try_send(request).await {
            Ok(Answer { status: 404, .. }) => Ok(None),
            Ok(answer) if answer.status == 200 => Ok(Some(answer.json())),
            Ok(answer) => Err(format!("{}: {}", answer.status, answer.text)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Connects to the saga log.
    pub(crate) async fn log(&self) -> Database {
        Database::connect(&self.cluster.url, &self.settings.service(ORCHESTRATOR).database).await
    }

    /// Waits until a node has at least this many running sagas, and returns them.
    pub(crate) async fn unfinished_of(&self, node: &str, at_least: usize) -> Vec<Uuid> {
        let log = self.log().await;
        wait_until(&format!("{at_least} sagas of node {node} run"), PATIENCE, async || {
            let rows = log.rows("select id from saga where owner_node = $1 and ended_at is null", &[&node]).await;
            (rows.len() >= at_least).then(|| rows.iter().map(|row| row.get(0)).collect())
        })
        .await
    }

    /// Waits until no saga runs: neither in the log nor in the memory of an orchestrator that has not written it yet.
    pub(crate) async fn settle(&self) {
        let log = self.log().await;
        wait_until("every saga has ended", PATIENCE * 2, async || {
            let unfinished = log.number("select count(*) from saga where ended_at is null", &[]).await;
            if unfinished > 0 {
                return None;
            }
            for orchestrator in self.orchestrators.iter().filter(|process| process.is_running()) {
                if self.running(orchestrator).await != Some(0) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Returns the number of sagas that an orchestrator runs, if it answers.
    pub(crate) async fn running(&self, orchestrator: &Process) -> Option<u64> {
        let request = self.request(Method::GET, orchestrator, "/debug/actors").timeout(PROBE_TIMEOUT);
        let answer = try_send(request).await.ok()?;
        let tree = serde_json::from_str(&answer.text).ok()?;
        actors::named(&tree, "coordinator").state["running"].as_u64()
    }

    /// Waits until an orchestrator has dealt with this many more messages about calls to a participant: a call is two.
    pub(crate) async fn wait_for_calls(&self, orchestrator: &Process, participant: &str, messages: u64) {
        let client = format!("{participant}-client");
        let handled = async || {
            let answer = try_send(self.request(Method::GET, orchestrator, "/debug/actors")).await.ok()?;
            let tree = serde_json::from_str(&answer.text).ok()?;
            Some(actors::named(&tree, &client).messages_handled)
        };
        let begun = wait_until("the orchestrator shows its actors", PATIENCE, handled).await;
        wait_until(&format!("{participant} is called again and again"), PATIENCE, async || {
            (handled().await? >= begun + messages).then_some(())
        })
        .await;
    }

    /// Audits the databases after all sagas have ended.
    pub(crate) async fn audit(&self) -> Report {
        let report = facts::audit(&self.settings, Run::Over, Limits::default()).await.unwrap();
        assert!(report.is_clean(), "the databases do not agree: {report:#?}");
        report
    }
}

/// The name of the orchestrator's service.
pub(crate) const ORCHESTRATOR: &str = orchestrator::SERVICE;

/// Finds a port that stays free while its service is down: outside the kernel's range of ephemeral ports.
fn free_address() -> SocketAddr {
    let mut rng = rand::rng();
    let candidates =
        std::iter::repeat_with(|| SocketAddr::from((Ipv4Addr::LOCALHOST, rng.random_range(20_000..32_000))));
    candidates.take(1_000).find(|address| TcpListener::bind(address).is_ok()).expect("some port is free")
}

fn migrate(environment: &[(String, String)]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecommerce"));
    let environment = environment.iter().map(|(name, value)| (name, value));
    let output = command.current_dir("/").arg("migrate").envs(environment).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
