//! `.env.example` lists exactly the variables in use.

use std::collections::BTreeSet;

use crate::files::{asked_for, parse, read, services, settings, substitute, texts, variables, yaml};

const FILES: [&str; 3] = ["docker-compose.prod.yml", "docker-compose.yml", "docker/swarm.yml"];
/// Variables of the development file only, where the defaults suffice.
const OF_DEVELOPMENT: [&str; 2] = ["ECOMMERCE_PROFILE", "POSTGRES_PORT"];

#[test]
fn every_variable_of_the_files_is_in_the_example_and_every_one_there_is_used() {
    let asked: BTreeSet<String> = FILES
        .iter()
        .flat_map(|file| asked_for(&read(file)))
        .map(|(name, _)| name)
        .filter(|name| !OF_DEVELOPMENT.contains(&name.as_str()))
        .collect();
    let offered: BTreeSet<String> = variables().into_keys().collect();
    assert_eq!(offered, asked);
}

#[test]
fn the_example_says_the_defaults_of_the_files() {
    let offered = variables();
    for file in ["docker-compose.prod.yml", "docker/swarm.yml"] {
        for (name, otherwise) in asked_for(&read(file)) {
            if let Some(default) = otherwise.strip_prefix(":-").filter(|default| !default.is_empty()) {
                assert_eq!(offered[&name], default, "{file}: {name}");
            }
        }
    }
}

#[test]
fn traces_go_where_one_variable_says_and_nowhere_without_it() {
    const ENDPOINT: &str = "http://otel-collector:4318";
    for file in ["docker-compose.prod.yml", "docker/swarm.yml"] {
        for (given, expected) in [("", ""), (ENDPOINT, ENDPOINT)] {
            let mut all = variables();
            all.insert("OTLP_ENDPOINT".to_owned(), given.to_owned());
            all.insert("DATABASE_HOST".to_owned(), "db.example".to_owned());
            let document = parse(file, &substitute(&read(file), &all));
            for name in services().into_keys() {
                let settings = settings(&texts(&document["services"][&name]["environment"]));
                assert_eq!(settings.telemetry.otlp_endpoint, expected, "{file}: {name}");
            }
        }
    }
    let collector = yaml("docker/otel/collector.yml");
    let port = ENDPOINT.rsplit_once(':').map(|(_, port)| format!("0.0.0.0:{port}"));
    assert_eq!(collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].as_str(), port.as_deref());
}

#[test]
fn a_secret_that_must_be_set_has_no_default_anywhere() {
    let example = read(".env.example");
    for name in variables().into_keys().filter(|name| name.ends_with("_PASSWORD") || name.ends_with("_TOKEN")) {
        assert!(example.lines().any(|line| line == format!("{name}=")), "{name} has a value in the example");
        for file in ["docker-compose.prod.yml", "docker/swarm.yml"] {
            let may_be_empty = ["API_TOKEN", "GRAFANA_PASSWORD", "MONITOR_DB_PASSWORD"].contains(&name.as_str());
            let used = asked_for(&read(file)).into_iter().filter(|(other, _)| *other == name);
            for (_, otherwise) in used {
                assert_eq!(otherwise.starts_with(":?"), !may_be_empty, "{file}: {name}{otherwise}");
                assert!(otherwise.starts_with(":?") || otherwise == ":-", "{file}: {name}{otherwise}");
            }
        }
    }
}
