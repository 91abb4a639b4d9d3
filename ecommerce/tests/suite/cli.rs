//! Commands that end by themselves: their output and exit codes.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    thread,
};

use crate::{
    program::{command, finish, run},
    support::Folder,
};

/// Returns a port without a listener: bound and released.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Serves one request with this status line and body; returns the address and the received request.
pub(crate) fn answering(status: &'static str, body: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        let mut buffer = [0; 4096];
        while !is_complete(&request) {
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the client closed the connection: {request}");
            request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        let length = body.len();
        // A client that has read enough may have disconnected.
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        request
    });
    (address, asked)
}

/// A request without a body ends with its headers, one with JSON at the closing brace.
fn is_complete(request: &str) -> bool {
    request.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let has_body = head.contains("content-length: ") && !head.contains("content-length: 0");
        !has_body || body.ends_with('}')
    })
}

#[test]
fn an_answer_longer_than_16_mib_is_not_read() {
    let body: &'static str = format!(r#"{{"transactions":[],"total":0,"padding":"{}"}}"#, "x".repeat(17 << 20)).leak();
    let (target, _) = answering("200 OK", body);
    let ran = run(&["list", "--target", &target]);
    assert!(ran.code != 0 && ran.err.contains("the answer is longer than 16 MiB"), "{} {}", ran.code, ran.err);
}

#[test]
fn the_version_is_told() {
    let ran = run(&["--version"]);
    let text = ran.out.strip_prefix(concat!("ecommerce ", env!("CARGO_PKG_VERSION"), " ("));
    let build = text.and_then(|rest| rest.strip_suffix(")\n")).unwrap_or_else(|| panic!("{ran:?}"));
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let git = |arguments: &[&str]| {
        let ran = Command::new("git").args(["-C", repository]).args(arguments).output();
        ran.ok().filter(|ran| ran.status.success()).map(|ran| String::from_utf8(ran.stdout).unwrap())
    };
    // In a folder of another project's repository the build states nothing.
    let is_whole = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.trim().is_empty());
    let commit = git(&["log", "-1", "--format=%H %cs"]).filter(|_| is_whole);
    let is_stated = option_env!("ECOMMERCE_REVISION").is_some();
    match commit.as_deref().map(str::trim).filter(|_| !is_stated) {
        Some(commit) => {
            let (revision, date) = commit.split_once(' ').unwrap();
            assert_eq!(build, format!("{} {date}", &revision[..7]));
        }
        // Without a repository the build says that it does not know.
        None => assert!(build == "revision unknown" || is_stated, "{build}"),
    }
}

#[test]
fn the_help_tells_the_exit_codes_and_every_command() {
    let ran = run(&["--help"]);
    assert_eq!(ran.code, 0);
    for word in [
        "Exit codes",
        "up",
        "serve",
        "migrate",
        "wait",
        "order",
        "load",
        "restock",
        "status",
        "watch",
        "list",
        "cancel",
        "attention",
        "retry",
        "resolve",
        "inspect",
        "audit",
        "health",
        "completions",
    ] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{shell}");
        assert!(ran.out.contains("ecommerce") && ran.out.contains("ECOMMERCE_COMPLETE"), "{shell}");
    }
    assert_eq!(run(&["completions", "cobol"]).code, 2);
}

#[test]
fn bad_usage_is_exit_code_2() {
    let cases: [&[&str]; 10] = [
        &[],
        &["upp"],
        &["serve", "shipping"],
        &["order", "--user", "u"],
        &["order", "--user", "u", "--amount", "1.234"],
        &["order", "--user", "u", "--amount", "-1"],
        &["order", "--user", "u", "--amount", "1e3"],
        &["status", "no-uuid"],
        &["watch", "no-uuid"],
        &["list", "--status", "LOST"],
    ];
    for arguments in cases {
        assert_eq!(run(arguments).code, 2, "{arguments:?}");
    }
    assert_eq!(run(&["list", "--limit", "1001"]).code, 2);
    let ftp = run(&["list", "--target", "ftp://shop.example"]);
    assert_eq!(ftp.code, 2);
    assert!(ftp.error().contains("https://"), "{ftp:?}");
}

