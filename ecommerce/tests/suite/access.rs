//! Access control: every route of every service with every token, in each profile, on real processes. The
//! routes and their callers come from the services' own descriptions, of which docs/access.md is made.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    program::{Server, up_with},
    support::Folder,
};

const SERVICES: [&str; 5] = ["orchestrator", "catalog", "payments", "inventory", "purchases"];

const API: &str = "api-token-of-the-test-5f1d9c";
const SERVICE: &str = "service-token-of-the-test-c2e84d";
const OPERATOR: &str = "operator-token-of-the-test-90b7e5";

const SECRET: &str = "a-secret-of-the-client";

/// A caller by its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Anyone,
    Guesser(&'static str),
    Client,
    Service,
    Operator,
}

impl Caller {
    const ALL: [Self; 7] = [
        Self::Anyone,
        Self::Guesser("wrong-token-of-a-guesser"),
        // All but the first letter, and one letter more.
        Self::Guesser("perator-token-of-the-test-90b7e5"),
        Self::Guesser("operator-token-of-the-test-90b7e50"),
        Self::Client,
        Self::Service,
        Self::Operator,
    ];

    fn token(self) -> Option<&'static str> {
        match self {
            Self::Anyone => None,
            Self::Guesser(token) => Some(token),
            Self::Client => Some(API),
            Self::Service => Some(SERVICE),
            Self::Operator => Some(OPERATOR),
        }
    }
}

/// The tokens that a system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    None,
    AllButApi,
    All,
}

/// The systems that are tried.
const SYSTEMS: [(&str, Tokens); 4] = [
    ("development", Tokens::None),
    ("development", Tokens::All),
    ("production", Tokens::AllButApi),
    ("production", Tokens::All),
];

/// Tells whether a caller may come in, by the rules of docs/access.md.
fn may_call(caller: Caller, access: &str, tokens: Tokens) -> bool {
    let holds_api = caller == Caller::Client && tokens == Tokens::All;
    match (access, tokens) {
        (_, Tokens::None) | ("public", _) | ("client", Tokens::AllButApi) => true,
        ("client", Tokens::All) => holds_api || matches!(caller, Caller::Service | Caller::Operator),
        ("known client", _) => holds_api || caller == Caller::Operator,
        ("service", _) => matches!(caller, Caller::Service | Caller::Operator),
        ("operator", _) => caller == Caller::Operator,
        _ => panic!("unknown access {access}"),
    }
}

/// One way to call a route.
#[derive(Clone, Debug)]
struct Route {
    method: String,
    template: String,
    access: String,
    /// The query of its requests.
    query: String,
    /// A saga's secret guards it too.
    is_guarded: bool,
    /// Only sagas without a secret.
    is_without_secret: bool,
    security: Value,
}

impl Route {
    /// Returns the ways to call the routes of a service, from its description.
    fn all(description: &Value) -> Vec<Route> {
        let paths = description["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(template, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (template, method, operation))
        });
        operations.flat_map(|(template, method, operation)| Self::of(template, method, operation)).collect()
    }

    fn of(template: &str, method: &str, operation: &Value) -> Vec<Route> {
        let callers = &operation["x-callers"];
        let parameters = operation["parameters"].as_array();
        let access = |value: &Value| value["access"].as_str().expect("every route declares its callers").to_owned();
        let route = Route {
            method: method.to_uppercase(),
            template: template.to_owned(),
            access: access(callers),
            query: String::new(),
            is_guarded: parameters.into_iter().flatten().any(|parameter| parameter["name"] == "Saga-Secret"),
            is_without_secret: false,
            security: operation["security"].clone(),
        };
        let mut routes = vec![route.clone()];
        if let Some(parameter) = callers["without_query"]["parameter"].as_str() {
            routes[0].query = format!("?{parameter}=$ID");
            let access = access(&callers["without_query"]);
            routes.push(Route { access, is_guarded: false, ..route.clone() });
        }
        if callers["without_secret"].is_object() {
            let access = access(&callers["without_secret"]);
            routes.push(Route { access, is_guarded: false, is_without_secret: true, ..route });
        }
        routes
    }

    /// Adds the secret to a request, if the route has one.
    fn with_secret(&self, request: RequestBuilder) -> RequestBuilder {
        if self.is_guarded { request.header("saga-secret", SECRET) } else { request }
    }

    /// Returns the path of a request about this saga.
    fn path(&self, saga: &str) -> String {
        let filled = |part: &str| if part.starts_with('{') { saga.to_owned() } else { part.to_owned() };
        let path: Vec<String> = self.template.split('/').map(filled).collect();
        format!("{}{}", path.join("/"), self.query.replace("$ID", saga))
    }
}

/// A running system.
struct System {
    up: Server,
    urls: BTreeMap<&'static str, String>,
    _folder: Folder,
}

