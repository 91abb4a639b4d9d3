//! Opening a session: the hosts of the URL are asked in turn until one is a primary.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::info;

use super::host::Host;
use super::hosts::{Hosts, Place, TimeForAll, preferred_first};
use super::notices::{self, CancelledWait};
use super::session::{self, Origin, Role, Session};
use super::timeline::Timeline;
use super::tls::{Tls, may_work_otherwise};
use super::url::{ServerUrl, Standbys};
use super::{DbError, MAINTENANCE_DATABASE};
use crate::config::DatabaseSettings;

/// Connect timeout for callers without settings.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A new connection.
struct Opened {
    client: Client,
    cancelled_wait: CancelledWait,
}

/// Where to connect, and with which session settings.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) hosts: Arc<Hosts>,
    /// Everything but the host.
    pub(super) config: Config,
    standbys: Standbys,
    tls: Tls,
    /// For all hosts together.
    pub(super) connect_timeout: Duration,
    /// Session settings: those of the URL first, then ours.
    settings: Vec<(String, String)>,
}

impl Target {
    pub(super) fn new(
        server: &SecretString,
        database: Option<&str>,
        settings: Option<&DatabaseSettings>,
    ) -> Result<Self, DbError> {
        let ServerUrl { mut config, hosts, settings: of_url, standbys, tls } =
            ServerUrl::parse(server.expose_secret()).map_err(DbError::Url)?;
        if let Some(database) = database {
            config.dbname(database);
        } else if config.get_dbname().is_none() {
            config.dbname(MAINTENANCE_DATABASE);
        }
        config.application_name("ecommerce");
        let connect_timeout =
            settings.map_or(CONNECT_TIMEOUT, |settings| Duration::from_millis(settings.connect_timeout_ms));
        let target = Self { hosts: Hosts::shared(hosts), config, standbys, tls, connect_timeout, settings: of_url };
        let Some(settings) = settings else { return Ok(target) };
        // Dropping a future does not stop its statement on the server. These two limits do, and release the locks of
        // the session.
        let limit = settings.statement_timeout_ms.to_string();
        Ok(target.with_session(&[
            ("statement_timeout", &limit),
            ("idle_in_transaction_session_timeout", &limit),
            notices::MIN_MESSAGES,
        ]))
    }

