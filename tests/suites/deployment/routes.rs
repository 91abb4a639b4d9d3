//! Traefik's routes, tested with every real route of the services.

use std::{collections::BTreeMap, time::Duration};

use common::config::Settings;
use serde_json::{Value, json};
use tests::{Stack, StackOptions, api_description::ApiDescription, raw::exchange, with_stack};

use crate::{
    allowed_paths::Way,
    files::{list, parse, read, services, settings, substitute, text, texts, variables, yaml},
    rule::Request,
    traefik::{Destination, Traefik},
};

const BY_LABELS: [&str; 2] = ["docker-compose.prod.yml", "docker/swarm.yml"];

/// Time that Traefik lets pass between two changes from its providers.
const PROVIDERS_THROTTLE: Duration = Duration::from_secs(2);

/// Returns where Traefik leads a request for a path, which must be the same at each public entry point.
fn leads_to(traefik: &Traefik, path: &str) -> Option<Destination> {
    let [plain, encrypted] = ["web", "websecure"].map(|entry| traefik.destination(entry, &Request::get(path)));
    assert_eq!(plain, encrypted, "{}: {path}", traefik.name);
    plain
}

fn is_routed(path: &str) -> bool {
    Traefik::all().iter().any(|traefik| leads_to(traefik, path).is_some())
}

#[test]
fn every_name_that_routers_and_services_use_is_defined() {
    for traefik in Traefik::all() {
        assert_eq!(traefik.mistakes(), Vec::<String>::new());
    }
    for (name, mistake) in [
        ("retry", "no middleware renamed"),
        ("security-headers", "no middleware renamed"),
        ("payments-prefix", "no middleware renamed"),
        ("web,", "no entry point renamed"),
        ("\"service\":\"catalog\"", "no service"),
        ("services@file", "no transport renamed"),
        ("&&", "follows a complete rule"),
    ] {
        for mut traefik in Traefik::with_variables(&variables()) {
            let other = if name.contains("service\"") { "\"service\":\"renamed\"" } else { "renamed," };
            traefik.rename_uses(name, if name == "&&" { "&" } else { other.trim_end_matches(',') });
            let mistakes = traefik.mistakes();
            assert!(mistakes.iter().any(|found| found.contains(mistake)), "{name}: {mistakes:?}");
        }
    }
}

#[test]
fn each_service_has_one_router_with_the_shared_middlewares_and_its_prefix() {
    for traefik in Traefik::all() {
        let provider = if BY_LABELS.contains(&traefik.name) { "@file" } else { "" };
        let found = traefik.of_services();
        assert_eq!(found.len(), services().len(), "{}", traefik.name);
        for ((router, service), (name, port)) in found.into_iter().zip(services()) {
            let middlewares = traefik.middlewares_of(&router);
            let names: Vec<&str> = middlewares.iter().map(|(name, _)| name.as_str()).collect();
            let shared = ["rate-limit", "security-headers", "retry"].map(|name| format!("{name}{provider}"));
            let prefix = format!("{name}-prefix");
            assert_eq!(names, [&shared[0], &shared[1], &shared[2], &prefix], "{}", traefik.name);
            let [(_, limit), (_, headers), (_, retry), _] = &middlewares[..] else { panic!("four: {middlewares:?}") };
            assert_eq!(**limit, json!({ "ratelimit": { "average": 100, "burst": 200 } }), "{}", traefik.name);
            // No status and no other method: only what reached no replica is sent again.
            assert_eq!(**retry, json!({ "retry": { "attempts": 4, "initialinterval": "50ms" } }), "{}", traefik.name);
            assert_eq!(
                headers["headers"],
                json!({
                    "contenttypenosniff": true, "framedeny": true, "referrerpolicy": "no-referrer",
                    "permissionspolicy": "camera=(), geolocation=(), microphone=()", "stsseconds": 31_536_000,
                }),
                "{}",
                traefik.name
            );
            let check = json!({ "path": "/health/", "interval": "1s", "timeout": "2s" });
            let expected = match provider {
                // Kubernetes checks its pods itself.
                "" => json!({ "serverstransport": "services" }),
                _ => json!({
                    "server": { "port": port.to_string() }, "serverstransport": "services@file", "healthcheck": check,
                }),
            };
            assert_eq!(*traefik.service(&service), json!({ "loadbalancer": expected }), "{}", traefik.name);
        }
    }
}

