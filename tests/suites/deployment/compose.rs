//! The compose files.

use std::fs;

use regex::Regex;
use serde_json::Value;

use crate::files::{
    CALLED_BY_CLIENTS, assert_holds_its_tokens, assert_holds_no_token, assert_pinned, assert_runs_as_itself,
    assert_time_to_stop, list, parse, path, read, services, settings, substitute, text, texts, variables,
};

const PRODUCTION: &str = "docker-compose.prod.yml";
const DEVELOPMENT: &str = "docker-compose.yml";

/// Containers that end by themselves.
const JOBS: [&str; 3] = ["migrate", "tools", "monitor-role"];
/// Other containers of the production file, and those of its profile `observability`.
const OTHERS: [&str; 3] = ["traefik", "postgres", "migrate"];
const OBSERVERS: [&str; 7] =
    ["prometheus", "alertmanager", "monitor-role", "postgres-exporter", "node-exporter", "grafana", "otel-collector"];
/// Its image has no program for a health check.
const WITHOUT_HEALTH_CHECK: &str = "otel-collector";

fn compose(file: &str) -> Value {
    parse(file, &substitute(&read(file), &variables()))
}

fn members(document: &Value) -> Vec<(&str, &Value)> {
    let services = document["services"].as_object().expect("services");
    services.iter().map(|(name, service)| (name.as_str(), service)).collect()
}

#[test]
fn every_service_of_the_code_runs_and_nothing_that_nobody_knows() {
    let document = compose(PRODUCTION);
    let mut expected: Vec<String> = services().into_keys().collect();
    expected.extend(OTHERS.iter().chain(&OBSERVERS).chain(&["tools"]).map(|name| (*name).to_owned()));
    expected.sort();
    let mut found: Vec<String> = members(&document).into_iter().map(|(name, _)| name.to_owned()).collect();
    found.sort();
    assert_eq!(found, expected);
    for (name, service) in members(&document) {
        let profile = match name {
            "tools" => serde_json::json!(["tools"]),
            name if OBSERVERS.contains(&name) => serde_json::json!(["observability"]),
            _ => Value::Null,
        };
        assert_eq!(service["profiles"], profile, "{name}");
    }
    for (name, port) in services() {
        let service = &document["services"][&name];
        assert_eq!(list(&service["command"]), ["serve", &name], "{name}");
        let check = format!("http://127.0.0.1:{port}/health/");
        assert_eq!(list(&service["healthcheck"]["test"]), ["CMD", "/usr/local/bin/ecommerce", "health", &check]);
        assert_runs_as_itself(&name, &texts(&service["environment"]));
        assert_holds_its_tokens(&name, &texts(&service["environment"]), &CALLED_BY_CLIENTS);
    }
}

#[test]
fn the_jobs_have_what_they_need_and_no_service_has_it() {
    use secrecy::ExposeSecret;
    let document = compose(PRODUCTION);
    for job in ["migrate", "tools"] {
        let environment = texts(&document["services"][job]["environment"]);
        assert_holds_no_token(job, &environment);
        let settings = settings(&environment);
        for service in services().into_keys() {
            let password = settings.service(&service).database_password.expose_secret();
            assert_eq!(password, format!("secret-of-{service}_db_password"), "{job}");
        }
        let url: tokio_postgres::Config = settings.database.url.expose_secret().parse().expect("a URL");
        assert_eq!(url.get_user(), (job == "migrate").then_some("postgres"), "only migrations need an administrator");
    }
    assert_eq!(list(&document["services"]["migrate"]["command"]), ["migrate"]);
    assert_eq!(document["services"]["migrate"]["build"]["dockerfile"], "docker/Dockerfile");
}

#[test]
fn nothing_starts_before_what_it_needs() {
    for file in [PRODUCTION, DEVELOPMENT] {
        let document = compose(file);
        for service in services().into_keys() {
            let needs = &document["services"][&service]["depends_on"];
            assert_eq!(needs["postgres"]["condition"], "service_healthy", "{file}: {service}");
            assert_eq!(needs["migrate"]["condition"], "service_completed_successfully", "{file}: {service}");
        }
        let migrate = &document["services"]["migrate"];
        assert_eq!(migrate["depends_on"]["postgres"]["condition"], "service_healthy", "{file}");
        assert_eq!(migrate["restart"], "on-failure:3", "{file}: one that cannot succeed ends too");
    }
}