#[test]
fn every_mistake_in_the_configuration_is_listed_with_its_place() {
    let folder = Folder::new();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/default.toml"), folder.path().join("default.toml"))
        .unwrap();
    let profile = "[faults.payments.charge]\nfailure_rat = 0.5\n[http]\nbody_limit_bytes = \"many\"\n";
    fs::write(folder.path().join("mine.toml"), profile).unwrap();
    let ran = finish(
        command(&["up", "--profile", "mine", "--config-dir"])
            .arg(folder.path())
            .env("ECOMMERCE__SERVICES__PAYMENTS__PROT", "1"),
    );
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.error().contains("3 places"), "{ran:?}");
    for word in ["failure_rat", "failure_rate", "mine.toml", "body_limit_bytes", "ECOMMERCE__SERVICES__PAYMENTS__PROT"]
    {
        assert!(ran.err.contains(word), "{word}: {ran:?}");
    }
}

#[test]
fn an_unknown_profile_is_refused_with_those_that_there_are() {
    let ran = run(&["up", "--profile", "developmnt"]);
    assert_eq!(ran.code, 2);
    assert!(ran.error().contains("did you mean development?"), "{ran:?}");
}

#[test]
fn a_taken_port_is_named_with_its_service_and_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = Folder::new();
    let mut up = crate::program::up_command(&folder.path().join("data"));
    let ran = finish(up.env("ECOMMERCE__SERVICES__INVENTORY__PORT", &port));
    assert_eq!(ran.code, 4, "{ran:?}");
    for word in ["inventory", port.as_str(), "taken", "services.inventory.port"] {
        assert!(ran.error().contains(word), "{word}: {ran:?}");
    }
    assert!(!folder.path().join("data").exists(), "nothing was created");
}

#[test]
fn a_database_that_does_not_answer_is_exit_code_3_and_its_password_is_not_shown() {
    let url = format!("postgres://someone:hush@127.0.0.1:{}/", free_port());
    for arguments in [&["migrate"][..], &["serve", "payments", "--port", "0"], &["up"], &["audit"]] {
        let ran = finish(
            command(arguments)
                .env("ECOMMERCE__DATABASE__URL", &url)
                .env("ECOMMERCE__DATABASE__START_WAIT_MS", "100")
                .envs(
                    ["ORCHESTRATOR", "CATALOG", "PAYMENTS", "INVENTORY", "PURCHASES"]
                        .map(|service| (format!("ECOMMERCE__SERVICES__{service}__PORT"), "0")),
                ),
        );
        assert_eq!(ran.code, 3, "{arguments:?} {ran:?}");
        assert!(ran.error().contains("cannot reach PostgreSQL at 127.0.0.1"), "{ran:?}");
        assert!(!ran.err.contains("hush"), "{ran:?}");
    }
}

