//! The reachable replicas of all services, and requests to them for operators.
//!
//! Replicas are the configured addresses, or all addresses of the service's host name, as containers and headless
//! services have them. Names are resolved with each request or page, so replicas may come and go.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::time::Duration;

use common::config::Settings;
use common::faults::FaultChanges;
use common::http::{ApiError, HeaderValue, Method, StatusCode, bearer, debug, outgoing_bearer, read_answer};
use common::reason::with_causes;
use futures::future::join_all;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::lookup_host;

/// Time limit per replica: the dashboard polls every two seconds.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The services in the order of the saga, orchestrator first; other services follow by name.
const ORDER: [&str; 5] = ["orchestrator", "catalog", "payments", "inventory", "purchases"];

/// The services and a client for their replicas.
pub(crate) struct Neighbours {
    http: reqwest::Client,
    bearer: Option<HeaderValue>,
    /// By service: its URL, and its configured replicas.
    services: BTreeMap<String, (String, Vec<String>)>,
    /// The services in display order.
    names: Vec<String>,
    /// Services with failure settings.
    faulty: Vec<String>,
    is_on: bool,
    fault_changes: FaultChanges,
}

/// A replica and its answer.
pub(crate) struct ReplicaAnswer<T> {
    pub(crate) url: String,
    pub(crate) answer: Result<T, NoAnswer>,
}

/// Why a replica gave no result.
pub(crate) enum NoAnswer {
    /// The reason as text.
    Because(String),
    /// The replica rejected the request with this status (400, 404, 409 or 422); the body says why.
    Refused(StatusCode, Value),
}

impl Display for NoAnswer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Because(reason) => f.write_str(reason),
            NoAnswer::Refused(status, body) => match body["detail"].as_str().or(body["message"].as_str()) {
                Some(said) => f.write_str(said),
                None => write!(f, "answered {status}"),
            },
        }
    }
}

