//! `.env.example` lists exactly the variables in use.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tests::files::TemporaryFolder;

use crate::files::{asked_for, parse, path, read, services, settings, substitute, texts, variables, yaml};

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

/// Runs the script that writes the variables.
fn secrets(arguments: &[&str], file: &Path) -> Output {
    Command::new(path("docker/secrets.sh")).args(arguments).arg(file).output().expect("bash runs it")
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_else(|| panic!("{name}: {text}"))
}

#[test]
fn the_script_writes_every_secret_and_names_all_that_is_missing_at_once() {
    let folder = TemporaryFolder::new();
    let file = folder.path().join("env");
    let written = secrets(&[], &file);
    let said = String::from_utf8_lossy(&written.stderr);
    assert!(!written.status.success() && said.contains("lacks: INITIAL_STOCK"), "the stock is not invented: {said}");
    let written = secrets(&["--initial-stock", "7"], &file);
    assert!(written.status.success(), "{written:?}");
    let text = fs::read_to_string(&file).expect("it is there");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!((value(&text, "INITIAL_STOCK"), value(&text, "API_TOKEN")), ("7", ""));
    let secrets_of = |text: &str| -> BTreeSet<String> {
        let names = variables().into_keys().filter(|name| name.ends_with("_PASSWORD") || name.ends_with("_TOKEN"));
        names.filter(|name| name != "API_TOKEN").map(|name| value(text, &name).to_owned()).collect()
    };
    let all = secrets_of(&text);
    assert!(all.iter().all(|secret| secret.len() >= 32), "{text}");
    let count = variables().keys().filter(|name| name.ends_with("_PASSWORD") || name.ends_with("_TOKEN")).count();
    assert_eq!(all.len(), count - 1, "they differ");

    // A file of an earlier version: its own values stay, and what it lacks is added.
    let kept = "PAYMENTS_DB_PASSWORD=mine\nHTTP_PORT=8080\nOPERATOR_TOKEN=\n";
    fs::write(&file, kept).expect("it is written");
    let checked = secrets(&["--check"], &file);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success() && !said.contains("PAYMENTS_DB_PASSWORD"), "{said}");
    for name in ["POSTGRES_PASSWORD", "CATALOG_DB_PASSWORD", "OPERATOR_TOKEN", "SERVICE_TOKEN", "INITIAL_STOCK"] {
        assert!(said.contains(name), "{name}: {said}");
    }
    assert_eq!(fs::read_to_string(&file).expect("it is there"), kept, "a check changes nothing");
    assert!(secrets(&["--initial-stock", "0"], &file).status.success());
    let text = fs::read_to_string(&file).expect("it is there");
    assert_eq!((value(&text, "PAYMENTS_DB_PASSWORD"), value(&text, "HTTP_PORT")), ("mine", "8080"));
    assert!(value(&text, "OPERATOR_TOKEN").len() >= 32 && secrets(&["--check"], &file).status.success(), "{text}");
}