#[test]
fn a_database_url_that_is_none_is_a_mistake_of_the_configuration() {
    let ran = run(&["migrate", "--database-url", "mysql://x"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let none = run(&["serve", "catalog"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.error().contains("no database is configured"), "{none:?}");
}

#[test]
fn an_orchestrator_that_does_not_answer_is_exit_code_3() {
    let target = format!("http://127.0.0.1:{}", free_port());
    let id = "0190a2f0-0000-7000-8000-000000000000";
    for arguments in
        [&["order", "--user", "u", "--amount", "1"][..], &["status", id], &["watch", id], &["watch"], &["list"]]
    {
        let ran = finish(command(arguments).args(["--target", &target]));
        assert_eq!(ran.code, 3, "{arguments:?}");
        assert!(ran.error().contains(&target), "{ran:?}");
        assert!(ran.error().contains("ecommerce up"), "{ran:?}");
    }
    // A container's health check knows only healthy (0) and unhealthy (1).
    assert_eq!(run(&["health", &target]).code, 1);
}

#[test]
fn an_order_sends_the_amount_as_it_was_given() {
    let answer = r#"{"transaction_id":"t-1","status":"COMPLETED","details":{"amount":19.90}}"#;
    let (target, asked) = answering("200 OK", answer);
    let ran = run(&["order", "--user", "José \"J\"", "--amount", "19.9", "--product", "7", "--target", &target]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("19.90") && ran.out.contains("COMPLETED"), "{ran:?}");
    let request = asked.join().unwrap();
    assert!(request.starts_with("POST /saga/transaction HTTP/1.1"), "{request}");
    assert!(request.ends_with(r#"{"user_id":"José \"J\"","amount":19.90,"product_id":"7"}"#), "{request}");
}

#[test]
fn the_json_is_the_servers_own() {
    let answer =
        r#"{"transaction_id":"t-1","status":"COMPENSATED","details":{"error":"409: payments conflict","amount":1.10}}"#;
    let (target, _) = answering("409 Conflict", answer);
    let ran = run(&["order", "--user", "u", "--amount", "1.1", "--json", "--target", &target]);
    assert_eq!((ran.code, ran.out.trim_end()), (1, answer));
}

#[test]
fn an_error_of_the_server_is_told_with_its_fields() {
    let problem = r#"{"type":"about:blank","title":"Unprocessable","status":422,"detail":"bad fields","errors":[{"field":"user_id","message":"is blank"}]}"#;
    let (target, _) = answering("422 Unprocessable Entity", problem);
    let ran = run(&["order", "--user", " ", "--amount", "1", "--target", &target]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.error().contains("user_id: is blank"), "{ran:?}");

    let unknown = r#"{"transaction_id":"t-9","status":503,"detail":"not known yet"}"#;
    let (target, _) = answering("503 Service Unavailable", unknown);
    let ran = run(&["order", "--user", "u", "--amount", "1", "--target", &target]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.error().contains("ecommerce status t-9"), "{ran:?}");

    let (target, _) = answering("502 Bad Gateway", "<html>");
    let ran = run(&["order", "--user", "u", "--amount", "1", "--target", &target]);
    assert_eq!(ran.code, 4, "a proxy's 502 is not a failed saga: {ran:?}");
}

#[test]
fn a_list_asks_with_its_filters_and_shows_no_control_characters() {
    let page = r#"{"total":1,"transactions":[{"transaction_id":"t-1","status":"COMPLETED","user_id":"a\u001b[31mb","amount":5.00}],"next_cursor":"next"}"#;
    let (target, asked) = answering("200 OK", page);
    let ran = run(&[
        "list",
        "--status",
        "completed",
        "--user",
        "a&b",
        "--limit",
        "1",
        "--target",
        &format!("{target}/orchestrator/"),
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.out.contains('\u{1b}') && ran.out.contains("5.00") && ran.out.contains("--cursor next"), "{ran:?}");
    let request = asked.join().unwrap();
    let line = request.lines().next().unwrap();
    assert_eq!(line, "GET /orchestrator/saga/transactions?limit=1&status=COMPLETED&user_id=a%26b HTTP/1.1");
}

#[test]
fn health_is_yes_or_no() {
    for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 1)] {
        let (target, asked) = answering(status, r#"{"status":"…"}"#);
        assert_eq!(run(&["health", &target]).code, code, "{status}");
        assert!(asked.join().unwrap().starts_with("GET /health/ HTTP/1.1"));
    }
}

#[test]
fn a_mistyped_command_is_told_which_was_meant() {
    let ran = run(&["lits"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("'list'"), "{ran:?}");
}

#[test]
fn an_error_says_what_to_do_about_a_token() {
    for (status, advice) in [("401 Unauthorized", "ECOMMERCE_API_TOKEN"), ("403 Forbidden", "operator token")] {
        let (target, _) = answering(status, r#"{"title":"no"}"#);
        let ran = run(&["list", "--target", &target]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.error().contains(advice), "{ran:?}");
    }
}

#[test]
fn an_error_says_each_thing_once_and_where_else_to_look() {
    let problem = r#"{"detail":"user_id must not be blank","errors":[{"field":"user_id","message":"must not be blank"},
        {"field":"amount","message":"must be larger than 0"}]}"#;
    let (target, _) = answering("422 Unprocessable Content", problem);
    let ran = run(&["list", "--target", &target]);
    assert!(ran.code == 2 && ran.error().contains("user_id must not be blank; amount: must be larger"), "{ran:?}");

    let (target, _) = answering("404 Not Found", r#"{"detail":"there is no path /saga/transactions"}"#);
    assert!(run(&["list", "--target", &target]).error().contains("is --target an orchestrator?"));
    assert!(run(&["retry"]).err.contains("retry [OPTIONS] --all"));
    assert!(run(&["health", "127.0.0.1"]).err.contains("such as http://"));
    let refused = run(&["health", &format!("http://127.0.0.1:{}", free_port())]);
    assert!(refused.err.contains("Connection refused"), "{refused:?}");
}

#[test]
fn an_undo_that_is_missing_is_told_beside_the_outcome() {
    let (target, _) = answering("502 Bad Gateway", r#"{"transaction_id":"t-1","status":"FAILED","details":{}}"#);
    let ran = run(&["order", "--user", "u", "--amount", "5", "--target", &target]);
    assert!(ran.code == 1 && ran.out.contains("FAILED"), "{ran:?}");
    assert!(ran.err.contains("`ecommerce status t-1`"), "{ran:?}");
}

#[test]
fn health_is_json_even_where_nobody_answers() {
    let ran = run(&["health", "--json", &format!("http://127.0.0.1:{}", free_port())]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document["status"], "unreachable");
}
