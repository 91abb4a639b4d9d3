//! Tests of the documents: every relative link resolves, every command shown parses, the README's first screen is there,
//! and the configuration reference matches `default.toml`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser};

use crate::Cli;

/// The README is the entry; the rest is in docs/.
const README_LINES: usize = 110;
const UUID: &str = "0190a2f0-0000-7000-8000-0000deadbeef";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// All documents, by their paths.
fn documents() -> Vec<(PathBuf, String)> {
    let folders = [root(), root().join("docs")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let documents: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    assert!(documents.len() > 8, "README and the guides exist");
    documents
}

/// Returns the targets of the links and images of a document.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link).collect()
}

/// Returns the anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The pages of the examples, by their paths.
fn examples() -> Vec<(PathBuf, String)> {
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    folders
        .map(|folder| folder.join("README.md"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut checked = 0;
    for (path, text) in documents().into_iter().chain(examples()) {
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let mut headings =
                    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
                assert!(headings.any(|one| anchor(one) == heading), "{}: no heading {link}", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} links");
}

/// The part of a document from a heading to the next one.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    rest.split("\n## ").next().unwrap_or_default()
}

#[test]
fn a_stranger_finds_the_picture_the_two_ways_to_start_the_tests_and_every_page_of_the_guide() {
    let readmes = [
        ("README.md", "](docs/images/refunded.png)", "What a saga is", "Development"),
        ("README.es.md", "](docs/images/refunded.es.png)", "Qué es una saga", "Desarrollo"),
    ];
    for (name, picture, saga, development) in readmes {
        let text = fs::read_to_string(root().join(name)).unwrap();
        let screen = text.split("\n## ").next().unwrap();
        assert!(screen.contains(picture), "{name}: {picture}");
        assert!(screen.lines().any(|line| line.starts_with("cargo run --release -- up ")), "{name}: up");
        assert!(screen.contains("`docker compose up"), "{name}: docker compose up");
        assert!(section(&text, saga).contains("```mermaid"), "{name}: the sequence diagram");
        let is_tested = section(&text, development).lines().any(|line| line.starts_with("tests/run.sh "));
        assert!(is_tested, "{name}: tests/run.sh");
        assert!(text.contains("](docs/images/dashboard.png)"), "{name}: the dashboard");
        assert!(text.lines().count() <= README_LINES, "{name} is longer than {README_LINES} lines");
    }
    let guide = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for page in fs::read_dir(root().join("docs")).unwrap() {
        let page = page.unwrap().file_name().into_string().unwrap();
        let is_listed = guide.contains(&format!("]({page})"));
        assert!(is_listed || page == "README.md" || !page.ends_with(".md"), "docs/README.md lists {page}");
    }
}

#[test]
fn the_page_of_commands_lists_every_command_and_exit_code() {
    let page = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    for command in Cli::command().get_subcommands().map(|command| command.get_name().to_owned()) {
        assert!(page.contains(&format!("`ecommerce {command}")), "docs/cli.md lists {command}");
    }
    let help = Cli::command().get_after_help().map(ToString::to_string).unwrap_or_default();
    let codes = help.lines().filter_map(|line| line.trim_start().split_once("  "));
    let codes: Vec<_> = codes.filter(|(code, _)| code.parse::<u8>().is_ok()).collect();
    assert!(codes.len() > 5, "{codes:?}");
    for (code, meaning) in codes {
        assert!(page.contains(&format!("| {code} | {meaning} |")), "docs/cli.md says of exit code {code}: {meaning}");
    }
}

/// Adds the Rust sources below a folder to a text.
fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&entry, all);
        } else if name.ends_with(".rs") {
            all.push_str(&fs::read_to_string(&entry).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_page_about_security_names_is_there() {
    let page = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut all = String::new();
    sources(&root(), &mut all);
    let risks: Vec<&str> = page.lines().filter(|line| line.starts_with("| API")).collect();
    assert_eq!(risks.len(), 10);
    for risk in risks {
        let tests = risk.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        let mut named = tests.split('`').skip(1).step_by(2).peekable();
        assert!(named.peek().is_some(), "{risk}");
        for test in named {
            assert!(all.contains(&format!("fn {test}()")), "there is no test {test}");
        }
    }
}

/// Returns the commands in a document's shell blocks, and the complete ones in its text: `ecommerce list`.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut is_shell = false;
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_shell = !is_shell && matches!(language, "sh" | "console");
        } else if is_shell {
            commands.extend(line.split(" && ").filter_map(invocation));
        } else {
            commands.extend(line.split('`').skip(1).step_by(2).filter_map(invocation));
        }
    }
    commands
}

