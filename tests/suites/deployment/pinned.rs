//! `renovate.json`: the versions that Renovate cannot find by itself are found by its expressions.

use std::fs;

use regex::Regex;
use serde_json::Value;

use crate::files::{list, path, read, variables, yaml};

/// The files that one of these expressions can select.
fn candidates() -> Vec<String> {
    let folders = ["", "docker", "tests"];
    let files = folders.iter().flat_map(|folder| {
        let entries = fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        entries.map(move |entry| {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            if folder.is_empty() { name } else { format!("{folder}/{name}") }
        })
    });
    files.filter(|file| path(file).is_file()).collect()
}

fn expression(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_pinned_tool_and_image_is_found_for_updates() {
    let settings: Value = serde_json::from_str(&read("renovate.json")).expect("JSON");
    let mut found: Vec<String> = Vec::new();
    for manager in settings["customManagers"].as_array().expect("managers") {
        let selected = list(&manager["managerFilePatterns"]);
        let selected: Vec<Regex> = selected.iter().map(|pattern| expression(pattern.trim_matches('/'))).collect();
        for file in candidates().into_iter().filter(|file| selected.iter().any(|one| one.is_match(file))) {
            for matched in list(&manager["matchStrings"]) {
                let text = read(&file);
                let versions = expression(&matched);
                found.extend(versions.captures_iter(&text).map(|one| format!("{file} {}", &one["depName"])));
            }
        }
    }
    found.sort();
    let scripts = candidates().into_iter().filter(|file| file.ends_with(".sh"));
    let marked: usize = scripts.map(|file| read(&file).matches("# renovate: ").count()).sum();
    let images = ["RUST_IMAGE", "RUNTIME_IMAGE"];
    // Each image is in the compose file and in .env.example.
    assert_eq!(found.len(), marked + 2 * images.len(), "{found:?}");
    for image in images {
        let variables = variables();
        let default = format!("ARG {image}={}", variables[image]);
        assert!(read("docker/Dockerfile").lines().any(|line| line == default), "{default}");
        let (name, _) = variables[image].rsplit_once(':').expect("a tag");
        assert_eq!(found.iter().filter(|found| found.ends_with(&format!(" {name}"))).count(), 2, "{found:?}");
    }
}

#[test]
fn the_workflows_build_in_the_image_of_the_dockerfile() {
    let image = variables()["RUST_IMAGE"].clone();
    let mut containers = 0;
    for file in [".github/workflows/ci.yml", ".github/workflows/release.yml"] {
        let workflow = yaml(file);
        for (name, job) in workflow["jobs"].as_object().expect("jobs") {
            if let Some(container) = job["container"]["image"].as_str() {
                assert_eq!(container, image, "{file}: {name}");
                containers += 1;
            }
        }
    }
    assert_eq!(containers, 2, "the checks, and the packages");
}
