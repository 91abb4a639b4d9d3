//! All metrics in the operators' dashboards and alarms exist in a running system.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    stack::{ORCHESTRATOR, SERVICES},
    wait_until, with_stack,
};

/// Metrics that Prometheus, its exporters, its rules and `backup.sh` make.
const OF_OTHERS: [&str; 6] = [
    "up",
    "pg_up",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "ecommerce_backup_last_success_timestamp_seconds",
    "ecommerce_replicas_expected",
];

/// Prefixes of the names of metrics: our own, and the one that client libraries use for a process.
const PREFIXES: [&str; 2] = ["ecommerce_", "process_"];

/// Words of PromQL that are not metrics.
const WORDS: [&str; 11] =
    ["by", "sum", "max", "min", "rate", "offset", "ignoring", "group_left", "and", "or", "unless"];

/// Returns the metric names in a query: words outside of braces, brackets and quotes that are not a function, a
/// grouping or a keyword.
fn metrics_of(query: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = query;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric() || matches!(c, '{' | '[')) {
        rest = &rest[at..];
        if let Some(close) = match rest.as_bytes()[0] {
            b'{' => Some('}'),
            b'[' => Some(']'),
            _ => None,
        } {
            rest = &rest[rest.find(close).map_or(rest.len(), |end| end + 1)..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after.trim_start();
        match word {
            // The labels that follow are not metrics either.
            "by" | "ignoring" | "on" => rest = &rest[rest.find(')').map_or(rest.len(), |end| end + 1)..],
            // A number, or a duration.
            _ if word.starts_with(|first: char| first.is_ascii_digit()) => {}
            _ if WORDS.contains(&word) || rest.starts_with('(') => {}
            _ => drop(names.insert(word.to_owned())),
        }
    }
    names
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Returns all alerts.
fn alerts() -> Vec<Value> {
    let file = yaml("docker/prometheus/alerts.yml");
    let rules = |group: &Value| group["rules"].as_array().cloned().expect("rules");
    file["groups"].as_array().expect("groups").iter().flat_map(rules).collect()
}

/// Returns the queries of all dashboards and alarms.
fn queries() -> Vec<String> {
    let folder = repository().join("docker/grafana/dashboards");
    let mut queries = Vec::new();
    for file in fs::read_dir(folder).expect("there are dashboards") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("it can be read");
        let dashboard: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
        let panels = dashboard["panels"].as_array().expect("it has panels");
        let of_panel = |panel: &Value| panel["targets"].as_array().cloned().unwrap_or_default();
        queries.extend(
            panels.iter().flat_map(of_panel).map(|target| target["expr"].as_str().expect("a query").to_owned()),
        );
    }
    queries.extend(alerts().iter().map(|alert| alert["expr"].as_str().expect("a query").to_owned()));
    queries
}

#[test]
fn the_metrics_of_a_query_are_found() {
    let cases: [(&str, &[&str]); 5] = [
        ("up == 0", &["up"]),
        ("a == 0 unless on (job) sum by (job) (b) == 1 or absent(c offset 1h)", &["a", "b", "c"]),
        ("sum by (status) (rate(ecommerce_sagas_ended_total[$__rate_interval]))", &["ecommerce_sagas_ended_total"]),
        (r#"sum(a_total{state="used"}) / ignoring(x) group_left sum(rate(b_total[5m]))"#, &["a_total", "b_total"]),
        ("histogram_quantile(0.99, sum by (le, step) (rate(c_seconds_bucket[1m])))", &["c_seconds_bucket"]),
    ];
    for (query, names) in cases {
        assert_eq!(metrics_of(query).iter().map(String::as_str).collect::<Vec<_>>(), names, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_dashboards_and_the_alarms_exists_with_a_help_text() {
    let wanted: BTreeSet<String> = queries().iter().flat_map(|query| metrics_of(query)).collect();
    assert!(wanted.len() > 15, "{wanted:?}");
    with_stack(StackOptions::default(), async |stack: &Stack| {
        stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "u", "amount": 5 })).await.expect(200);
        stack.get(ORCHESTRATOR, "/nowhere").await.expect(404);
        // Watches and listeners appear after their first run.
        wait_until("all metrics are there", PATIENCE, async || {
            let mut text = String::new();
            for service in SERVICES {
                text.push_str(&stack.get(service, "/metrics").await.expect(200).text);
            }
            let missing: Vec<&String> = wanted.iter().filter(|name| !exists(&text, name)).collect();
            println!("missing: {missing:?}");
            missing.is_empty().then_some(())
        })
        .await;
        let text = stack.get(ORCHESTRATOR, "/metrics").await.text;
        for name in wanted.iter().filter(|name| !OF_OTHERS.contains(&name.as_str())) {
            let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let help = format!("# HELP {family} ");
            assert!(text.contains(&help), "{family} has no HELP");
        }
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let name = line.split(' ').nth(2).expect("a name");
            assert!(PREFIXES.iter().any(|prefix| name.starts_with(prefix)), "{name} has no prefix of ours");
        }
    })
    .await;
}

fn exists(text: &str, name: &str) -> bool {
    OF_OTHERS.contains(&name)
        || text
            .lines()
            .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')))
}

#[test]
fn every_alert_has_a_test_that_it_fires_one_that_it_is_silent_and_a_runbook() {
    let tests = yaml("docker/prometheus/tests.yml");
    let mut cases: BTreeSet<(String, bool)> = BTreeSet::new();
    for test in tests["tests"].as_array().expect("tests") {
        let (alert, _) = test["name"].as_str().and_then(|name| name.split_once(':')).expect("a name with its alert");
        let [case] = &test["promql_expr_test"].as_array().expect("a case")[..] else {
            panic!("{alert}: one case each")
        };
        assert_eq!(case["expr"], format!(r#"ALERTS{{alertname="{alert}",alertstate="firing"}}"#));
        cases.insert((alert.to_owned(), case["exp_samples"].as_array().is_some_and(|fires| !fires.is_empty())));
    }
    let alerts = alerts();
    let names: BTreeSet<String> =
        alerts.iter().map(|alert| alert["alert"].as_str().expect("a name").to_owned()).collect();
    let expected = names.iter().flat_map(|name| [(name.clone(), false), (name.clone(), true)]).collect();
    assert_eq!(cases, expected);

    let runbooks = read("docs/runbooks.md");
    let described: BTreeSet<String> =
        runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(described, names);
    for alert in alerts {
        let name = alert["alert"].as_str().expect("a name").to_lowercase();
        assert_eq!(alert["annotations"]["runbook"], format!("docs/runbooks.md#{name}"));
        assert!(["warning", "critical"].iter().any(|severity| alert["labels"]["severity"] == **severity), "{name}");
    }
}

#[test]
fn a_service_without_any_target_is_noticed() {
    let down = alerts().into_iter().filter(|alert| alert["alert"] == "ServiceDown");
    let expressions: String = down.map(|alert| alert["expr"].as_str().expect("a query").to_owned()).collect();
    for job in yaml("docker/prometheus/prometheus.yml")["scrape_configs"].as_array().expect("jobs") {
        let name = job["job_name"].as_str().expect("a name");
        // Without Prometheus and Alertmanager no alert arrives.
        let expected = !["prometheus", "alertmanager"].contains(&name);
        assert_eq!(expressions.contains(&format!(r#"absent(up{{job="{name}"}})"#)), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_a_refusal_a_turn_and_the_stock_are_seen_in_the_metrics() {
    with_stack(StackOptions::default().set("inventory.low_stock", 3), async |stack: &Stack| {
        let appears = async |service: &str, name: &str, labels: &[&str], least: f64| {
            wait_until("it is seen", PATIENCE, async || {
                let text = stack.get(service, "/metrics").await.expect(200).text;
                (value(&text, name, labels) >= least).then_some(())
            })
            .await;
        };
        let version = concat!(r#"version=""#, env!("CARGO_PKG_VERSION"), '"');
        // Only a binary states its build.
        let labels = [r#"service="inventory""#, version, r#"revision="unknown""#, r#"date="unknown""#];
        appears("inventory", "ecommerce_build_info", &labels, 1.0).await;

        let take = json!({ "product_id": "rare", "quantity": 98, "transaction_id": "most" });
        stack.set_faults("inventory", json!({ "decrease": { "failure_rate": 0.0 } })).await;
        stack.post("inventory", "/inventory/decrease/", take).await.expect(200);
        appears("inventory", "ecommerce_stock_products", &[r#"level="low""#], 1.0).await;
        let take = json!({ "product_id": "rare", "quantity": 2, "transaction_id": "rest" });
        stack.post("inventory", "/inventory/decrease/", take).await.expect(200);
        appears("inventory", "ecommerce_stock_products", &[r#"level="sold_out""#], 1.0).await;

        stack.set_faults("payments", json!({ "charge": { "failure_rate": 1.0 } })).await;
        let order = json!({ "user_id": "u", "amount": 5 });
        // More than the refusals of other stacks in this process. They had no effect, so nothing is undone.
        let (turned, of_refusals) = ("ecommerce_sagas_turned_back_total", [r#"reason="refused""#]);
        let before = value(&stack.get(ORCHESTRATOR, "/metrics").await.text, turned, &of_refusals);
        for _ in 0..5 {
            stack.post(ORCHESTRATOR, "/saga/transaction", order.clone()).await.expect(409);
        }
        appears(ORCHESTRATOR, turned, &of_refusals, before + 5.0).await;

        let saga_log = stack.new_connection(ORCHESTRATOR).await;
        saga_log.run("insert into saga_hold (reason) values ('a test')").await;
        appears(ORCHESTRATOR, "ecommerce_sagas_on_hold", &[], 1.0).await;
        stack.post(ORCHESTRATOR, "/saga/transaction", order).await.expect(503);
        let labels = [r#"service="orchestrator""#, r#"reason="hold""#];
        appears(ORCHESTRATOR, "ecommerce_http_refused_total", &labels, 1.0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_for_a_connection_are_seen_in_the_metrics() {
    // One connection is the writer's and one is kept for the health check.
    with_stack(StackOptions::default().set("database.pool_size", 3), async |stack: &Stack| {
        let purchases = stack.database("purchases").await;
        let database = format!("database=\"{}\"", stack.settings.service("purchases").database);
        let waiting = async || {
            let text = stack.get("purchases", "/metrics").await.expect(200).text;
            value(&text, "ecommerce_db_pool_reads_waiting", &[&database])
        };
        assert_eq!(waiting().await, 0.0);
        purchases.run("begin; lock table app_purchase in access exclusive mode").await;
        let read = || stack.get("purchases", "/purchases/1/");
        let reads = async { futures::join!(read(), read(), read()) };
        let look = async {
            wait_until("two reads wait", PATIENCE, async || (waiting().await == 2.0).then_some(())).await;
            purchases.run("rollback").await;
        };
        let (answers, ()) = futures::join!(reads, look);
        assert_eq!([answers.0.status, answers.1.status, answers.2.status], [404; 3]);
        assert_eq!(waiting().await, 0.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_counted_by_its_end_its_steps_and_its_commits() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let before = stack.get(ORCHESTRATOR, "/metrics").await.text;
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1.0 } })).await;
        stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "u", "amount": 5 })).await.expect(409);
        // Other stacks in this process count too, so the values are lower bounds.
        for (name, labels) in [
            ("ecommerce_sagas_ended_total", vec![r#"status="COMPENSATED""#]),
            ("ecommerce_saga_seconds_count", vec![r#"status="COMPENSATED""#]),
            ("ecommerce_saga_call_seconds_count", vec![r#"step="create""#, r#"kind="action""#, r#"outcome="refused""#]),
            (
                "ecommerce_saga_call_seconds_count",
                vec![r#"step="charge""#, r#"kind="compensation""#, r#"outcome="done""#],
            ),
            ("ecommerce_group_commit_batches_total", vec![r#"writer="saga-log""#]),
            ("ecommerce_group_commit_batch_items_count", vec![r#"writer="saga-log""#]),
        ] {
            wait_until("it is counted", PATIENCE, async || {
                let after = stack.get(ORCHESTRATOR, "/metrics").await.text;
                (value(&after, name, &labels) > value(&before, name, &labels)).then_some(())
            })
            .await;
        }
        let pools = stack.get(ORCHESTRATOR, "/metrics").await.text;
        let database = format!("database=\"{}\"", stack.settings.service(ORCHESTRATOR).database);
        assert_eq!(
            value(&pools, "ecommerce_db_pool_max_connections", &[&database]),
            f64::from(stack.settings.database.pool_size)
        );
    })
    .await;
}

/// Returns the value of a metric; 0 if it does not exist yet.
fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let is_it = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let fits = |line: &&str| is_it(line) && labels.iter().all(|label| line.contains(label));
    let line = text.lines().find(fits);
    line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or(0.0)
}