#[test]
fn every_container_is_watched_limited_started_again_and_its_log_rotated() {
    let document = compose(PRODUCTION);
    for (name, service) in members(&document) {
        let is_job = JOBS.contains(&name);
        match name {
            _ if is_job => assert_eq!(service["healthcheck"]["disable"], true, "{name}"),
            WITHOUT_HEALTH_CHECK => assert!(service["healthcheck"].is_null(), "{name}"),
            _ => {
                let check = &service["healthcheck"];
                assert_eq!(check["test"][0], "CMD", "{name}: without a shell");
                for knob in ["interval", "timeout", "retries"] {
                    assert!(!check[knob].is_null(), "{name}: {knob}");
                }
            }
        }
        assert!(service["mem_limit"].is_string(), "{name}");
        assert!(text(&service["cpus"]).parse::<f64>().is_ok(), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        assert_eq!(service["logging"]["driver"], "json-file", "{name}");
        assert_eq!(service["logging"]["options"]["max-size"], "10m", "{name}");
        assert_eq!(service["logging"]["options"]["max-file"], "5", "{name}");
        let restart = match name {
            "tools" => Value::Null,
            "monitor-role" => "no".into(),
            "migrate" => "on-failure:3".into(),
            _ => "unless-stopped".into(),
        };
        assert_eq!(service["restart"], restart, "{name}");
        // PostgreSQL's image switches its user and changes the owner of its data.
        if name != "postgres" {
            assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        }
        if !["postgres", "grafana"].contains(&name) {
            assert_eq!(service["read_only"], true, "{name}");
        }
        assert_pinned(service["image"].as_str().expect("an image"));
    }
}

#[test]
fn a_service_has_time_to_stop() {
    let document = compose(PRODUCTION);
    for service in services().into_keys() {
        let given = text(&document["services"][&service]["stop_grace_period"]);
        let given = given.trim_end_matches('s').parse().expect("seconds");
        let settings = settings(&texts(&document["services"][&service]["environment"]));
        assert_time_to_stop(&service, &settings, given);
    }
}

#[test]
fn nothing_hinders_a_second_replica() {
    for (name, service) in members(&compose(PRODUCTION)) {
        assert!(service["container_name"].is_null() && service["hostname"].is_null(), "{name}");
        if services().contains_key(name) {
            assert!(service["ports"].is_null() && service["volumes"].is_null(), "{name}");
            assert!(service["networks"].is_array(), "{name}: a network with an address of its own");
        }
    }
}

#[test]
fn the_number_of_replicas_is_a_variable_so_no_start_resets_it() {
    for service in services().into_keys() {
        let mut variables = variables();
        assert_eq!(text(&compose(PRODUCTION)["services"][&service]["scale"]), "1", "{service}");
        variables.insert(format!("{}_REPLICAS", service.to_uppercase()), "3".to_owned());
        let document = parse(PRODUCTION, &substitute(&read(PRODUCTION), &variables));
        assert_eq!(text(&document["services"][&service]["scale"]), "3", "{service}");
    }
}

#[test]
fn the_scripts_know_every_service() {
    for script in ["docker/update.sh", "docker/restore.sh", "docker/try.sh"] {
        let text = read(script);
        let line = text.lines().find_map(|line| line.strip_prefix("services=(")?.strip_suffix(')')).expect("a list");
        let mut known: Vec<&str> = line.split(' ').collect();
        known.sort_unstable();
        assert_eq!(known, services().keys().map(String::as_str).collect::<Vec<_>>(), "{script}");
    }
    let update = read("docker/update.sh");
    let line = update.lines().find(|line| line.starts_with("services=(")).expect("a list");
    assert!(line.ends_with(" orchestrator)"), "participants first: {line}");
}

#[test]
fn only_traefik_is_reached_from_outside() {
    let document = compose(PRODUCTION);
    for (name, service) in members(&document) {
        let ports = service["ports"].as_array().map(|ports| ports.iter().map(text).collect()).unwrap_or_default();
        let open: Vec<String> = ports;
        let open: Vec<&String> = open.iter().filter(|port| !port.starts_with("127.0.0.1:")).collect();
        match name {
            "traefik" => assert_eq!(open, ["80:80", "443:443"]),
            _ => assert!(open.is_empty(), "{name}: {open:?}"),
        }
    }
    let traefik = &document["services"]["traefik"];
    assert!(list(&traefik["ports"]).contains(&"127.0.0.1:8080:8080".to_owned()));
    assert_eq!(list(&traefik["networks"]), ["edge"], "Traefik does not reach the databases");
    assert!(list(&traefik["command"]).contains(&"--providers.docker.network=ecommerce_edge".to_owned()));
    assert!(list(&traefik["command"]).contains(&"--providers.docker.exposedByDefault=false".to_owned()));
    assert_eq!(document["networks"]["edge"]["name"], "ecommerce_edge");
    assert_eq!(document["networks"]["backend"]["internal"], true);
    assert_eq!(list(&document["services"]["postgres"]["networks"]), ["backend"]);
}

#[test]
fn the_connections_of_a_scaled_system_fit_into_the_server() {
    let document = compose(PRODUCTION);
    let pool: u64 = text(&document["services"]["payments"]["environment"]["ECOMMERCE__DATABASE__POOL_SIZE"])
        .parse()
        .expect("a number");
    let command = list(&document["services"]["postgres"]["command"]).join(" ");
    let max = command.split_once("max_connections=").expect("a limit").1;
    let max: u64 = max.split(' ').next().expect("a number").parse().expect("a number");
    // Five replicas of each of the five services, each with a lease connection, and ten connections for people.
    assert!(5 * 5 * (pool + 1) + 10 <= max, "{pool} {max}");
}

#[test]
fn what_is_mounted_is_there() {
    for file in [PRODUCTION, DEVELOPMENT] {
        let document = compose(file);
        let volumes = document["volumes"].as_object().expect("volumes");
        for (name, service) in members(&document) {
            for mount in service["volumes"].as_array().into_iter().flatten().map(text) {
                let source = mount.split(':').next().expect("a source");
                match source.strip_prefix("./") {
                    // backup.sh makes it, or else Docker.
                    Some("backups") => {}
                    Some(inside) => assert!(path(inside).exists(), "{file}: {name} mounts {source}"),
                    None if source.starts_with('/') => assert_eq!(source, "/var/run/docker.sock", "{file}: {name}"),
                    None => assert!(volumes.contains_key(source), "{file}: {name} mounts {source}"),
                }
                let is_written = volumes.contains_key(source) && !mount.contains(":/volumes/");
                assert_eq!(!mount.ends_with(":ro"), is_written, "{file}: {name} mounts {mount}");
            }
        }
    }
}

#[test]
fn prometheus_finds_every_container_that_has_metrics() {
    let document = compose(PRODUCTION);
    let scraped = crate::files::yaml("docker/prometheus/prometheus.yml");
    let mut found: Vec<(String, u64)> = Vec::new();
    for job in scraped["scrape_configs"].as_array().expect("jobs") {
        let Some(dns) = job["dns_sd_configs"].as_array() else { continue };
        found.push((text(&dns[0]["names"][0]), dns[0]["port"].as_u64().expect("a port")));
    }
    let mut expected: Vec<(String, u64)> = services().into_iter().map(|(name, port)| (name, port.into())).collect();
    let others = [("traefik", 8080), ("postgres-exporter", 9187), ("node-exporter", 9100), ("alertmanager", 9093)];
    expected.extend(others.map(|(name, port)| (name.to_owned(), port)));
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let networks = |name: &str| list(&document["services"][name]["networks"]);
    for (name, _) in found {
        let shared = networks(&name).iter().any(|network| networks("prometheus").contains(network));
        assert!(shared, "Prometheus does not reach {name}");
    }
    let prometheus = texts(&document["services"]["prometheus"]["environment"]);
    for name in services().into_keys() {
        assert_eq!(prometheus[&format!("{}_REPLICAS", name.to_uppercase())], "1", "{name}");
    }
}

#[test]
fn development_has_every_service_on_its_port_of_this_machine_and_no_proxy() {
    let document = compose(DEVELOPMENT);
    let mut expected: Vec<String> = services().into_keys().chain(["migrate", "postgres"].map(str::to_owned)).collect();
    expected.sort();
    let mut found: Vec<String> = members(&document).into_iter().map(|(name, _)| name.to_owned()).collect();
    found.sort();
    assert_eq!(found, expected);
    for (name, port) in services() {
        let service = &document["services"][&name];
        assert_eq!(list(&service["ports"]), [format!("127.0.0.1:{port}:{port}")], "{name}");
        let check = format!("http://127.0.0.1:{port}/health/");
        assert_eq!(list(&service["healthcheck"]["test"]), ["CMD", "/usr/local/bin/ecommerce", "health", &check]);
        let settings = settings(&texts(&service["environment"]));
        assert_eq!(settings.profile, "development");
        for (other, port) in services() {
            assert_eq!(settings.service(&other).url, format!("http://{other}:{port}"), "{name}");
        }
    }
}

/// With `pipefail` a command whose reader has ended (SIGPIPE) ends the script without a message.
#[test]
fn no_script_stops_reading_what_another_command_writes() {
    let early = Regex::new(r"(compose|docker|curl)\b[^|]*\|\s*(head\b|awk '[^']*\bexit\b|sed -n '?\d+\{?q)")
        .expect("a pattern");
    let mut seen = 0;
    for entry in fs::read_dir(path("docker")).expect("a folder") {
        let file = entry.expect("an entry").path();
        if file.extension().is_some_and(|extension| extension == "sh") {
            let script = fs::read_to_string(&file).expect("a script");
            let bad = script.lines().find(|line| early.is_match(line));
            assert_eq!(bad, None, "{}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen} scripts");
}