impl System {
    fn start(profile: &str, tokens: Tokens) -> Self {
        let folder = Folder::new();
        let mut command = up_with(profile, &folder.path().join("data"));
        command
            .env("ECOMMERCE__RATE_LIMIT__PER_SECOND", "0")
            .env("ECOMMERCE__INVENTORY__INITIAL_STOCK", "100")
            .env("ECOMMERCE__HTTP__DRAIN_DELAY_MS", "0")
            // Without them operators are refused for another reason.
            .env("ECOMMERCE__FAULTS__ENABLED", "true")
            .env("ECOMMERCE__UI__SERVICES", "true");
        for operation in ["PAYMENTS__CHARGE", "INVENTORY__DECREASE", "PURCHASES__CREATE"] {
            command.env(format!("ECOMMERCE__FAULTS__{operation}__FAILURE_RATE"), "0");
        }
        // Development pauses before each answer.
        for (service, operation) in tests::operations::FAULTY {
            for bound in ["MIN", "MAX"] {
                let operation = format!("{service}__{operation}__LATENCY_MS__{bound}").to_uppercase();
                command.env(format!("ECOMMERCE__FAULTS__{operation}"), "0");
            }
        }
        if tokens != Tokens::None {
            command.env("ECOMMERCE__AUTH__SERVICE_TOKEN", SERVICE).env("ECOMMERCE__AUTH__OPERATOR_TOKEN", OPERATOR);
        }
        if tokens == Tokens::All {
            command.env("ECOMMERCE__AUTH__API_TOKEN", API);
        }
        if tokens != Tokens::AllButApi {
            // In production it needs the clients' token.
            command.env("ECOMMERCE__DTM__ENABLED", "true");
        }
        // The addresses stand in the text for people.
        command.env("ECOMMERCE__TELEMETRY__FORMAT", "text");
        let mut up = Server::start(&mut command);
        let in_order = ["catalog", "payments", "inventory", "purchases", "orchestrator"];
        let urls = in_order.into_iter().map(|service| (service, up.wait_for_line(service))).collect();
        up.wait_for_line("Ctrl-C");
        Self { up, urls, _folder: folder }
    }

    async fn descriptions(&self, client: &Client) -> BTreeMap<&'static str, Value> {
        let mut descriptions = BTreeMap::new();
        for (service, url) in &self.urls {
            let answer = client.get(format!("{url}/openapi.json")).send().await.unwrap();
            descriptions.insert(*service, answer.json().await.unwrap());
        }
        descriptions
    }

    /// Makes a purchase for a route, with a secret if the route has one, and returns its id.
    async fn buy(&self, client: &Client, route: &Route) -> String {
        let request = client.post(format!("{}/saga/transaction", self.urls["orchestrator"])).bearer_auth(OPERATOR);
        let answer = route.with_secret(request).json(&json!({ "user_id": "ada", "amount": 5 })).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        body["transaction_id"].as_str().unwrap_or_else(|| panic!("nothing was bought: {body}")).to_owned()
    }

    /// Tries a route. The body of an answer that lets in is not read: a stream of events has no end.
    async fn try_route(
        &self,
        client: &Client,
        service: &str,
        route: &Route,
        saga: &str,
        caller: Caller,
    ) -> (u16, String) {
        let url = format!("{}{}", self.urls[service], route.path(saga));
        let request = client.request(route.method.parse::<Method>().unwrap(), url).json(&json!({}));
        let request = route.with_secret(request);
        let request = caller.token().into_iter().fold(request, |request, token| request.bearer_auth(token));
        let answer = request.send().await.unwrap();
        match answer.status().as_u16() {
            closed @ (401 | 403) => (closed, answer.text().await.unwrap()),
            open => (open, String::new()),
        }
    }
}

#[test]
fn every_route_opens_to_its_callers_alone_in_each_profile() {
    let runtime = Runtime::new().unwrap();
    for (profile, tokens) in SYSTEMS {
        let mut system = System::start(profile, tokens);
        let tried = runtime.block_on(try_all(&system, tokens));
        println!("{profile}, tokens: {tokens:?}: {tried} requests");
        assert!(tried > 5 * 15 * Caller::ALL.len(), "{profile}: {tried}");
        system.up.stop();
    }
}

async fn try_all(system: &System, tokens: Tokens) -> usize {
    let client = tests::http::client();
    let mut tried = 0;
    for (service, description) in system.descriptions(&client).await {
        for route in Route::all(&description) {
            assert_described(&route, service, tokens);
            // A new one for each route, because some end it or change what is known of it.
            let saga = system.buy(&client, &route).await;
            for caller in Caller::ALL {
                let (status, text) = system.try_route(&client, service, &route, &saga, caller).await;
                let place =
                    format!("{service} {} {} {caller:?}, {tokens:?}: {status}", route.method, route.path(&saga));
                match (may_call(caller, &route.access, tokens), caller) {
                    (true, _) => assert!(![401, 403].contains(&status), "closed: {place}"),
                    (false, Caller::Anyone) => assert_eq!(status, 401, "{place}"),
                    (false, _) => assert_eq!(status, 403, "{place}"),
                }
                if let Some(token) = caller.token() {
                    assert!(!text.contains(token), "a token is not repeated: {text}");
                }
                tried += 1;
            }
        }
    }
    tried
}

