//! The participants behind an orchestrator: their stock and their failure settings.
//!
//! If it is not certain that the known participants belong to the orchestrator under load, they are not touched.

use std::time::Duration;

use common::config::Settings;
use reqwest::{Client, Method, StatusCode, Url};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    buyer::{after, is_later},
    expectation::Faults,
    is_same_place,
};
use crate::{
    client::{Target, send, text_of},
    ending::Failure,
    way,
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for retries of a participant that is busy or limits the rate.
const PATIENCE: Duration = Duration::from_secs(60);
/// Maximum quantity of one restock.
const RESTOCK_MAX: u64 = 1_000_000;
const SELF: &str = "orchestrator";

/// Client of the participants, if their addresses are known.
pub(crate) struct Participants {
    client: Client,
    token: Option<String>,
    connect_patience: Duration,
    place: Place,
}

enum Place {
    /// Addresses by name.
    Known(Vec<(&'static str, Url)>),
    Unknown,
}

/// The stock of a product after it was filled up.
pub(crate) struct Restocked {
    added: u64,
    pub(crate) now: u64,
}

#[derive(Deserialize)]
struct Products {
    products: Vec<Product>,
    next_cursor: Option<Value>,
}

#[derive(Deserialize)]
struct Product {
    product_id: i64,
}

/// Returns the id under which the inventory records a delivery of a product.
pub(crate) fn delivery_id(key: &str, product: &str) -> String {
    format!("restock:{key}:{product}")
}

impl Participants {
    /// Finds the participants: beside an orchestrator behind a proxy, or from the configuration.
    pub(crate) fn of(orchestrator: &Target, settings: &Settings) -> Result<Self, Failure> {
        let target = &orchestrator.url(&[])?;
        let client = way::to(target).timeout(TIMEOUT).build();
        let client = client.map_err(|error| Failure::broken("no HTTP client", &error))?;
        let configured = [&settings.auth.operator_token, &settings.auth.service_token];
        let configured = configured.into_iter().map(|token| token.expose_secret()).find(|token| !token.is_empty());
        Ok(Self {
            client,
            token: configured.or(orchestrator.bearer()?).map(str::to_owned),
            connect_patience: orchestrator.connect_patience(),
            place: Place::find(target, settings),
        })
    }

    pub(super) fn are_known(&self) -> bool {
        matches!(self.place, Place::Known(_))
    }

    /// Restocks each product for the whole run; returns a description of the result.
    pub(super) async fn restock(&self, sagas: u32) -> String {
        let Place::Known(_) = &self.place else {
            return format!(
                "not restocked: the configuration has no addresses for the participants of this {SELF} \
                 (ECOMMERCE__SERVICES__INVENTORY__URL and so on)"
            );
        };
        match self.fill_up_all(u64::from(sagas)).await {
            Ok((products, 0)) => format!("{products} products, all with enough stock"),
            Ok((products, filled)) => format!("{products} products, {filled} of them restocked"),
            Err(reason) => format!("not restocked: {reason}"),
        }
    }

    async fn fill_up_all(&self, wanted: u64) -> Result<(usize, usize), String> {
        let products = self.products().await?;
        let mut filled = 0;
        for product in &products {
            filled += usize::from(self.fill_up(product, wanted).await?.added > 0);
        }
        Ok((products.len(), filled))
    }

    /// Returns the ids of all products of the catalog.
    pub(crate) async fn products(&self) -> Result<Vec<String>, String> {
        let mut products = Vec::new();
        let mut cursor = None;
        loop {
            let query = cursor.map_or_else(String::new, |cursor: String| format!("&cursor={cursor}"));
            let page = self.ask(Method::GET, "catalog", &format!("products/?limit=1000{query}"), None).await?;
            let page: Products = serde_json::from_value(page.1)
                .map_err(|_| "the catalog answered with something else than products".to_owned())?;
            products.extend(page.products.into_iter().map(|product| product.product_id.to_string()));
            cursor = match page.next_cursor {
                Some(Value::String(next)) => Some(next),
                Some(Value::Number(next)) => Some(next.to_string()),
                _ => return Ok(products),
            };
        }
    }

    /// Adds the units that a product lacks to have this many.
    pub(crate) async fn fill_up(&self, product: &str, wanted: u64) -> Result<Restocked, String> {
        let (status, stock) = self.ask(Method::GET, "inventory", &format!("inventory/{product}/"), None).await?;
        let there = match status {
            // It has the initial stock from its first change on, which this is.
            StatusCode::NOT_FOUND => self.add(product, 1, &Uuid::new_v4().to_string()).await?,
            _ => stock["quantity"].as_u64().unwrap_or(0),
        };
        let missing = wanted.saturating_sub(there).min(RESTOCK_MAX);
        if missing == 0 {
            return Ok(Restocked { added: 0, now: there });
        }
        // A repeat of this request after a lost answer must not add twice.
        let now = self.add(product, missing, &Uuid::new_v4().to_string()).await?;
        Ok(Restocked { added: missing, now })
    }

    /// Adds pieces to a product, once per key, and returns the stock.
    pub(crate) async fn add(&self, product: &str, pieces: u64, key: &str) -> Result<u64, String> {
        let id = delivery_id(key, product);
        let body = json!({ "product_id": product, "quantity": pieces, "transaction_id": id });
        let (_, stock) = self.ask(Method::POST, "inventory", "inventory/restock/", Some(body)).await?;
        stock["quantity"].as_u64().ok_or_else(|| "inventory did not answer with the stock".to_owned())
    }

    /// Reads the failure settings in force at all participants.
    pub(super) async fn faults(&self) -> Result<Faults, String> {
        let mut all = Faults::new();
        for participant in domain_services::PARTICIPANTS {
            let (status, faults) = self.ask(Method::GET, participant, "debug/faults/", None).await?;
            let Value::Object(members) = faults else {
                return Err(format!("{participant} answered {} without them", status.as_u16()));
            };
            // The member `seed` is a number, and names no operation.
            let operations = members.into_iter().filter(|(_, value)| value.is_object());
            let operations = operations.map(|(operation, faults)| Ok((operation, serde_json::from_value(faults)?)));
            let operations: Result<_, serde_json::Error> = operations.collect();
            all.insert(participant, operations.map_err(|error| format!("{participant}: {error}"))?);
        }
        Ok(all)
    }

    /// Sends a request to a participant; 404 counts as an answer.
    async fn ask(
        &self,
        method: Method,
        participant: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), String> {
        let Place::Known(addresses) = &self.place else {
            return Err("the addresses of the participants are unknown".to_owned());
        };
        let Some((_, address)) = addresses.iter().find(|(name, _)| *name == participant) else {
            return Err(format!("the address of {participant} is unknown"));
        };
        let url = address.join(path).map_err(|error| format!("{address}{path}: {error}"))?;
        let failed = |error: reqwest::Error| format!("{participant}: {}", common::reason::with_causes(&error));
        let begun = Instant::now();
        let response = loop {
            let mut request = self.client.request(method.clone(), url.clone());
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = &body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let response = send(request, self.connect_patience).await.map_err(failed)?;
            let wait = after(response.headers());
            if !is_later(response.status()) || begun.elapsed() + wait > PATIENCE {
                break response;
            }
            // Neither answer changed anything, so a retry is safe.
            sleep(wait).await;
        };
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(format!(
                "{participant} answered {}: set ECOMMERCE__AUTH__OPERATOR_TOKEN to its operator token",
                status.as_u16()
            )),
            _ if status.is_success() || status == StatusCode::NOT_FOUND => {
                let body = text_of(response).await?;
                Ok((status, serde_json::from_str(&body).unwrap_or_default()))
            }
            _ => {
                let body: Value = serde_json::from_str(&text_of(response).await?).unwrap_or_default();
                let said = body["detail"].as_str().or(body["message"].as_str()).map(|said| format!(": {said}"));
                Err(format!("{participant} answered {}{}", status.as_u16(), said.unwrap_or_default()))
            }
        }
    }
}

impl Place {
    fn find(target: &Url, settings: &Settings) -> Self {
        let names = domain_services::PARTICIPANTS;
        // Behind a proxy the services are siblings: …/orchestrator, …/payments.
        if let Some(before) = target.path().trim_end_matches('/').strip_suffix(&format!("/{SELF}")) {
            let beside = |name: &str| {
                let mut url = target.clone();
                url.set_path(&format!("{before}/{name}/"));
                url
            };
            return Place::Known(names.map(|name| (name, beside(name))).to_vec());
        }
        let configured = |name: &str| Url::parse(&format!("{}/", settings.service(name).url)).ok();
        match configured(SELF) {
            Some(ours) if is_same_place(&ours, target) => {
                Place::Known(names.into_iter().filter_map(|name| Some((name, configured(name)?))).collect())
            }
            _ => Place::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use common::config::ConfigSource;

    use super::*;

    fn payments_of(target: &str) -> Option<String> {
        let settings = ConfigSource::embedded("bench").load().unwrap();
        match Place::find(&Url::parse(target).unwrap(), &settings) {
            Place::Known(all) => all.into_iter().find(|(name, _)| *name == "payments").map(|(_, url)| url.to_string()),
            Place::Unknown => None,
        }
    }

    #[test]
    fn only_participants_that_are_surely_this_orchestrators_are_touched() {
        assert_eq!(payments_of("http://127.0.0.1:8000").as_deref(), Some("http://127.0.0.1:8002/"));
        assert_eq!(payments_of("http://localhost:8000/").as_deref(), Some("http://127.0.0.1:8002/"));
        assert_eq!(payments_of("http://shop/x/orchestrator/").as_deref(), Some("http://shop/x/payments/"));
        assert_eq!(payments_of("http://shop:8000"), None, "the configured ones belong to another orchestrator");
        assert_eq!(payments_of("http://127.0.0.1:8100"), None);
    }
}
