//! Traces as received by a collector: one per purchase, across all five services.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions,
    collector::{Collector, Span, as_tree},
    http::{Answer, send},
    stack::{ORCHESTRATOR, SERVICES, with_json},
    wait_until, with_stack,
};
use tokio::net::TcpListener;

fn traced(collector: &Collector) -> StackOptions {
    StackOptions::default().set("telemetry.otlp_endpoint", &collector.endpoint)
}

async fn buy(stack: &Stack) -> Answer {
    stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "ada", "amount": 9.99 })).await
}

/// Returns the ids of a purchase and of its trace.
fn ids(answer: &Answer) -> (String, String) {
    let id = answer.json()["transaction_id"].as_str().expect("it has an id").to_owned();
    let trace_id = id.replace('-', "");
    (id, trace_id)
}

/// Waits until a trace has at least this many spans; the caller's comparison detects additional ones.
async fn whole_trace(collector: &Collector, trace_id: &str, spans: usize) -> Vec<Span> {
    let whole = wait_until("the trace is whole", PATIENCE, async || {
        let trace = collector.trace(trace_id);
        (trace.len() >= spans).then_some(trace)
    });
    whole.await
}

/// Returns `service: name` of each span with its parent's name, sorted.
fn shape(trace: &[Span]) -> Vec<String> {
    let names: BTreeMap<&str, &str> = trace.iter().map(|span| (span.id.as_str(), span.name.as_str())).collect();
    let mut shape: Vec<String> = trace
        .iter()
        .map(|span| {
            let parent = if span.parent.is_empty() { "-" } else { names.get(&*span.parent).copied().unwrap_or("?") };
            format!("{}: {} < {parent}", span.service, span.name)
        })
        .collect();
    shape.sort();
    shape
}

fn sorted(lines: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    lines.sort();
    lines
}

fn status_of<'a>(trace: &'a [Span], name: &str) -> (&'a str, &'a str) {
    let span = trace.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}:\n{}", as_tree(trace)));
    (&span.status, &span.message)
}

