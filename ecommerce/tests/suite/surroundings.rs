//! The program's environment: proxies, files of secrets, other projects' files, untrusted text.

use std::{fs, net::TcpListener, path::Path, process::Command};

use serde_json::Value;

use crate::{
    cli::answering,
    program::{Ran, Server, command, finish, run, up_command},
    support::Folder,
};

/// All variables that configure a proxy.
const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

fn through<'a>(proxy: &str, command: &'a mut Command) -> &'a mut Command {
    command.envs(PROXIES.map(|name| (name, proxy))).env_remove("no_proxy").env_remove("NO_PROXY")
}

/// Returns an address without a listener.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a_proxy_of_the_environment_is_asked_neither_for_health_nor_for_this_machine() {
    let (healthy, _asked) = answering("200 OK", r#"{"status":"healthy"}"#);
    let ran = finish(through(&dead(), &mut command(&["health", &healthy])));
    assert_eq!(ran.code, 0, "{ran:?}");

    let (list, _asked) = answering("200 OK", r#"{"total":0,"transactions":[],"next_cursor":null}"#);
    let local = list.replace("127.0.0.1", "localhost");
    let ran = finish(through(&dead(), &mut command(&["list", "--target", &local])));
    assert_eq!(ran.code, 0, "{ran:?}");

    // A proxy that answers "healthy" is not the service.
    let (proxy, _asked) = answering("200 OK", r#"{"status":"healthy"}"#);
    let ran = finish(through(&proxy, &mut command(&["health", "http://shop.invalid:8001"])));
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn services_call_each_other_straight() {
    let folder = Folder::new();
    let mut up = Server::start(through(&dead(), &mut up_command(&folder.path().join("data"))));
    let front = up.wait_until_up();
    let order = ["order", "--user", "u", "--amount", "1", "--json", "--target", &front];
    let ran = finish(through(&dead(), &mut command(&order)));
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    // The orchestrator requests the participants' journals.
    let ran = run(&["inspect", answer["transaction_id"].as_str().unwrap(), "--target", &front]);
    assert!(ran.code == 0 && ran.out.contains("attempt 1, epoch 1"), "{ran:?}");
    // The load generator sends requests to all services.
    let load = ["load", "--sagas", "5", "--concurrency", "2", "--no-report", "--no-audit", "--target", &front];
    let ran = finish(through(&dead(), &mut command(&load)));
    assert_eq!(ran.code, 0, "{ran:?}");
    let services = Command::new("curl").args(["-sS", "--noproxy", "*", &format!("{front}/ui/api/services")]).output();
    let services = String::from_utf8(services.unwrap().stdout).unwrap();
    assert!(services.contains("payments") && !services.contains("refused"), "{services}");
    up.stop();
}

#[test]
fn a_proxy_that_was_used_is_named_in_errors_without_its_password() {
    let proxy = dead();
    let with_password = proxy.replace("http://", "http://me:hush@");
    for arguments in [&["list"][..], &["watch", "--lines"], &["order", "--user", "u", "--amount", "1"]] {
        let mut command = command(arguments);
        let ran = finish(through(&with_password, command.args(["--target", "http://shop.invalid:8000"])));
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.error().contains(&format!("through the proxy {proxy}")), "{ran:?}");
        assert!(!ran.err.contains("hush"), "{ran:?}");
    }
    let (proxy, asked) = answering("403 Forbidden", "<html>not from here</html>");
    let ran = finish(through(&proxy, &mut command(&["list", "--target", "http://shop.invalid:8000"])));
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.error().contains(&format!("through the proxy {proxy}")), "{ran:?}");
    assert!(asked.join().unwrap().starts_with("GET http://shop.invalid:8000/saga/transactions"));
}

#[test]
fn the_line_end_of_a_file_of_tokens_is_not_sent() {
    let page = r#"{"total":0,"transactions":[],"next_cursor":null}"#;
    let sent = |set: &dyn Fn(&mut Command) -> &mut Command| {
        let (target, asked) = answering("200 OK", page);
        let mut list = command(&["list", "--target", &target]);
        set(&mut list);
        let ran = finish(&mut list);
        assert_eq!(ran.code, 0, "{ran:?}");
        let request = asked.join().unwrap();
        request.lines().find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned))
    };
    assert_eq!(sent(&|list| list.args(["--token", "abc\n"])).as_deref(), Some("Bearer abc"));
    assert_eq!(sent(&|list| list.env("ECOMMERCE_API_TOKEN", "abc\r\n")).as_deref(), Some("Bearer abc"));
    assert_eq!(sent(&|list| list.env("ECOMMERCE_API_TOKEN", "\n")), None);

    let folder = Folder::new();
    let mut up = up_command(&folder.path().join("data"));
    up.env("ECOMMERCE__AUTH__OPERATOR_TOKEN", "the-operators-token\n")
        .env("ECOMMERCE__AUTH__API_TOKEN", "the-api-token\n");
    let mut up = Server::start(&mut up);
    let front = up.wait_until_up();
    for token in ["the-operators-token", "the-api-token"] {
        let ran = run(&["list", "--token", token, "--target", &front]);
        assert_eq!(ran.code, 0, "{token}: {ran:?}");
    }
    up.stop();
}

