//! Secrets must not leak: into logs at any level, traces, `/debug`, metrics, descriptions, errors.
//!
//! In its own suite: a process initializes its logs once, and this initialization has to be the first.

use std::{
    io::{self, Write},
    sync::Arc,
};

use parking_lot::Mutex;
use reqwest::Method;
use tests::{
    Stack, StackOptions, cluster,
    collector::Collector,
    http::send,
    stack::{ORCHESTRATOR, SERVICES, with_json},
    with_stack,
};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt};

/// More than any production log level; without the libraries' traces of single bytes.
const NEARLY_ALL: &str = "debug,common=trace,orchestrator=trace,domain_services=trace";

const API: &str = "api-5f1d9c0b7a";
const SERVICE: &str = "service-c2e84d6f31";
const OPERATOR: &str = "operator-90b7e5a1d8";
const SECRET: &str = "secret-of-a-client-4be71c";
const PASSWORD: &str = "password-7d03f6c2e9";
const COLLECTOR: &str = "collector-8e14ab90d3";

/// The logs of this process.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logs {
    type Writer = Logs;

    fn make_writer(&self) -> Logs {
        self.clone()
    }
}

/// Puts a password into the URL of the test server, which requires none.
fn with_password(url: &str) -> String {
    match (url.split_once('@'), url.split_once("://")) {
        (Some((before, after)), _) => {
            let (scheme, user) = before.split_once("://").expect("a URL has a scheme");
            format!("{scheme}://{}:{PASSWORD}@{after}", user.split(':').next().unwrap_or(user))
        }
        (None, Some((scheme, rest))) => format!("{scheme}://postgres:{PASSWORD}@{rest}"),
        (None, None) => panic!("{url} is no URL"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_in_logs_debug_metrics_descriptions_or_errors() {
    let logs = Logs::default();
    let subscriber =
        tracing_subscriber::fmt().json().with_env_filter(EnvFilter::new(NEARLY_ALL)).with_writer(logs.clone()).finish();
    // The kit's own initialization comes later and changes nothing.
    subscriber.try_init().expect("nobody was here before");
    let url = with_password(cluster::server_url().await);
    let collector = Collector::start().await;
    let options = StackOptions::default()
        .set("telemetry.access_log", "true")
        .set("telemetry.otlp_endpoint", &collector.grpc_endpoint)
        .set("telemetry.otlp_protocol", "grpc")
        .set("telemetry.otlp_headers", format!("x-api-key={COLLECTOR}"))
        .set("auth.api_token", API)
        .set("auth.service_token", SERVICE)
        .set("auth.operator_token", OPERATOR)
        .on_server(&url);
    let mut shown = String::new();
    with_stack(options, async |stack: &Stack| {
        let settings = format!("{:?}", stack.settings);
        shown.push_str(&settings);
        for token in [API, SERVICE, OPERATOR, "wrong"] {
            for service in SERVICES {
                let paths =
                    ["/debug/actors", "/debug/faults", "/metrics", "/openapi.json", "/docs", "/health/", "/nothing"];
                for path in paths {
                    let answer = send(stack.request(Method::GET, service, path).bearer_auth(token)).await;
                    shown.push_str(&format!("{:?}\n{}\n", answer.headers, answer.text));
                }
            }
            for body in [r#"{"user_id":"u","amount":5}"#, "{", "[]", r#"{"user_id":7}"#] {
                let buy = with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), body);
                let answer = send(buy.bearer_auth(token).header("saga-secret", SECRET)).await;
                shown.push_str(&format!("{:?}\n{}\n", answer.headers, answer.text));
            }
        }
        // Errors of failed calls are logged too.
        stack.stop("payments").await;
        let buy =
            with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), r#"{"user_id":"u","amount":5}"#);
        let failed = send(buy.bearer_auth(API)).await;
        assert_ne!(failed.status, 200, "{}", failed.text);
        shown.push_str(&failed.text);
        let id = failed.json()["transaction_id"].as_str().unwrap_or_default().to_owned();
        let inspect = stack.request(Method::GET, ORCHESTRATOR, &format!("/saga/{id}/inspect")).bearer_auth(OPERATOR);
        shown.push_str(&send(inspect).await.text);
        stack.start_again("payments").await;
    })
    .await;
    let sent = collector.requests();
    assert!(!sent.is_empty() && sent.iter().all(|request| request.headers["x-api-key"] == COLLECTOR), "{sent:?}");
    shown.push_str(&format!("{:?}", collector.spans()));
    let logged = logs.text();
    assert!(
        logged.contains("orchestrator started") && logged.contains(r#""target":"access""#),
        "nothing was logged: {}",
        &logged[..logged.len().min(500)]
    );
    assert!(shown.contains("payments-client"), "nothing was shown");
    for (name, secret) in [
        ("api", API),
        ("service", SERVICE),
        ("operator", OPERATOR),
        ("client's", SECRET),
        ("database", PASSWORD),
        ("collector's", COLLECTOR),
    ] {
        for (place, text) in [("logs", &logged), ("answers", &shown)] {
            if let Some(at) = text.find(secret) {
                let around = text.get(at.saturating_sub(300)..(at + 100).min(text.len())).unwrap_or_default();
                panic!("the {name} secret is in the {place}: …{around}…");
            }
        }
    }
}