/// Asserts that the description tells whether a token is needed.
fn assert_described(route: &Route, service: &str, tokens: Tokens) {
    let requirements = route.security.as_array().unwrap_or_else(|| panic!("{service} {}: no security", route.template));
    let needs_none = requirements.contains(&json!({}));
    let needs_a_secret = requirements.contains(&json!({ "sagaSecret": [] }));
    let is_open = may_call(Caller::Anyone, &route.access, tokens);
    match route {
        Route { is_without_secret: true, .. } => assert_eq!(needs_none, is_open, "{route:?}"),
        Route { query, .. } if query.is_empty() && route.template.ends_with("/events") => {}
        _ => assert_eq!(needs_none || needs_a_secret, is_open, "{route:?}"),
    }
}

/// Makes docs/access.md.
fn page(descriptions: &BTreeMap<&'static str, Value>) -> String {
    let routes: BTreeMap<&str, Vec<Route>> =
        descriptions.iter().map(|(service, description)| (*service, Route::all(description))).collect();
    let name =
        |route: &Route| (route.method.clone(), route.template.clone(), route.query.clone(), route.access.clone());
    let is_everywhere =
        |route: &Route| routes.values().all(|others| others.iter().any(|other| name(other) == name(route)));
    let mut page = INTRODUCTION.to_owned();
    let common = routes["catalog"].iter().filter(|route| is_everywhere(route));
    section(&mut page, "Every service", common);
    for service in SERVICES {
        section(&mut page, service, routes[service].iter().filter(|route| !is_everywhere(route)));
    }
    format!("{}\n", page.trim_end())
}

fn section<'a>(page: &mut String, title: &str, routes: impl Iterator<Item = &'a Route>) {
    let _ = writeln!(page, "## {title}\n");
    page.push_str(
        "| route | callers | anyone | API token | service token | operator token |\n|---|---|---|---|---|---|\n",
    );
    for route in routes {
        let mut shown = format!("`{} {}{}`", route.method, route.template, route.query.replace("$ID", "…"));
        if route.is_guarded {
            shown.push_str(" ¹");
        }
        if route.is_without_secret {
            shown.push_str(" of a saga without a secret");
        }
        let callers = [Caller::Anyone, Caller::Client, Caller::Service, Caller::Operator];
        let marks = callers.map(|caller| {
            let [with, without] =
                [Tokens::All, Tokens::AllButApi].map(|tokens| may_call(caller, &route.access, tokens));
            match (with, without) {
                (true, _) => "yes",
                (false, true) => "yes ²",
                (false, false) => "–",
            }
        });
        let _ = writeln!(page, "| {shown} | {} | {} |", route.access, marks.join(" | "));
    }
    page.push('\n');
}

const INTRODUCTION: &str = "# Access: who may call what

Made of the route lists of the services; after a change there, `UPDATE_DOCS=1 cargo test -p ecommerce --test suite access`
makes it anew. The same test tries every route with every token, in each profile, on real processes.

The tables show the profile `production`. In all other profiles a token that is not set is not required, so without any
token everything is open; but where the API token is set, routes whose own token is not set need that one. A token is sent
as `Authorization: Bearer …`; without one the answer is 401, with one that does not open the route 403.

| callers | tokens |
|---|---|
| public | none |
| client | none, unless `auth.api_token` is set: then that one, or that of services or operators |
| known client | `auth.api_token` or `auth.operator_token` |
| service | `auth.service_token` or `auth.operator_token` |
| operator | `auth.operator_token` |

¹ A saga that was started with a `Saga-Secret` (16 to 128 visible ASCII characters) answers only to requests that send the
same header, or the operator token; to all others it does not exist (404). This holds in every profile. A repeat of its
`Idempotency-Key` needs the same secret too (422). Only a hash is stored: a client that loses its secret has to ask an
operator.

² While `auth.api_token` is not set.

Traefik routes neither `/debug`, `/metrics` and `/calls` nor the orchestrator's `/api`. `POST /calls` of the participants is
the stream of the orchestrator's calls: each call in it needs what a request of its own would.

";

#[test]
fn the_page_about_access_is_what_the_routes_declare() {
    let mut system = System::start("production", Tokens::All);
    let runtime = Runtime::new().unwrap();
    let expected = page(&runtime.block_on(system.descriptions(&tests::http::client())));
    system.up.stop();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/access.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    let advice = "UPDATE_DOCS=1 cargo test -p ecommerce --test suite access";
    assert!(fs::read_to_string(&file).unwrap_or_default() == expected, "docs/access.md is out of date: {advice}");
}
