//! The Dockerfile and its build context.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tests::files::TemporaryFolder;

use crate::files::{path, read, services};

/// The instructions, each on one line, without comments.
fn instructions() -> Vec<String> {
    let text: Vec<String> =
        read("docker/Dockerfile").lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let joined = text.join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|l| !l.is_empty()).collect()
}

fn runtime() -> Vec<String> {
    let all = instructions();
    let last = all.iter().rposition(|line| line.starts_with("FROM ")).expect("a stage");
    all[last..].to_vec()
}

fn argument<'a>(lines: &'a [String], instruction: &str) -> &'a str {
    let mut found = lines.iter().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '));
    found.next_back().unwrap_or_else(|| panic!("no {instruction}"))
}

#[test]
fn the_runtime_has_no_shell_runs_nothing_while_it_is_built_and_is_not_root() {
    let all = instructions();
    assert_eq!(all.iter().filter(|line| line.starts_with("FROM ")).count(), 2, "a stage that builds, one that runs");
    assert!(all.contains(&"ARG RUST_IMAGE=rust:1.95-bookworm".to_owned()));
    assert!(all.contains(&"ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot".to_owned()));
    let runtime = runtime();
    assert_eq!(runtime[0], "FROM ${RUNTIME_IMAGE}");
    assert!(!runtime.iter().any(|line| line.starts_with("RUN ")), "it needs no shell: {runtime:?}");
    let (user, group) = argument(&runtime, "USER").split_once(':').expect("user and group");
    assert!(user.parse::<u32>().expect("a number") >= 1000 && group.parse::<u32>().expect("a number") >= 1000);
    for instruction in ["ENTRYPOINT", "CMD"] {
        let words: Value = serde_json::from_str(argument(&runtime, instruction)).expect("no shell");
        assert!(words.is_array(), "{instruction}");
    }
    let check = argument(&runtime, "HEALTHCHECK").split_once("CMD ").expect("a command").1;
    assert_eq!(check, r#"["/usr/local/bin/ecommerce", "health"]"#);
    let environment = argument(&runtime, "ENV");
    for needed in [
        "ECOMMERCE_PROFILE=production",
        "ECOMMERCE_CONFIG_DIR=/etc/ecommerce/config",
        "ECOMMERCE__HTTP__BIND=0.0.0.0",
        "ECOMMERCE_HEALTH_URL=http://127.0.0.1:8000",
    ] {
        assert!(environment.split(' ').any(|word| word == needed), "{needed}");
    }
    assert!(runtime.contains(&"COPY config /etc/ecommerce/config".to_owned()));
    let ports: Vec<&str> = argument(&runtime, "EXPOSE").split(' ').collect();
    let mut expected: Vec<String> = services().into_values().map(|port| port.to_string()).collect();
    expected.sort();
    assert_eq!(ports, expected);
}

#[test]
fn the_image_says_what_it_is() {
    let runtime = runtime();
    let labels = argument(&runtime, "LABEL");
    for label in ["title", "description", "licenses", "base.name", "version", "revision", "created"] {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}=\"")), "{label}");
    }
    let workspace = read("Cargo.toml");
    let version = workspace.lines().find_map(|line| line.strip_prefix("version = ")).expect("a version");
    assert!(runtime.contains(&format!("ARG VERSION={}", version.trim_matches('"'))), "the version of the workspace");
    // The program says the same about itself; the arguments come late, or each commit would build the dependencies again.
    let all = instructions();
    let build = all.iter().rposition(|line| line.contains("cargo build")).expect("the build of the sources");
    assert!(
        all[build].contains(r#"ECOMMERCE_REVISION="$REVISION" ECOMMERCE_REVISION_DATE="$CREATED""#),
        "{}",
        all[build]
    );
    let dependencies = all.iter().position(|line| line.contains("cargo build")).expect("the build of the dependencies");
    assert!(
        all[..=dependencies].iter().all(|line| !line.starts_with("ARG REVISION") && !line.starts_with("ARG CREATED"))
    );
}

#[test]
fn dependencies_are_a_layer_of_their_own_and_the_lock_file_holds() {
    let all = instructions();
    let position = |wanted: &str| {
        all.iter().position(|line| line.starts_with(wanted)).unwrap_or_else(|| panic!("no {wanted}: {all:#?}"))
    };
    let workspace = read("Cargo.toml");
    let members = workspace.lines().find_map(|line| line.strip_prefix("members = ")).expect("members");
    let members: Vec<String> = serde_json::from_str(members).expect("a list");
    let first_build = position("RUN for package in");
    for member in &members {
        assert!(position(&format!("COPY {member}/Cargo.toml {member}/")) < first_build, "{member}");
        assert!(all[first_build].contains(&format!(" {member}")), "{member} has an empty source");
    }
    for sources in ["common common", "domain-services domain-services", "orchestrator orchestrator", "sql sql"] {
        assert!(position(&format!("COPY {sources}")) > first_build, "{sources}");
    }
    let builds: Vec<&str> =
        all.iter().flat_map(|line| line.split("&&")).filter(|part| part.contains("cargo build")).collect();
    assert_eq!(builds.len(), 2);
    assert!(builds.iter().all(|build| build.contains("--locked") && build.contains("--profile dist")), "{builds:?}");
    // The legacy builder supports no mounts.
    assert!(!all.iter().any(|line| line.contains("--mount")));
}

#[test]
fn only_sources_are_sent_to_the_builder() {
    let ignored: Vec<String> =
        read(".dockerignore").lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    assert_eq!(ignored[0], "*", "what is not named is not sent: secrets, data, target");
    let all = instructions();
    let copied = all.iter().filter_map(|line| line.strip_prefix("COPY ")).filter(|rest| !rest.starts_with("--from"));
    for copy in copied {
        let mut sources: Vec<&str> = copy.split(' ').collect();
        sources.pop();
        for source in sources {
            let top = source.split('/').next().expect("a name");
            let named = [format!("!{top}"), format!("!{source}")];
            assert!(ignored.iter().any(|line| named.contains(line)), "{source} is copied but not sent");
        }
    }
    for kept_back in ["**/target", "**/.env"] {
        assert!(ignored.contains(&kept_back.to_owned()), "{kept_back}");
    }
}

/// The dependency layer is built from manifests and empty sources, so every target named in a manifest must exist.
#[test]
fn the_manifests_are_whole_beside_the_empty_sources_of_the_dependency_layer() {
    let all = instructions();
    let step =
        all.iter().position(|line| line.starts_with("RUN for package in")).expect("the step of the dependencies");
    let folder = TemporaryFolder::new();
    for copied in all[..step].iter().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words: Vec<&str> = copied.split(' ').collect();
        let to = folder.path().join(words.pop().expect("a destination"));
        fs::create_dir_all(&to).expect("a folder");
        for from in words {
            let name = Path::new(from).file_name().expect("a file");
            fs::copy(path(from), to.join(name)).unwrap_or_else(|error| panic!("{from}: {error}"));
        }
    }
    let script = all[step].strip_prefix("RUN ").and_then(|run| run.split(" && cargo build").next()).expect("a script");
    let run = |command: &mut Command| command.current_dir(folder.path()).output().expect("it can be started");
    let made = run(Command::new("sh").args(["-ec", script]));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // Reads every manifest like a build; missing dependencies on this machine do not matter.
    let read = run(Command::new(env!("CARGO")).args(["fetch", "--offline", "--locked"]));
    let said = String::from_utf8_lossy(&read.stderr).into_owned();
    assert!(!said.contains("failed to parse manifest"), "{said}");
}