    /// Adds session settings.
    pub(super) fn with_session(mut self, settings: &[(&str, &str)]) -> Self {
        self.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// Opens a session on the primary, or on a standby if no host is a primary and the URL does not forbid it.
    ///
    /// Each host has its share of the connect timeout, in which its name is looked up, it is connected to, and its role
    /// is known; each address of a name has its share of that.
    pub(super) async fn connect(&self) -> Result<Session, DbError> {
        let time = TimeForAll::new(self.connect_timeout);
        let (generation, last) = (self.hosts.generation(), self.hosts.last());
        let order = preferred_first(0..self.hosts.list.len(), |host| last.is_some_and(|last| last.host == *host));
        // Once for the whole search: another one may end meanwhile.
        let asks_all = self.hosts.are_unknown();
        let mut standby = None;
        // A primary that may have been replaced: it is used if no other host shows a newer timeline.
        let mut doubtful: Option<(Opened, Place, Timeline)> = None;
        let mut failures = Vec::new();
        for (before, host) in order.iter().enumerate() {
            let of_host = time.part(order.len() - before);
            let within = TimeForAll::new(of_host);
            let addresses = match self.addresses(*host, of_host).await {
                Ok(addresses) => {
                    preferred_first(addresses, |address| last.is_some_and(|last| last.address == *address))
                }
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            for (before, address) in addresses.iter().enumerate() {
                let limit = if addresses.len() == 1 { of_host } else { within.part(addresses.len() - before) };
                let place = Place { host: *host, address: *address };
                match self.open(place, limit).await {
                    Ok((opened, Role { is_writable: true, timeline })) => match timeline {
                        Some(timeline) if asks_all || self.hosts.fence.is_doubtful(timeline) => {
                            if doubtful.as_ref().is_none_or(|(.., other)| timeline.is_after(*other)) {
                                doubtful = Some((opened, place, timeline));
                            }
                        }
                        _ => match self.found(opened, place, timeline, generation) {
                            Ok(session) => return Ok(session),
                            Err(error) => failures.push(error),
                        },
                    },
                    Ok((opened, Role { is_writable: false, .. })) => {
                        let read_only = DbError::ReadOnly { place: self.hosts.describe(place), others: String::new() };
                        match standby {
                            None => standby = Some((opened, place, read_only)),
                            Some(_) => failures.push(read_only),
                        }
                    }
                    Err(error) => failures.push(error),
                }
            }
        }
        if let Some((opened, place, timeline)) = doubtful {
            match self.found(opened, place, Some(timeline), generation) {
                Ok(session) => return Ok(session),
                Err(error) => failures.push(error),
            }
        }
        match standby {
            None => Err(DbError::of_hosts(failures)),
            Some((Opened { client, cancelled_wait }, place, read_only)) => {
                let read_only = read_only.with_others(&failures);
                match self.standbys {
                    Standbys::Accepted => {
                        let origin = self.origin(place, generation);
                        Ok(Session { client, cancelled_wait, origin: Origin { read_only: Some(read_only), ..origin } })
                    }
                    Standbys::Refused => Err(read_only),
                }
            }
        }
    }

    /// Makes a session on a primary, unless the primary was replaced. If it has replaced the one used so far, all
    /// sessions opened so far are distrusted, also behind the same address.
    fn found(
        &self,
        Opened { client, cancelled_wait }: Opened,
        place: Place,
        timeline: Option<Timeline>,
        mut generation: u64,
    ) -> Result<Session, DbError> {
        if let Some(timeline) = timeline {
            let superseded = |newest| DbError::superseded(self.hosts.describe(place), timeline, newest);
            if self.hosts.fence.admit(timeline).map_err(superseded)? {
                info!(place = self.hosts.describe(place), %timeline, "the primary is on another timeline now");
                self.hosts.distrust(generation);
                generation = self.hosts.generation();
            }
        }
        let generation = self.hosts.found(place, generation);
        Ok(Session { client, cancelled_wait, origin: Origin { timeline, ..self.origin(place, generation) } })
    }

    fn origin(&self, place: Place, generation: u64) -> Origin {
        let (place, hosts) = (self.hosts.describe(place), self.hosts.clone());
        Origin { place, read_only: None, timeline: None, hosts, generation, opened_at: Instant::now() }
    }

    /// Looks up the addresses of a host; a socket has none.
    async fn addresses(&self, host: usize, limit: Duration) -> Result<Vec<Option<SocketAddr>>, DbError> {
        let (name, port) = match &self.hosts.list[host] {
            Host::Name { name, port } => (name, *port),
            Host::Address { address, port, .. } => return Ok(vec![Some((*address, *port).into())]),
            Host::Socket { .. } => return Ok(vec![None]),
        };
        let unreachable = |reason| DbError::Unreachable { place: self.hosts.list[host].to_string(), reason };
        match timeout(limit, lookup_host((name.as_str(), port))).await {
            Ok(Ok(addresses)) => Ok(addresses.map(Some).collect()),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("its name was not looked up within {limit:?}"))),
        }
    }

    /// Opens a session in one place, and returns the role of its server.
    async fn open(&self, place: Place, limit: Duration) -> Result<(Opened, Role), DbError> {
        let host = &self.hosts.list[place.host];
        let unreachable = |reason| DbError::Unreachable { place: self.hosts.describe(place), reason };
        let mut config = self.config.clone();
        config.ssl_negotiation(self.tls.negotiation());
        match (host, place.address) {
            (Host::Socket { folder, port }, _) => config.host_path(folder).port(*port),
            (Host::Name { name, port } | Host::Address { name: Some(name), port, .. }, address) => {
                if let Some(address) = address {
                    config.hostaddr(address.ip());
                }
                config.host(name).port(*port)
            }
            (Host::Address { name: None, address, port }, _) => {
                config.host(address.to_string()).hostaddr(*address).port(*port)
            }
        };
        let connector = self.tls.client().map_err(unreachable)?.map(MakeRustlsConnect::new);
        let open = async {
            let mut ways = self.tls.ways(host).iter();
            let opened = loop {
                config.ssl_mode(*ways.next().unwrap_or(&SslMode::Require));
                let opened = match &connector {
                    Some(connector) => start(&config, connector.clone()).await,
                    None => start(&config, NoTls).await,
                };
                match opened {
                    Ok(opened) => break opened,
                    Err(error) if ways.len() > 0 && may_work_otherwise(&error) => {}
                    Err(error) => return Err(error),
                }
            };
            let role = session::prepare(&opened.client, &self.settings).await?;
            Ok((opened, role))
        };
        match timeout(limit, open).await {
            Ok(opened) => opened.map_err(|error| match self.tls.explain(&error) {
                Some(reason) => unreachable(reason),
                None => DbError::of_connecting(self.hosts.describe(place), &error),
            }),
            Err(_) => Err(unreachable(format!("no answer within {limit:?}"))),
        }
    }
}

/// Connects and logs in.
async fn start<T>(config: &Config, tls: T) -> Result<Opened, Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    Ok(Opened { client, cancelled_wait: notices::drive(connection) })
}
