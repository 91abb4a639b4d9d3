//! What an operator's dashboard and alarms ask for is there in a running system.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    stack::{ORCHESTRATOR, SERVICES},
    wait_until, with_stack,
};

/// What Prometheus makes by itself.
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// Words of PromQL that are no metrics.
const WORDS: [&str; 6] = ["by", "sum", "max", "rate", "ignoring", "group_left"];

/// Returns the names of the metrics in a query: what is neither in braces, brackets or quotes, nor a function, a grouping
/// or a word of the language.
fn metrics_of(query: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = query;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic() || matches!(c, '{' | '[')) {
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
            // The labels behind it are none either.
            "by" | "ignoring" => rest = &rest[rest.find(')').map_or(rest.len(), |end| end + 1)..],
            _ if WORDS.contains(&word) || rest.starts_with('(') => {}
            _ => drop(names.insert(word.to_owned())),
        }
    }
    names
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

/// Returns the queries of all dashboards and of the alarms.
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
    let alerts = fs::read_to_string(repository().join("docker/prometheus/alerts.yml")).expect("there are alarms");
    let expressions = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: '")?.strip_suffix('\''));
    queries.extend(expressions.map(str::to_owned));
    queries
}

#[test]
fn the_metrics_of_a_query_are_found() {
    let cases: [(&str, &[&str]); 4] = [
        ("up == 0", &["up"]),
        ("sum by (status) (rate(sagas_ended_total[$__rate_interval]))", &["sagas_ended_total"]),
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
        // Watches and listeners show up with their first look.
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
        for name in wanted.iter().filter(|name| !OF_PROMETHEUS.contains(&name.as_str())) {
            let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let help = format!("# HELP {family} ");
            assert!(text.contains(&help), "{family} has no HELP");
        }
    })
    .await;
}

fn exists(text: &str, name: &str) -> bool {
    OF_PROMETHEUS.contains(&name)
        || text
            .lines()
            .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_counted_by_its_end_its_steps_and_its_commits() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let before = stack.get(ORCHESTRATOR, "/metrics").await.text;
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1.0 } })).await;
        stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "u", "amount": 5 })).await.expect(409);
        // Other stacks count in the same process, so what is counted is at least this.
        for (name, labels) in [
            ("sagas_ended_total", vec![r#"status="COMPENSATED""#]),
            ("saga_seconds_count", vec![r#"status="COMPENSATED""#]),
            ("saga_call_seconds_count", vec![r#"step="create""#, r#"kind="action""#, r#"outcome="refused""#]),
            ("saga_call_seconds_count", vec![r#"step="charge""#, r#"kind="compensation""#, r#"outcome="done""#]),
            ("group_commit_batches_total", vec![r#"writer="saga-log""#]),
            ("group_commit_batch_items_count", vec![r#"writer="saga-log""#]),
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
            value(&pools, "db_pool_max_connections", &[&database]),
            f64::from(stack.settings.database.pool_size)
        );
    })
    .await;
}

/// Returns the value of a metric, 0 where it is not there yet.
fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let fits = |line: &&str| line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label));
    let line = text.lines().find(fits);
    line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or(0.0)
}