/// Starts `up` in a folder, where it fails because a port is taken; returns its result.
fn start_in(folder: &Path, taken: &TcpListener) -> Ran {
    let port = taken.local_addr().unwrap().port().to_string();
    let mut up = command(&["up", "--data-dir"]);
    up.arg(folder.join("data")).current_dir(folder);
    for service in ["ORCHESTRATOR", "PAYMENTS", "INVENTORY", "PURCHASES"] {
        up.env(format!("ECOMMERCE__SERVICES__{service}__PORT"), "0");
    }
    up.env("ECOMMERCE__SERVICES__CATALOG__PORT", &port);
    finish(&mut up)
}

#[test]
fn the_settings_of_another_project_are_not_taken_for_ours() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = folder.path().join("config");
    let built_in = "settings: built-in profile development";
    let plain = start_in(folder.path(), &taken);
    assert!(plain.code == 4 && plain.err.contains(built_in), "{plain:?}");

    fs::create_dir(&config).unwrap();
    let foreign = [
        "[server]\nport = 8000\n[log]\nlevel = \"info\"\n",
        "[database]\nurl = \"mysql://x\"\nname = \"shop\"\npool = 3\n",
        "title = \"a static site\"\ntheme = \"dark\"\n",
    ];
    for text in foreign {
        fs::write(config.join("default.toml"), text).unwrap();
        let ran = start_in(folder.path(), &taken);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains(built_in), "{ran:?}");
        let passed_over = format!("{} is not used", config.display());
        assert!(ran.err.contains(&passed_over) && ran.err.contains("--config-dir"), "{ran:?}");
    }

    // A typing mistake in our own file must be reported.
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/default.toml"), config.join("default.toml")).unwrap();
    fs::write(config.join("development.toml"), "").unwrap();
    let ran = start_in(folder.path(), &taken);
    let expected = format!("settings: profile development in {}", config.display());
    assert!(ran.code == 4 && ran.err.contains(&expected), "{ran:?}");
    let ours = fs::read_to_string(config.join("default.toml")).unwrap();
    fs::write(config.join("default.toml"), ours.replace("body_limit_bytes", "body_limit_byte")).unwrap();
    let ran = start_in(folder.path(), &taken);
    assert!(ran.code == 2 && ran.error().contains("body_limit_byte"), "{ran:?}");
}

/// Characters that control a terminal, or invisibly change the text.
const HIDDEN: [char; 8] = ['\u{7f}', '\u{9b}', '\u{ad}', '\u{200b}', '\u{202e}', '\u{2028}', '\u{2066}', '\u{feff}'];

#[test]
fn texts_of_others_hide_nothing_from_the_reader_of_a_terminal() {
    let hidden: String = HIDDEN.iter().collect();
    let saga = format!(r#"{{"transaction_id":"t-1","status":"COMPLETED","user_id":"a{hidden}b","amount":5.00}}"#);
    let page = format!(r#"{{"total":1,"transactions":[{saga}],"next_cursor":"{hidden}"}}"#);
    let problem = format!(r#"{{"title":"no","detail":"user {hidden} is unknown","status":404}}"#);
    let order = format!(r#"{{"transaction_id":"t{hidden}","status":"FAILED","details":{{"error":"{hidden}"}}}}"#);
    let list = &["list"][..];
    let buy = &["order", "--user", "u", "--amount", "1"][..];
    let cases = [
        ("200 OK", page.as_str(), list),
        ("404 Not Found", problem.as_str(), list),
        ("200 OK", r#"{"total":"\u202e\u2028"}"#, list),
        ("502 Bad Gateway", order.as_str(), buy),
    ];
    for (status, body, arguments) in cases {
        for json in [&[][..], &["--json"]] {
            let body: &'static str = body.to_owned().leak();
            let (target, _asked) = answering(status, body);
            let ran = run(&[arguments, json, &["--target", &target]].concat());
            for shown in [&ran.out, &ran.err] {
                let seen: Vec<char> = shown.chars().filter(|character| HIDDEN.contains(character)).collect();
                assert!(seen.is_empty(), "{seen:?}: {ran:?}");
            }
            if ran.code < 2 && !json.is_empty() {
                let [sent, shown] = [body, &ran.out].map(|text| serde_json::from_str::<Value>(text).unwrap());
                assert_eq!(sent, shown, "the same document");
            }
        }
    }
    let (target, _asked) = answering("503 Service Unavailable", format!("down{hidden}").leak());
    let ran = run(&["health", &target]);
    assert!(ran.code == 1 && ran.out.contains("\\u{202e}") && !ran.out.contains('\u{202e}'), "{ran:?}");
}