impl Neighbours {
    pub(crate) fn new(settings: &Settings) -> Result<Neighbours, reqwest::Error> {
        let http =
            common::tls::internal_client().http2_prior_knowledge().connect_timeout(TIMEOUT).timeout(TIMEOUT).build()?;
        let replicas = |name: &str| settings.ui.replicas.get(name).cloned().unwrap_or_default();
        let services = settings.services.iter().map(|(name, service)| {
            let configured = replicas(name).iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
            (name.clone(), (service.url.clone(), configured))
        });
        let bearer = bearer(&settings.auth.operator_token).or_else(|| outgoing_bearer(&settings.auth));
        let mut names: Vec<String> = settings.services.keys().cloned().collect();
        names.sort_by_key(|name| (ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()), name.clone()));
        let faulty = names.iter().filter(|name| settings.faults.services.contains_key(*name)).cloned().collect();
        Ok(Neighbours {
            http,
            bearer,
            services: services.collect(),
            names,
            faulty,
            is_on: settings.ui.services,
            fault_changes: settings.fault_changes(),
        })
    }

    /// Checks that the configuration allows these requests.
    ///
    /// # Errors
    /// 404 if it does not.
    pub(crate) fn demand_on(&self) -> Result<(), ApiError> {
        if self.is_on {
            Ok(())
        } else {
            Err(ApiError::typed_not_found("off", "this route is disabled; ui.services = true enables it"))
        }
    }

    /// Checks that failure settings may be changed.
    ///
    /// # Errors
    /// 403 if not.
    pub(crate) fn demand_fault_changes(&self) -> Result<(), ApiError> {
        debug::demand_changes(self.fault_changes)
    }

    /// Returns all services.
    pub(crate) fn all(&self) -> &[String] {
        &self.names
    }

    /// Returns the services that have failure settings.
    pub(crate) fn faulty(&self) -> &[String] {
        &self.faulty
    }

    /// Sends one request to all replicas of a service in parallel.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        service: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Vec<ReplicaAnswer<T>> {
        let replicas = self.replicas(service).await;
        let asked = replicas.into_iter().map(|url| {
            let method = method.clone();
            async move {
                let answer = self.ask_one(&format!("{url}{path}"), method, body).await;
                ReplicaAnswer { url, answer }
            }
        });
        join_all(asked).await
    }

    /// Sends one request to one replica of a service, and, if it gives no answer, to the next. A request with an effect
    /// must be idempotent.
    pub(crate) async fn ask_any<T: DeserializeOwned>(
        &self,
        service: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, NoAnswer> {
        self.ask_first(&self.replicas(service).await, method, path, body).await
    }

    /// Sends one request to the first of these replicas that answers. A request with an effect must be idempotent.
    pub(crate) async fn ask_first<T: DeserializeOwned>(
        &self,
        replicas: &[String],
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, NoAnswer> {
        let mut answer = Err(NoAnswer::Because("it has no address".to_owned()));
        for url in replicas {
            answer = self.ask_one(&format!("{url}{path}"), method.clone(), body).await;
            if !matches!(answer, Err(NoAnswer::Because(_))) {
                break;
            }
        }
        answer
    }

    async fn ask_one<T: DeserializeOwned>(
        &self,
        url: &str,
        method: Method,
        body: Option<&Value>,
    ) -> Result<T, NoAnswer> {
        let unreachable = |error: reqwest::Error| NoAnswer::Because(with_causes(&error.without_url()));
        let mut request = self.http.request(method, url);
        if let Some(bearer) = &self.bearer {
            request = request.header("authorization", bearer);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = read_answer(reqwest::Body::from(response)).await.map_err(NoAnswer::Because)?;
        match status {
            StatusCode::OK => serde_json::from_slice(&bytes).map_err(|error| NoAnswer::Because(error.to_string())),
            StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::CONFLICT
            | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(NoAnswer::Refused(status, serde_json::from_slice(&bytes).unwrap_or_default()))
            }
            status => Err(NoAnswer::Because(format!("answered {status}"))),
        }
    }

    /// Returns the addresses of a service's replicas.
    pub(crate) async fn replicas(&self, service: &str) -> Vec<String> {
        let Some((url, configured)) = self.services.get(service) else { return Vec::new() };
        if configured.is_empty() { addresses_of(url).await } else { configured.clone() }
    }
}

/// Returns one URL for each address of the host, or the URL itself if its host is an address.
async fn addresses_of(url: &str) -> Vec<String> {
    let itself = || vec![url.to_owned()];
    let Ok(parsed) = Url::parse(url) else { return itself() };
    let host = parsed.host_str().unwrap_or_default();
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || host == "localhost";
    let Some(port) = parsed.port_or_known_default().filter(|_| !is_address) else { return itself() };
    let Ok(Ok(found)) = tokio::time::timeout(TIMEOUT, lookup_host((host, port))).await else { return itself() };
    let mut found: Vec<_> = found.collect();
    // A process that listens on both families is one replica.
    if found.iter().any(|address| address.is_ipv4()) {
        found.retain(|address| address.is_ipv4());
    }
    found.sort_unstable();
    found.dedup();
    let with_path = |address: &std::net::SocketAddr| format!("http://{address}{}", parsed.path().trim_end_matches('/'));
    if found.len() < 2 { itself() } else { found.iter().map(with_path).collect() }
}

#[cfg(test)]
mod tests {
    use common::config::ConfigSource;

    use super::*;

    #[test]
    fn a_service_that_is_added_is_shown_after_those_of_the_saga() {
        let mut settings = ConfigSource::embedded("bench").load().unwrap();
        let shipping = settings.services["purchases"].clone();
        settings.services.insert("shipping".to_owned(), shipping);
        settings.services.insert("billing".to_owned(), settings.services["purchases"].clone());
        let purchases = settings.faults.services["purchases"].clone();
        settings.faults.services.insert("shipping".to_owned(), purchases);
        let neighbours = Neighbours::new(&settings).unwrap();
        let shown = ["orchestrator", "catalog", "payments", "inventory", "purchases", "billing", "shipping"];
        assert_eq!(neighbours.all(), shown);
        assert_eq!(neighbours.faulty(), ["catalog", "payments", "inventory", "purchases", "shipping"]);
    }

    #[tokio::test]
    async fn a_host_that_is_one_address_keeps_its_url() {
        for url in [
            "http://127.0.0.1:8001",
            "http://[::1]:8001/base",
            "http://localhost:8001",
            "http://no.such.host.invalid:1",
        ] {
            assert_eq!(addresses_of(url).await, [url]);
        }
    }
}
