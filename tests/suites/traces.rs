//! Traces as received by a collector: one per purchase, across all five services.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
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
        let of_saga = |span: &&Span| of(span, "saga.id") == id.as_str();
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

/// Returns an attribute, as JSON.
fn of(span: &Span, name: &str) -> Value {
    span.attributes.get(name).cloned().unwrap_or(Value::Null)
}

fn named<'a>(trace: &'a [Span], name: &str) -> &'a Span {
    trace.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}:\n{}", as_tree(trace)))
}

/// Names of earlier conventions.
const OUTDATED: [&str; 12] = [
    "http.method",
    "http.status_code",
    "http.url",
    "http.target",
    "http.scheme",
    "http.user_agent",
    "http.client_ip",
    "http.flavor",
    "db.system",
    "db.name",
    "db.statement",
    "db.operation",
];

#[tokio::test(flavor = "multi_thread")]
async fn spans_have_the_attributes_of_the_semantic_conventions_with_their_types() {
    let collector = Collector::start().await;
    let options = traced(&collector).over_the_network().set("http.trusted_proxies", "127.0.0.1");
    with_stack(options, async |stack| {
        let port = stack.address("purchases").port();
        let request = stack.request(reqwest::Method::GET, "purchases", "/purchases/?user_id=ada&limit=3");
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = request.header("traceparent", header).header("user-agent", "shop/1.0");
        let request = request.header("x-forwarded-for", "2001:db8::1").header("x-forwarded-proto", "https");
        assert_eq!(send(request).await.status, 200);
        let method = reqwest::Method::from_bytes(b"BREW").expect("a method");
        let request = stack.request(method, "purchases", "/coffee").header("traceparent", header);
        assert_eq!(send(request).await.status, 404);
        stack.set_faults("purchases", json!({ "create": { "unavailable_rate": 1 } })).await;
        let answer = buy(stack).await;
        assert_ne!(answer.status, 200, "{}", answer.text);

        let spans = whole_trace(&collector, "4bf92f3577b34da6a3ce929d0e0e4736", 2).await;
        let list = named(&spans, "GET /purchases/");
        assert_eq!((list.kind.as_str(), list.status.as_str()), ("SERVER", "Unset"));
        for (name, expected) in [
            ("http.request.method", json!("GET")),
            ("http.route", json!("/purchases/")),
            ("http.response.status_code", json!(200)),
            ("url.path", json!("/purchases/")),
            ("url.query", json!("user_id=REDACTED&limit=3")),
            ("url.scheme", json!("https")),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(port)),
            ("client.address", json!("2001:db8::1")),
            ("user_agent.original", json!("shop/1.0")),
            ("network.protocol.version", json!("1.1")),
            ("error.type", Value::Null),
            ("http.request.method_original", Value::Null),
        ] {
            assert_eq!(of(list, name), expected, "{name}: {list:?}");
        }
        let coffee = named(&spans, "HTTP");
        assert_eq!(of(coffee, "http.request.method"), "_OTHER");
        assert_eq!(of(coffee, "http.request.method_original"), "BREW");
        assert_eq!((of(coffee, "http.route"), of(coffee, "error.type")), (Value::Null, Value::Null));
        assert_eq!((of(coffee, "http.response.status_code"), coffee.status.as_str()), (json!(404), "Unset"));

        let failed = wait_until("the attempt that failed is sent", PATIENCE, async || {
            let spans = collector.spans();
            let answered = spans.iter().find(|span| span.name == "POST /purchases/")?.clone();
            let asked = spans.iter().find(|span| span.id == answered.parent)?.clone();
            let committed = spans.iter().find(|span| span.name == "commit payments")?.clone();
            Some((asked, answered, committed))
        });
        let (asked, answered, committed) = failed.await;
        assert_eq!((answered.kind.as_str(), answered.status.as_str()), ("SERVER", "Error"));
        assert_eq!(
            (of(&answered, "error.type"), of(&answered, "http.response.status_code")),
            (json!("503"), json!(503))
        );
        assert_eq!((of(&answered, "url.scheme"), of(&answered, "saga.attempt")), (json!("http"), json!(1)));
        assert_eq!((asked.kind.as_str(), asked.status.as_str()), ("CLIENT", "Error"));
        for (name, expected) in [
            ("http.request.method", json!("POST")),
            ("http.response.status_code", json!(503)),
            ("error.type", json!("503")),
            ("url.full", json!(format!("http://127.0.0.1:{port}/purchases/"))),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(port)),
            ("network.protocol.version", json!("2")),
        ] {
            assert_eq!(of(&asked, name), expected, "{name}: {asked:?}");
        }
        assert_eq!(committed.kind, "CLIENT");
        for (name, expected) in [
            ("db.system.name", json!("postgresql")),
            ("db.operation.name", json!("COMMIT")),
            ("db.query.summary", json!("COMMIT payments")),
            ("commit.batch_items", json!(1)),
        ] {
            assert_eq!(of(&committed, name), expected, "{name}: {committed:?}");
        }
        assert!(
            of(&committed, "db.namespace").as_str().is_some_and(|name| name.ends_with("_payments")),
            "{committed:?}"
        );
        for span in collector.spans() {
            let outdated =
                span.attributes.keys().find(|name| OUTDATED.contains(&name.as_str()) || name.starts_with("net."));
            assert_eq!(outdated, None, "{span:?}");
            assert_eq!(span.resource["service.namespace"], "ecommerce-saga");
            assert_eq!(span.resource["deployment.environment.name"], "bench");
            assert_eq!(span.resource["telemetry.sdk.language"], "rust");
            assert_eq!(span.resource["process.pid"], std::process::id());
            assert!(span.resource["service.instance.id"].as_str().is_some_and(|id| id.len() == 36), "{span:?}");
            assert!(span.resource["service.version"].is_string(), "{span:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_variables_alone_send_traces_by_each_protocol() {
    let collector = Collector::start().await;
    let of_traces = format!("{}/of/traces", collector.endpoint);
    let (http, grpc) = (collector.endpoint.clone(), collector.grpc_endpoint.clone());
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("/v1/traces", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &http)]),
        (
            "/of/traces",
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &of_traces),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ],
        ),
        ("grpc", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &grpc), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
        (
            "grpc",
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &grpc),
                ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ],
        ),
    ];
    for (number, (path, variables)) in cases.into_iter().enumerate() {
        let name = format!("shop-{number}");
        let mut options = StackOptions::default()
            .variable("OTEL_SERVICE_NAME", &name)
            .variable("OTEL_RESOURCE_ATTRIBUTES", "service.name=lost,team=a%2Cb,deployment.environment.name=canary")
            .variable("OTEL_EXPORTER_OTLP_HEADERS", format!("x-api-key=key%20{number}"));
        for (variable, value) in variables {
            options = options.variable(variable, value);
        }
        let before = collector.requests().len();
        with_stack(options, async |stack| {
            assert_eq!(buy(stack).await.status, 200);
        })
        .await;
        // The stack has stopped, and has thereby exported its spans.
        let requests = collector.requests().split_off(before);
        assert!(!requests.is_empty(), "{variables:?}");
        for request in requests {
            let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!((request.path.as_str(), header("x-api-key")), (path, Some(format!("key {number}").as_str())));
            let encoding = if path == "grpc" { header("grpc-encoding") } else { header("content-encoding") };
            let is_zipped = variables.iter().any(|(_, value)| *value == "gzip");
            assert_eq!(encoding, is_zipped.then_some("gzip"), "{request:?}");
        }
        let sent: Vec<Span> = collector.spans().into_iter().filter(|span| span.service == name).collect();
        assert_eq!(sent.len(), FORWARD.len(), "{variables:?}");
        for span in sent {
            assert_eq!(
                (&span.resource["team"], &span.resource["deployment.environment.name"]),
                (&json!("a,b"), &json!("canary"))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampler_decides_with_or_without_the_caller() {
    for (sampler, ratio, of_caller, of_purchase) in [
        ("always_on", "0.0", true, true),
        ("always_off", "1.0", false, false),
        ("traceidratio", "1", true, true),
        ("traceidratio", "0", false, false),
        ("parentbased_always_on", "0", true, true),
        ("parentbased_always_off", "1", true, false),
        ("parentbased_traceidratio", "0", true, false),
    ] {
        let collector = Collector::start().await;
        let options = StackOptions::default()
            .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
            .variable("OTEL_TRACES_SAMPLER", sampler)
            .variable("OTEL_TRACES_SAMPLER_ARG", ratio);
        with_stack(options, async |stack| {
            for flags in ["00", "01"] {
                let header = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
                let request = stack.request(reqwest::Method::GET, "catalog", "/products/1/");
                let answer = send(request.header("traceparent", header)).await;
                // A trace that a caller does not record is recorded only by a sampler that does not follow its caller.
                let is_recorded = of_caller && (flags == "01" || !sampler.starts_with("parentbased"));
                let given_back = answer.header("traceparent").expect("it is given back");
                assert_eq!(given_back.ends_with("-01"), is_recorded, "{sampler} {ratio} {flags}: {given_back}");
            }
            assert_eq!(buy(stack).await.status, 200);
        })
        .await;
        let names: BTreeSet<String> = collector.spans().into_iter().map(|span| span.name).collect();
        assert_eq!(names.contains("GET /products/{product_id}/"), of_caller, "{sampler} {ratio}: {names:?}");
        assert_eq!(names.contains("saga checkout"), of_purchase, "{sampler} {ratio}: {names:?}");
    }
}
