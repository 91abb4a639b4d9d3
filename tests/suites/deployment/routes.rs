//! Traefik's rules, tested with every real route of the services.

use regex::Regex;
use serde_json::Value;
use tests::{Stack, StackOptions, api_description::ApiDescription, with_stack};

use crate::files::{read, services, substitute, texts, variables, yaml};

/// The Traefik router of one service.
pub(crate) struct Router {
    path: String,
    prefix: String,
    forbidden: Regex,
    stripped: String,
}

impl Router {
    /// Reads a service's labels, and asserts that they fit its routes.
    pub(crate) fn of(service: &str, port: u16, labels: &Value) -> Self {
        let labels = texts(labels);
        let label = |name: &str| {
            let value = labels.get(&format!("traefik.{name}"));
            value.cloned().unwrap_or_else(|| panic!("{service} has no label traefik.{name}"))
        };
        let expected = [
            ("enable".to_owned(), "true".to_owned()),
            (format!("http.routers.{service}.entrypoints"), "web,websecure".to_owned()),
            (
                format!("http.routers.{service}.middlewares"),
                format!("rate-limit,security-headers,retry,{service}-prefix"),
            ),
            (format!("http.routers.{service}.service"), service.to_owned()),
            (format!("http.services.{service}.loadbalancer.server.port"), port.to_string()),
            (format!("http.services.{service}.loadbalancer.healthcheck.path"), "/health/".to_owned()),
            (format!("http.services.{service}.loadbalancer.healthcheck.interval"), "5s".to_owned()),
            (format!("http.services.{service}.loadbalancer.healthcheck.timeout"), "3s".to_owned()),
        ];
        for (name, value) in &expected {
            assert_eq!(&label(name), value, "{service}: traefik.{name}");
        }
        let rule = label(&format!("http.routers.{service}.rule"));
        let stripped = label(&format!("http.middlewares.{service}-prefix.stripprefix.prefixes"));
        assert_eq!(labels.len(), expected.len() + 2, "{service}: a label that nothing checks: {labels:?}");
        Self::by_rule(service, &rule, &stripped)
    }

    /// Parses a rule.
    pub(crate) fn by_rule(service: &str, rule: &str, stripped: &str) -> Self {
        let shape = Regex::new(r"^\(Path\(`([^`]+)`\) \|\| PathPrefix\(`([^`]+)`\)\) && !PathRegexp\(`([^`]+)`\)$");
        let parts = shape.expect("a regular expression").captures(rule).unwrap_or_else(|| panic!("{service}: {rule}"));
        let forbidden = Regex::new(&parts[3]).unwrap_or_else(|error| panic!("{service}: {error}"));
        Self { path: parts[1].to_owned(), prefix: parts[2].to_owned(), forbidden, stripped: stripped.to_owned() }
    }