/// Returns the arguments if the piece calls the program; a form with brackets or alternatives is not a call.
fn invocation(piece: &str) -> Option<String> {
    let piece = piece.trim().trim_start_matches("$ ");
    let release = piece.strip_prefix("cargo run --release -- ").or_else(|| piece.strip_prefix("cargo run -- "));
    let rest = release
        .or_else(|| piece.strip_prefix("target/release/ecommerce "))
        .or_else(|| piece.strip_prefix("ecommerce "))?;
    let end = rest.find(" # ").or_else(|| rest.find("  #")).unwrap_or(rest.len());
    let rest = rest[..end].split(" > ").next().unwrap_or_default().split(" | ").next().unwrap_or_default();
    let is_form = rest.contains(['[', '…', '<']);
    (!is_form).then(|| rest.trim_end_matches(" &").trim().to_owned())
}

fn assert_parses(command: &str, place: &str) {
    let words = shlex::split(command).unwrap_or_else(|| panic!("{place}: `{command}` has an unbalanced quote"));
    let filled = words.into_iter().map(|word| match word.as_str() {
        "ID" | "TRANSACTION_ID" | "$ID" => UUID.to_owned(),
        "SERVICE" => "payments".to_owned(),
        "SHELL" => "bash".to_owned(),
        "URL" => "http://127.0.0.1:8000".to_owned(),
        _ => word,
    });
    let parsed = Cli::try_parse_from([String::from("ecommerce")].into_iter().chain(filled));
    if let Err(error) = parsed {
        use clap::error::ErrorKind::{DisplayHelp, DisplayVersion, MissingRequiredArgument};
        let is_named_only = error.kind() == MissingRequiredArgument && !command.contains(' ');
        let is_shown = matches!(error.kind(), DisplayHelp | DisplayVersion);
        assert!(is_named_only || is_shown, "{place}: `ecommerce {command}`: {error}");
    }
}

#[test]
fn every_command_in_the_documents_is_one() {
    let mut checked = 0;
    for (path, text) in documents() {
        for command in commands(&text) {
            assert_parses(&command, &path.display().to_string());
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} commands");
}

#[test]
fn every_command_has_examples_that_parse() {
    let cli = Cli::command();
    let top: Vec<_> = cli.get_subcommands().collect();
    let nested = top.iter().flat_map(|command| command.get_subcommands());
    for command in top.iter().copied().chain(nested) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<_> = help.lines().filter(|line| line.starts_with("  ecommerce ")).collect();
        assert!(!examples.is_empty(), "{} has no example", command.get_name());
        for example in examples.into_iter().flat_map(|line| line.split(" && ")).filter_map(invocation) {
            assert_parses(&example, command.get_name());
        }
    }
}

/// Generates the reference from `default.toml`: a table per section, with the comments above a key beside it.
fn reference(schema: &str) -> String {
    let mut page = String::from(
        "# Configuration reference\n\nMade of `config/default.toml`; after a change there, \
         `UPDATE_DOCS=1 cargo test -p ecommerce --bin ecommerce documents` makes it anew.\n\n",
    );
    let mut comments: Vec<&str> = Vec::new();
    let mut section = String::new();
    let mut is_table = false;
    // Markdown would read a placeholder in angle brackets as HTML.
    let schema = schema.replace('<', "&lt;");
    for line in schema.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            // Four spaces make an example, in Markdown too.
            comments.push(if comment.starts_with("     ") { &comment[1..] } else { comment.trim() });
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            page.push_str(&format!("## {section}\n\n"));
            push_text(&mut page, &mut comments);
            is_table = false;
        } else if let Some((key, value)) = line.split_once(" = ") {
            if !is_table {
                page.push_str("| key | default | |\n|---|---|---|\n");
                is_table = true;
            }
            let meaning = comments.join(" ").replace('|', "\\|");
            comments.clear();
            page.push_str(&format!("| `{section}.{key}` | `{value}` | {meaning} |\n"));
        } else if line.is_empty() {
            push_text(&mut page, &mut comments);
            if is_table {
                page.push('\n');
                is_table = false;
            }
        }
    }
    format!("{}\n", page.trim_end())
}

fn push_text(page: &mut String, comments: &mut Vec<&str>) {
    if !comments.is_empty() {
        // An empty comment separates paragraphs.
        page.push_str(&comments.join("\n"));
        page.push_str("\n\n");
        comments.clear();
    }
}

#[test]
fn the_configuration_reference_is_what_the_defaults_say() {
    let schema = fs::read_to_string(root().join("config/default.toml")).unwrap();
    let file = root().join("docs/configuration.md");
    let expected = reference(&schema);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    let is = fs::read_to_string(&file).unwrap_or_default();
    let advice = "UPDATE_DOCS=1 cargo test -p ecommerce --bin ecommerce documents";
    assert!(is == expected, "docs/configuration.md is out of date: {advice}");
    for key in ["`faults.payments.charge.failure_rate` | `0.5` |", "`orchestrator.lease_ms` | `5000` | Validity"] {
        assert!(expected.contains(key), "{key}");
    }
}