#[test]
fn what_clients_are_promised_is_routed_and_the_prefix_stripped() {
    for (outside, inside) in [
        ("/orchestrator/saga/transaction", "/saga/transaction"),
        ("/orchestrator/saga/events", "/saga/events"),
        ("/orchestrator/ui/", "/ui/"),
        ("/orchestrator/ui/api/services", "/ui/api/services"),
        ("/orchestrator/docs", "/docs"),
        ("/orchestrator/", "/"),
        ("/orchestrator", "/"),
        ("/catalog/products/random/", "/products/random/"),
        ("//catalog//products/random/", "/products/random/"),
        ("/payments/health/", "/health/"),
        ("/payments/payments/", "/payments/"),
        ("/inventory/inventory/decrease/", "/inventory/decrease/"),
        ("/purchases/purchases/by-transaction/t/cancel/", "/purchases/by-transaction/t/cancel/"),
        ("/payments/openapi.json", "/openapi.json"),
        ("/purchases/journal/metrics", "/journal/metrics"),
    ] {
        let service = outside.trim_start_matches('/').split('/').next().expect("a prefix").to_owned();
        for traefik in Traefik::all() {
            let destination = Some(Destination { service: service.clone(), path: inside.to_owned() });
            assert_eq!(leads_to(&traefik, outside), destination, "{}: {outside}", traefik.name);
        }
    }
}