    /// Returns the service's path for an outside request, or `None` if it is not routed.
    fn leads_to(&self, path: &str) -> Option<String> {
        let matches = (path == self.path || path.starts_with(&self.prefix)) && !self.forbidden.is_match(path);
        let rest = path.strip_prefix(&self.stripped)?;
        matches.then(|| if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") })
    }
}

fn routers(file: &str, labels: &str) -> Vec<(String, Router)> {
    let document = crate::files::parse(file, &substitute(&read(file), &variables()));
    let of = |service: &String| document["services"][service].pointer(labels).cloned().unwrap_or_default();
    services().into_iter().map(|(service, port)| (service.clone(), Router::of(&service, port, &of(&service)))).collect()
}

/// The routers of all deployments behind Traefik.
fn all() -> Vec<(String, Router)> {
    let mut all = routers("docker-compose.prod.yml", "/labels");
    all.extend(routers("docker/swarm.yml", "/deploy/labels"));
    all.extend(crate::kubernetes::routers());
    all
}

#[test]
fn what_clients_are_promised_is_routed_and_the_prefix_stripped() {
    for (outside, inside) in [
        ("/orchestrator/saga/transaction", "/saga/transaction"),
        ("/orchestrator/saga/events", "/saga/events"),
        ("/orchestrator/ui/", "/ui/"),
        ("/orchestrator/docs", "/docs"),
        ("/orchestrator/", "/"),
        ("/orchestrator", "/"),
        ("/catalog/products/random/", "/products/random/"),
        ("/payments/health/", "/health/"),
        ("/payments/payments/", "/payments/"),
        ("/inventory/inventory/decrease/", "/inventory/decrease/"),
        ("/purchases/purchases/by-transaction/t/cancel/", "/purchases/by-transaction/t/cancel/"),
        ("/payments/openapi.json", "/openapi.json"),
        ("/purchases/journal/metrics", "/journal/metrics"),
    ] {
        let reached: Vec<_> =
            all().iter().filter_map(|(service, router)| Some((service.clone(), router.leads_to(outside)?))).collect();
        let service = outside.split('/').nth(1).expect("a prefix").to_owned();
        assert_eq!(reached, vec![(service, inside.to_owned()); 3], "{outside}");
    }
}

#[test]
fn what_is_for_operators_on_the_inside_is_not() {
    for service in services().into_keys() {
        for path in ["/debug", "/debug/", "/debug/actors", "//debug/faults", "/metrics", "/metrics/", "//metrics"] {
            let outside = format!("/{service}{path}");
            for (name, router) in all() {
                assert_eq!(router.leads_to(&outside), None, "{name}: {outside}");
            }
        }
    }
    // The protocol of DTM's clients calls URLs of the client's choice.
    for outside in ["/orchestrator/api/dtmsvr/submit", "/orchestrator//api/dtmsvr/all", "/orchestrator/api"] {
        assert!(all().iter().all(|(_, router)| router.leads_to(outside).is_none()), "{outside}");
    }
    for outside in ["/", "/debug/actors", "/metrics", "/catalogue/products/", "/saga/transaction", "/paymentsx"] {
        assert!(all().iter().all(|(_, router)| router.leads_to(outside).is_none()), "{outside}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_every_service_is_routed_unless_it_is_one_of_those() {
    with_stack(StackOptions::default().set("dtm.enabled", true), async |stack: &Stack| {
        for (service, router) in all() {
            let described = ApiDescription::of(stack, &service).await;
            let paths = described.document()["paths"].as_object().expect("a document has paths").clone();
            for path in paths.keys().map(String::as_str).chain(["/openapi.json", "/docs"]) {
                let inside = ["/debug", "/metrics", "/api/"].iter().any(|inside| path.starts_with(inside));
                let expected = (!inside).then(|| path.to_owned());
                assert_eq!(router.leads_to(&format!("/{service}{path}")), expected, "{service}");
            }
            assert!(paths.keys().any(|path| path.starts_with("/debug")), "{service}: nothing was tried");
        }
    })
    .await;
}

#[test]
fn the_middlewares_that_routers_name_are_there() {
    for (file, labels) in [("docker-compose.prod.yml", "/labels"), ("docker/swarm.yml", "/deploy/labels")] {
        let document = yaml(file);
        let labels = texts(document["services"]["traefik"].pointer(labels).expect("labels"));
        let middleware = |name: &str| labels.get(&format!("traefik.http.middlewares.{name}")).map(String::as_str);
        assert_eq!(middleware("rate-limit.ratelimit.average"), Some("${RATE_LIMIT_PER_SECOND:-100}"), "{file}");
        assert_eq!(middleware("rate-limit.ratelimit.burst"), Some("${RATE_LIMIT_BURST:-200}"), "{file}");
        assert_eq!(middleware("retry.retry.attempts"), Some("6"), "{file}");
        assert_eq!(middleware("retry.retry.initialinterval"), Some("50ms"), "{file}");
        for (header, value) in [
            ("contenttypenosniff", "true"),
            ("framedeny", "true"),
            ("referrerpolicy", "no-referrer"),
            ("permissionspolicy", "camera=(), geolocation=(), microphone=()"),
            ("stsseconds", "31536000"),
        ] {
            assert_eq!(middleware(&format!("security-headers.headers.{header}")), Some(value), "{file}");
        }
        // The dashboard has its own entry point, which is not published.
        assert_eq!(labels["traefik.http.routers.dashboard.entrypoints"], "traefik", "{file}");
        assert_eq!(labels["traefik.http.routers.dashboard.service"], "api@internal", "{file}");
    }
}

#[test]
fn a_domain_switches_https_on_and_without_one_there_is_none() {
    let template = read("docker/traefik/https.yml");
    let inner = template.split_once("{{ if env \"DOMAIN\" }}\n").expect("the switch").1;
    let (inner, after) = inner.split_once("{{ end }}").expect("its end");
    assert!(after.trim().is_empty(), "without a domain nothing of the file counts: {after}");
    let on = crate::files::parse("https.yml", &inner.replace("{{ env \"DOMAIN\" }}", "shop.example"));
    let certificate = &on["tls"]["stores"]["default"]["defaultGeneratedCert"];
    assert_eq!(certificate["domain"]["main"], "shop.example");
    let router = &on["http"]["routers"]["to-https"];
    assert_eq!(router["entryPoints"], serde_json::json!(["web"]));
    let middleware = router["middlewares"][0].as_str().expect("a name");
    assert_eq!(on["http"]["middlewares"][middleware]["redirectScheme"]["scheme"], "https");
    assert!(router["priority"].as_u64().expect("a number") > 10_000, "longer rules would go first");

    for file in ["docker-compose.prod.yml", "docker/swarm.yml"] {
        let document = yaml(file);
        let traefik = &document["services"]["traefik"];
        let resolver = certificate["resolver"].as_str().expect("a name");
        let command = crate::files::list(&traefik["command"]);
        for needed in [
            "--entryPoints.web.address=:80".to_owned(),
            "--entryPoints.websecure.address=:443".to_owned(),
            "--entryPoints.websecure.http.tls=true".to_owned(),
            "--entryPoints.traefik.address=:8080".to_owned(),
            "--providers.file.filename=/etc/traefik/https.yml".to_owned(),
            format!("--certificatesResolvers.{resolver}.acme.email=${{ACME_EMAIL:-}}"),
            format!("--certificatesResolvers.{resolver}.acme.storage=/certificates/acme.json"),
            format!("--certificatesResolvers.{resolver}.acme.tlsChallenge=true"),
            "--ping=true".to_owned(),
            "--api.dashboard=true".to_owned(),
        ] {
            assert!(command.contains(&needed), "{file}: {needed}");
        }
        assert!(!command.iter().any(|option| option.contains("insecure") || option.contains("retry")), "{file}");
        assert_eq!(traefik["environment"]["DOMAIN"], "${DOMAIN:-}", "{file}");
        let mounts = crate::files::list(&traefik["volumes"]);
        assert!(mounts.contains(&"/var/run/docker.sock:/var/run/docker.sock:ro".to_owned()), "{file}");
        assert!(mounts.contains(&"certificates:/certificates".to_owned()), "{file}");
    }
}