/// Spans common to both kinds of purchases.
const FORWARD: [&str; 19] = [
    "orchestrator: saga checkout < -",
    "orchestrator: POST /saga/transaction < saga checkout",
    "orchestrator: commit saga-log < saga checkout",
    "orchestrator: commit saga-log < saga checkout",
    "orchestrator: step choose < saga checkout",
    "orchestrator: step charge < saga checkout",
    "orchestrator: step decrease < saga checkout",
    "orchestrator: step create < saga checkout",
    "orchestrator: attempt choose < step choose",
    "orchestrator: attempt charge < step charge",
    "orchestrator: attempt decrease < step decrease",
    "orchestrator: attempt create < step create",
    "catalog: GET /products/random/ < attempt choose",
    "payments: POST /payments/ < attempt charge",
    "payments: commit payments < POST /payments/",
    "inventory: POST /inventory/decrease/ < attempt decrease",
    "inventory: commit inventory < POST /inventory/decrease/",
    "purchases: POST /purchases/ < attempt create",
    "purchases: commit purchases < POST /purchases/",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_completes_is_one_trace_over_all_services() {
    let collector = Collector::start().await;
    with_stack(traced(&collector), async |stack| {
        let answer = buy(stack).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let (id, trace_id) = ids(&answer);
        let given_back = answer.header("traceparent").expect("it is given back");
        assert!(given_back.starts_with(&format!("00-{trace_id}-")) && given_back.ends_with("-01"), "{given_back}");

        let expected = sorted(&FORWARD);
        let trace = whole_trace(&collector, &trace_id, expected.len()).await;
        println!("{}", as_tree(&trace));
        assert_eq!(shape(&trace), expected, "{}", as_tree(&trace));
        let services: BTreeSet<&str> = trace.iter().map(|span| span.service.as_str()).collect();
        assert_eq!(services, SERVICES.into_iter().collect());
        let failed: Vec<&Span> = trace.iter().filter(|span| span.status == "Error").collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(status_of(&trace, "saga checkout").0, "Ok");
        let of_saga = |span: &&Span| span.attributes.get("saga.id") == Some(&id);
        // The saga, four attempts, and the four requests received for them.
        assert_eq!(trace.iter().filter(of_saga).count(), 9, "{trace:?}");
        for span in &trace {
            assert!(span.time.0 > 0 && span.time.0 <= span.time.1, "{span:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_is_reverted_is_one_trace_with_its_undoing() {
    let collector = Collector::start().await;
    with_stack(traced(&collector), async |stack| {
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        let answer = buy(stack).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        let (_, trace_id) = ids(&answer);

        let undoing = [
            "orchestrator: commit saga-log < saga checkout",
            "orchestrator: undo charge < saga checkout",
            "orchestrator: attempt charge < undo charge",
            "payments: POST /payments/by-transaction/{transaction_id}/refund/ < attempt charge",
            "payments: commit payments < POST /payments/by-transaction/{transaction_id}/refund/",
        ];
        let expected = sorted(&[FORWARD.as_slice(), &undoing].concat());
        let trace = whole_trace(&collector, &trace_id, expected.len()).await;
        println!("{}", as_tree(&trace));
        assert_eq!(shape(&trace), expected, "{}", as_tree(&trace));
        for failed in ["saga checkout", "step create", "attempt create"] {
            let (status, message) = status_of(&trace, failed);
            assert!(status == "Error" && message.contains("purchases conflict"), "{failed}: {status} {message}");
        }
        for done in ["step charge", "step decrease", "undo charge"] {
            assert_eq!(status_of(&trace, done), ("Ok", ""), "{done}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_own_trace_stays_its_own_and_is_linked_to_the_purchase() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";
    let collector = Collector::start().await;
    with_stack(traced(&collector), async |stack| {
        let body = json!({ "user_id": "ada", "amount": 9.99 });
        let request = stack.request(reqwest::Method::POST, ORCHESTRATOR, "/saga/transaction");
        let request = with_json(request, body).header("traceparent", format!("00-{TRACE}-{SPAN}-01"));
        let answer = send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let given_back = answer.header("traceparent").expect("it is given back");
        assert!(given_back.starts_with(&format!("00-{TRACE}-")), "{given_back}");

        let (_, trace_id) = ids(&answer);
        let request = whole_trace(&collector, TRACE, 1).await.remove(0);
        assert_eq!((request.name.as_str(), request.parent.as_str()), ("POST /saga/transaction", SPAN));
        let saga = whole_trace(&collector, &trace_id, FORWARD.len() - 1).await;
        let saga = saga.iter().find(|span| span.parent.is_empty()).expect("it has a root");
        assert_eq!(request.links, [(trace_id, saga.id.clone())]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_of_what_is_not_sampled_and_nothing_at_all_by_default() {
    for profile in ["development", "bench", "production"] {
        let source = common::config::ConfigSource::embedded(profile).with("auth.service_token", "a-token-of-a-test");
        let source = source.with("inventory.initial_stock", 100);
        let settings = source.load().expect("the profile is good");
        assert_eq!(settings.telemetry.otlp_endpoint, "", "{profile}");
    }
    let collector = Collector::start().await;
    with_stack(traced(&collector).set("telemetry.otlp_sample_ratio", "0.0"), async |stack| {
        let answer = buy(stack).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let given_back = answer.header("traceparent").expect("it is given back");
        assert!(given_back.ends_with("-00"), "{given_back}");
        // A caller's own trace is continued, which shows that the collector is reachable.
        let request = stack.request(reqwest::Method::GET, "catalog", "/products/random/");
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(send(request.header("traceparent", header)).await.status, 200);
    })
    .await;
    // The stack has stopped, and has thereby exported its spans.
    let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["GET /products/random/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_mute_harms_nobody() {
    let away = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        listener.local_addr().expect("a bound listener has an address")
    };
    // Accepts connections and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let mute_address = mute.local_addr().expect("a bound listener has an address");
    for address in [away, mute_address] {
        let options = StackOptions::default().set("telemetry.otlp_endpoint", format!("http://{address}"));
        // The end of the stack checks that it stops.
        with_stack(options, async |stack| {
            for _ in 0..5 {
                let answer = buy(stack).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
        })
        .await;
    }
}
