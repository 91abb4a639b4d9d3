//! `docker/swarm.yml`; its labels are tested in `routes`.

use serde_json::Value;

use crate::files::{
    CALLED_BY_CLIENTS, assert_holds_its_tokens, assert_holds_no_token, assert_pinned, assert_runs_as_itself,
    assert_time_to_stop, list, parse, read, services, settings, substitute, text, texts, variables,
};
use crate::traefik::templates;

fn stack() -> Value {
    let mut variables = variables();
    variables.insert("DATABASE_HOST".to_owned(), "db.example".to_owned());
    parse("docker/swarm.yml", &substitute(&read("docker/swarm.yml"), &variables))
}

#[test]
fn every_service_of_the_code_is_replicated_with_an_address_for_each_replica() {
    let stack = stack();
    let mut found: Vec<&String> = stack["services"].as_object().expect("services").keys().collect();
    found.sort();
    let expected: Vec<String> = services().into_keys().collect();
    let mut expected: Vec<&str> = expected.iter().map(String::as_str).chain(["migrate", "traefik"]).collect();
    expected.sort_unstable();
    assert_eq!(found, expected, "PostgreSQL is external");
    for (name, port) in services() {
        let service = &stack["services"][&name];
        assert_eq!(list(&service["command"]), ["serve", &name]);
        assert_runs_as_itself(&name, &texts(&service["environment"]));
        assert_holds_its_tokens(&name, &texts(&service["environment"]), &CALLED_BY_CLIENTS);
        let check = format!("http://127.0.0.1:{port}/health/");
        assert_eq!(list(&service["healthcheck"]["test"]), ["CMD", "/usr/local/bin/ecommerce", "health", &check]);
        let grace = text(&service["stop_grace_period"]);
        let grace = grace.trim_end_matches('s').parse().expect("seconds");
        assert_time_to_stop(&name, &settings(&texts(&service["environment"])), grace);
        let deploy = &service["deploy"];
        assert_eq!(deploy["endpoint_mode"], "dnsrr", "{name}: one address would pin callers to one replica");
        assert!(deploy["replicas"].as_u64().expect("a number") >= 2, "{name}");
        assert_eq!(deploy["update_config"]["order"], "start-first", "{name}");
        assert_eq!(deploy["update_config"]["failure_action"], "rollback", "{name}");
        assert_eq!(deploy["restart_policy"]["condition"], "any", "{name}");
        assert!(service["ports"].is_null() && service["hostname"].is_null(), "{name}");
    }
}

#[test]
fn every_container_is_limited_and_hardened() {
    let stack = stack();
    for (name, service) in stack["services"].as_object().expect("services") {
        assert_pinned(service["image"].as_str().expect("an image"));
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["logging"]["options"]["max-size"], "10m", "{name}");
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(limits["cpus"].is_string() && limits["memory"].is_string(), "{name}");
        assert!(service["container_name"].is_null(), "{name}");
    }
}

#[test]
fn the_migrations_are_a_job_of_the_administrator() {
    use secrecy::ExposeSecret;
    let stack = stack();
    let migrate = &stack["services"]["migrate"];
    assert_eq!(migrate["deploy"]["restart_policy"]["condition"], "on-failure");
    let environment = texts(&migrate["environment"]);
    assert_holds_no_token("migrate", &environment);
    let settings = settings(&environment);
    let url: tokio_postgres::Config = settings.database.url.expose_secret().parse().expect("a URL");
    assert_eq!(url.get_user(), Some("postgres"));
    assert_eq!(url.get_hosts(), [tokio_postgres::config::Host::Tcp("db.example".to_owned())]);
}

#[test]
fn only_traefik_is_published_and_by_the_host() {
    let stack = stack();
    let ports = stack["services"]["traefik"]["ports"].as_array().expect("ports");
    let published: Vec<u64> = ports.iter().map(|port| port["published"].as_u64().expect("a number")).collect();
    assert_eq!(published, [80, 443]);
    assert!(ports.iter().all(|port| port["mode"] == "host"), "the mesh would hide the clients' addresses");
    let traefik = &stack["services"]["traefik"];
    let mut files = Vec::new();
    for config in traefik["configs"].as_array().expect("configs") {
        let file = text(&stack["configs"][text(&config["source"])]["file"]);
        let name = file.strip_prefix("./traefik/").expect("a file of docker/traefik").to_owned();
        assert_eq!(config["target"], format!("/etc/traefik/dynamic/{name}"));
        files.push(name);
    }
    files.sort();
    assert_eq!(files, templates());
    assert_eq!(stack["networks"]["edge"]["name"], "ecommerce_edge");
    let command = list(&stack["services"]["traefik"]["command"]);
    assert!(command.contains(&"--providers.swarm.network=ecommerce_edge".to_owned()));
    assert_eq!(stack["networks"]["edge"]["driver"], "overlay");
}