#[test]
fn what_is_for_operators_on_the_inside_is_not() {
    for service in services().into_keys() {
        let operational =
            ["/debug", "/debug/", "/debug/actors", "//debug/faults", "/metrics", "/metrics/", "//metrics"];
        for path in operational.into_iter().chain(["/calls", "/calls/", "/calls/1", "//calls"]) {
            assert!(!is_routed(&format!("/{service}{path}")), "/{service}{path}");
        }
    }
    // The protocol of DTM's clients calls URLs of the client's choice.
    for path in ["/api/dtmsvr/submit", "//api/dtmsvr/all", "/api"] {
        assert!(!is_routed(&format!("/orchestrator{path}")), "{path}");
    }
    for outside in ["/", "/debug/actors", "/metrics", "/catalogue/products/", "/saga/transaction", "/paymentsx"] {
        assert!(!is_routed(outside), "{outside}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_leads_to_what_is_for_operators() {
    const TRICKS: [&str; 17] = [
        "//debug/actors",
        "/./debug/actors",
        "/x/../debug/actors",
        "/%64ebug/actors",
        "/%64%65%62%75%67/actors",
        "/%2e/debug/actors",
        "/x/%2e%2e/debug/actors",
        "/%2fdebug/actors",
        "/%2Fdebug%2Factors",
        "/debug%2factors",
        "/debug;/actors",
        "/;/debug/actors",
        "/DEBUG/actors",
        "/\\debug\\actors",
        "/%5cdebug/actors",
        "/debug%00/actors",
        "/%2564ebug/actors",
    ];
    with_stack(StackOptions::default().set("dtm.enabled", true), async |stack: &Stack| {
        let open = stack.get("catalog", "/debug/actors").await;
        assert_eq!(open.status, 200, "without Traefik the paths would be answered: {}", open.text);
        for service in services().into_keys() {
            let of_debug = TRICKS.map(str::to_owned);
            let of_metrics =
                TRICKS.map(|path| path.replace("/actors", "").replace("actors", "").replace("debug", "metrics"));
            for path in of_debug.iter().chain(&of_metrics) {
                for traefik in Traefik::all() {
                    let Some(reached) = leads_to(&traefik, &format!("/{service}{path}")) else { continue };
                    let address = stack.address(&reached.service);
                    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", reached.path);
                    let answer = exchange(address, request.as_bytes()).await.expect("an answer");
                    assert!([400, 404].contains(&answer.status), "{}: {path}: {}", traefik.name, answer.status);
                }
                // Routes that list the public paths, whether or not they clean a path first.
                for path in [path, Request::get(path).path()] {
                    let led = Way::ALL.map(|way| way.leads_to(&service, path));
                    let root = path == "/" && service == "orchestrator";
                    assert_eq!(led.map(|to| to.is_some()), [root; 2], "{service} {path}");
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_every_service_is_routed_unless_it_is_one_of_those() {
    with_stack(StackOptions::default().set("dtm.enabled", true), async |stack: &Stack| {
        for service in services().into_keys() {
            let described = ApiDescription::of(stack, &service).await;
            let paths = described.document()["paths"].as_object().expect("a document has paths").clone();
            assert!(paths.keys().any(|path| path.starts_with("/debug")), "{service}: nothing was tried");
            for traefik in Traefik::all() {
                for path in paths.keys().map(String::as_str).chain(["/openapi.json", "/docs"]) {
                    let inside =
                        ["/debug", "/metrics", "/api/", "/calls"].iter().any(|inside| path.starts_with(inside));
                    let destination = Destination { service: service.clone(), path: path.to_owned() };
                    let expected = (!inside).then_some(destination);
                    assert_eq!(leads_to(&traefik, &format!("/{service}{path}")), expected, "{}", traefik.name);
                    for way in Way::ALL {
                        assert_eq!(way.leads_to(&service, path), expected, "{way:?}");
                    }
                }
            }
        }
    })
    .await;
}

#[test]
fn the_dashboard_has_an_entry_point_of_its_own() {
    for traefik in Traefik::with_variables(&variables()) {
        for path in ["/dashboard/", "/api/http/routers"] {
            let destination = traefik.destination("traefik", &Request::get(path)).expect("a service");
            assert_eq!(destination.service, "api@internal", "{}", traefik.name);
            assert_eq!(leads_to(&traefik, path), None, "{}: {path}", traefik.name);
        }
        assert_eq!(traefik.destination("traefik", &Request::get("/orchestrator/")), None, "{}", traefik.name);
    }
}

fn duration(value: &Value) -> Duration {
    let value = text(value);
    let (number, unit) = value.split_at(value.find(|letter: char| !letter.is_ascii_digit()).expect("a unit"));
    let number: u64 = number.parse().expect("a number");
    match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        unit => panic!("{value}: {unit}"),
    }
}

/// The settings of a service behind each Traefik.
fn settings_behind(traefik: &Traefik, service: &str) -> Settings {
    if traefik.name == "docker/kubernetes" {
        return crate::kubernetes::settings_of(service);
    }
    let mut variables = variables();
    variables.insert("DATABASE_HOST".to_owned(), "db.example".to_owned());
    let document = parse(traefik.name, &substitute(&read(traefik.name), &variables));
    settings(&texts(&document["services"][service]["environment"]))
}

#[test]
fn the_times_of_traefik_and_of_the_services_fit() {
    for traefik in Traefik::all() {
        for (_, service) in traefik.of_services() {
            let settings = settings_behind(&traefik, service.split('@').next().expect("a name"));
            let transport = traefik.transport_of(&service);
            let times = &transport["forwardingtimeouts"];
            let (dial, answer) = (duration(&times["dialtimeout"]), duration(&times["responseheadertimeout"]));
            // Four attempts take about a second.
            assert!(dial <= Duration::from_millis(300), "{}: {dial:?}", traefik.name);
            let wait_limit = Duration::from_millis(settings.orchestrator.wait_limit_ms);
            assert!(answer > wait_limit && answer <= wait_limit + Duration::from_secs(10), "{}", traefik.name);
            let idle = duration(&times["idleconntimeout"]);
            assert!(idle * 3 / 2 < Duration::from_millis(settings.http.idle_timeout_ms), "{}: {idle:?}", traefik.name);
            assert_eq!(transport["maxidleconnsperhost"], 200, "{}: the default is 2", traefik.name);
            let check = &traefik.service(&service)["loadbalancer"]["healthcheck"];
            let noticed = match check {
                // The endpoint of a pod is taken out when its deletion begins.
                Value::Null => Duration::ZERO,
                check => duration(&check["interval"]) + duration(&check["timeout"]),
            };
            let delay = Duration::from_millis(settings.http.drain_delay_ms);
            assert!(delay > noticed + PROVIDERS_THROTTLE, "{}: {service}: {delay:?}", traefik.name);
        }
    }
    for (profile, delay_ms) in [("development", 0), ("bench", 0)] {
        let settings = common::config::ConfigSource::embedded(profile).load().expect("valid");
        assert_eq!(settings.http.drain_delay_ms, delay_ms, "{profile}");
    }
}

#[test]
fn traefik_is_one_without_published_advisories() {
    for file in BY_LABELS {
        let image = text(&yaml(file)["services"]["traefik"]["image"]);
        let version = image.strip_prefix("traefik:v").unwrap_or_else(|| panic!("{file}: {image}"));
        let version: Vec<u32> = version.split('.').map(|part| part.parse().expect("a number")).collect();
        assert!(version >= vec![3, 6, 19], "{file}: {image}: its path matchers and StripPrefix can be evaded");
        assert_eq!(image, text(&yaml(BY_LABELS[0])["services"]["traefik"]["image"]), "{file}");
    }
}

#[test]
fn a_domain_switches_https_on_and_without_one_there_is_none() {
    let with_domain = |domain: &str| {
        let domain = ("DOMAIN".to_owned(), domain.to_owned());
        Traefik::with_variables(&variables().into_iter().chain([domain]).collect::<BTreeMap<_, _>>())
    };
    for (off, on) in with_domain("").iter().zip(with_domain("shop.example")) {
        assert_eq!(on.mistakes(), Vec::<String>::new());
        for path in ["/", "/orchestrator/saga/transaction", "/orchestrator/debug/actors"] {
            let request = Request::get(path);
            assert_eq!(on.router("web", &request), Some("to-https@file"), "{}: {path}", on.name);
            assert_eq!(on.router("websecure", &request), off.router("websecure", &request), "{}: {path}", on.name);
            assert_eq!(off.router("web", &request), off.router("websecure", &request), "{}: {path}", on.name);
        }
        let redirect = on.middlewares_of("to-https@file");
        assert_eq!(*redirect[0].1, json!({ "redirectscheme": { "scheme": "https", "permanent": true } }));
    }

    let template = read("docker/traefik/https.yml");
    let inner = template.split_once("{{ if env \"DOMAIN\" }}\n").expect("the switch").1;
    let (inner, after) = inner.split_once("{{ end }}").expect("its end");
    assert!(after.trim().is_empty(), "without a domain nothing of the file counts: {after}");
    let on = parse("https.yml", &inner.replace("{{ env \"DOMAIN\" }}", "shop.example"));
    let certificate = &on["tls"]["stores"]["default"]["defaultGeneratedCert"];
    assert_eq!(certificate["domain"]["main"], "shop.example");
    for file in BY_LABELS {
        let document = yaml(file);
        let traefik = &document["services"]["traefik"];
        let resolver = certificate["resolver"].as_str().expect("a name");
        let command = list(&traefik["command"]);
        for needed in [
            "--entryPoints.web.address=:80".to_owned(),
            "--entryPoints.websecure.address=:443".to_owned(),
            "--entryPoints.websecure.http.tls=true".to_owned(),
            "--entryPoints.traefik.address=:8080".to_owned(),
            "--providers.file.directory=/etc/traefik/dynamic".to_owned(),
            format!("--certificatesResolvers.{resolver}.acme.email=${{ACME_EMAIL:-}}"),
            format!("--certificatesResolvers.{resolver}.acme.storage=/certificates/acme.json"),
            format!("--certificatesResolvers.{resolver}.acme.tlsChallenge=true"),
            "--ping=true".to_owned(),
            "--api.dashboard=true".to_owned(),
        ] {
            assert!(command.contains(&needed), "{file}: {needed}");
        }
        assert!(!command.iter().any(|option| option.contains("insecure") || option.contains("retry")), "{file}");
        for (name, value) in [
            ("DOMAIN", "${DOMAIN:-}"),
            ("RATE_LIMIT_PER_SECOND", "${RATE_LIMIT_PER_SECOND:-100}"),
            ("RATE_LIMIT_BURST", "${RATE_LIMIT_BURST:-200}"),
        ] {
            assert_eq!(traefik["environment"][name], value, "{file}");
        }
        let mounts = list(&traefik["volumes"]);
        assert!(mounts.contains(&"/var/run/docker.sock:/var/run/docker.sock:ro".to_owned()), "{file}");
        assert!(mounts.contains(&"certificates:/certificates".to_owned()), "{file}");
    }
    let mounts = list(&yaml(BY_LABELS[0])["services"]["traefik"]["volumes"]);
    assert!(mounts.contains(&"./docker/traefik:/etc/traefik/dynamic:ro".to_owned()));
}
