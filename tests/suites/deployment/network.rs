//! The network policies of the chart: which pod may call which.

use serde_json::{Value, json};

use crate::{
    files::services,
    kubernetes::{objects, pod},
};

const COMMANDS: [&str; 3] = ["migrate", "audit", "tools"];

fn policies() -> Vec<Value> {
    objects("default").into_iter().filter(|object| object["kind"] == "NetworkPolicy").collect()
}

/// Returns the labels of a pod that policies know.
fn labels(pod: &str) -> Value {
    json!({ "app.kubernetes.io/name": pod, "app.kubernetes.io/part-of": "ecommerce-saga" })
}

/// Returns whether a selector selects a pod.
fn selects(selector: &Value, pod: &str) -> bool {
    let wanted = selector["matchLabels"].as_object().expect("labels");
    !wanted.is_empty() && wanted.iter().all(|(label, value)| labels(pod)[label] == *value)
}

/// Returns the rules of a direction that apply to a pod.
fn rules(policies: &[Value], direction: &str, pod: &str) -> Vec<Value> {
    let spec = policies.iter().map(|policy| &policy["spec"]).filter(|spec| selects(&spec["podSelector"], pod));
    spec.flat_map(|spec| spec[direction].as_array().cloned().unwrap_or_default()).collect()
}

fn has_port(rule: &Value, port: &Value) -> bool {
    rule["ports"].as_array().expect("every rule is about ports").iter().any(|open| open["port"] == *port)
}

fn has_peer(rule: &Value, side: &str, pod: &str) -> bool {
    let peers = rule[side].as_array().expect("every rule is about peers");
    peers.iter().any(|peer| peer["namespaceSelector"].is_null() && selects(&peer["podSelector"], pod))
}

/// Returns whether both sides allow a call between two pods of the system.
fn may_call(policies: &[Value], from: &str, to: &str, port: u16) -> bool {
    let leaves =
        rules(policies, "egress", from).iter().any(|rule| has_port(rule, &json!(port)) && has_peer(rule, "to", to));
    let enters = rules(policies, "ingress", to)
        .iter()
        .any(|rule| has_port(rule, &json!("http")) && has_peer(rule, "from", from));
    assert_eq!(leaves, enters, "{from} to {to}: one side allows it");
    leaves
}

#[test]
fn a_pod_calls_those_that_its_program_calls_and_no_other_one() {
    let policies = policies();
    for from in services().into_keys().chain(COMMANDS.map(str::to_owned)) {
        for (to, port) in services() {
            let expected = match from.as_str() {
                "orchestrator" => to != "orchestrator",
                // `restock` reads the catalog and calls inventory.
                "tools" => ["orchestrator", "catalog", "inventory"].contains(&to.as_str()),
                _ => false,
            };
            assert_eq!(may_call(&policies, &from, &to, port), expected, "{from} to {to}");
        }
    }
}

#[test]
fn everything_else_is_denied_but_names_databases_the_proxy_and_the_monitoring() {
    let policies = policies();
    let outside = |direction: &str, side: &str, pod: &str| -> Vec<String> {
        let rules = rules(&policies, direction, pod);
        let open = rules.iter().flat_map(|rule| {
            let namespaces = rule[side].as_array().expect("every rule is about peers").iter();
            let namespaces =
                namespaces.map(|peer| &peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]);
            namespaces.filter_map(Value::as_str).map(str::to_owned)
        });
        open.collect()
    };
    let all = policies.iter().find(|policy| policy["metadata"]["name"] == "default-deny").expect("it is there");
    assert_eq!(all["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    for pod in services().into_keys().chain(COMMANDS.map(str::to_owned)) {
        assert!(selects(&all["spec"]["podSelector"], &pod), "{pod}");
        assert_eq!(outside("egress", "to", &pod), ["kube-system", "database"], "{pod}");
        let expected: &[&str] = if COMMANDS.contains(&pod.as_str()) { &[] } else { &["traefik", "monitoring"] };
        assert_eq!(outside("ingress", "from", &pod), expected, "{pod}");
    }
    for object in objects("default").iter().filter(|object| object["kind"] == "CronJob" || object["kind"] == "Job") {
        let found = &pod(object).expect("a pod")["metadata"]["labels"];
        let name = found["app.kubernetes.io/name"].as_str().expect("a name");
        assert!(COMMANDS.contains(&name) && found["app.kubernetes.io/part-of"] == "ecommerce-saga", "{found}");
    }
}
