//! `docker/kubernetes`: consistency across its files. `tests/kubernetes.sh` validates each file; Kubernetes has no
//! schema for Traefik's kinds, so those are checked here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    files::{assert_runs_as_itself, list, read, services, settings, text, texts},
    kustomize::{FOLDER, objects},
    routes::Router,
};

fn object(kind: &str, name: &str) -> Value {
    let mut found = objects().into_iter().filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "{kind} {name} is there twice");
    object
}

/// The variables of a container; a secret is represented as `name/key`.
fn environment(container: &Value) -> BTreeMap<String, String> {
    assert_eq!(container["envFrom"], json!([{ "configMapRef": { "name": "ecommerce-settings" } }]));
    let mut all = texts(&object("ConfigMap", "ecommerce-settings")["data"]);
    for variable in container["env"].as_array().expect("variables") {
        let secret = &variable["valueFrom"]["secretKeyRef"];
        assert!(secret.is_object(), "a value that is in no secret belongs into the settings: {variable}");
        let value = match text(&secret["name"]).as_str() {
            "ecommerce-administrator" => "postgres://postgres:secret@db.example/".to_owned(),
            name => format!("{name}/{}", text(&secret["key"])),
        };
        all.insert(text(&variable["name"]), value);
    }
    all
}

fn assert_hardened(pod: &Value, name: &str) {
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
    assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{name}");
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
    assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
    let container = &pod["containers"][0];
    assert_eq!(pod["containers"].as_array().expect("containers").len(), 1, "{name}");
    assert_eq!(
        container["securityContext"],
        json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } }),
        "{name}"
    );
    assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
    assert!(container["resources"]["requests"]["cpu"].is_string(), "{name}");
    assert_eq!(container["image"], "ecommerce-saga", "{name}: the kustomization says which one");
}

#[test]
fn every_service_of_the_code_runs_in_replicas_that_are_probed_and_go_one_after_the_other() {
    let mut deployments: Vec<String> = objects()
        .iter()
        .filter(|object| object["kind"] == "Deployment")
        .map(|object| text(&object["metadata"]["name"]))
        .collect();
    deployments.sort();
    assert_eq!(deployments, services().into_keys().collect::<Vec<_>>());
    let defaults = common::config::ConfigSource::embedded("default").load().expect("valid");
    let stop_ms = defaults.orchestrator.grace_ms + defaults.http.drain_grace_ms;
    for (name, port) in services() {
        let labels = json!({ "app.kubernetes.io/name": name });
        let spec = &object("Deployment", &name)["spec"];
        assert!(spec["replicas"].as_u64().expect("a number") >= 2, "{name}");
        assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0, "{name}");
        assert_eq!(spec["selector"]["matchLabels"], labels);
        assert_eq!(spec["template"]["metadata"]["labels"], labels);
        let pod = &spec["template"]["spec"];
        assert_hardened(pod, &name);
        assert_eq!(pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"], labels);
        let container = &pod["containers"][0];
        assert_eq!(list(&container["args"]), ["serve", &name]);
        assert_eq!(container["ports"], json!([{ "name": "http", "containerPort": port }]));
        assert_runs_as_itself(&name, &environment(container));
        for (probe, path) in
            [("startupProbe", "/health/live/"), ("livenessProbe", "/health/live/"), ("readinessProbe", "/health/")]
        {
            assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "http" }), "{name}: {probe}");
        }
        let before_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("seconds");
        let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
        assert!(grace * 1000 > before_stop * 1000 + stop_ms, "{name}: {grace} s");

        let service = &object("Service", &name)["spec"];
        assert_eq!(service["clusterIP"], "None", "{name}: one address would pin callers to one replica");
        assert_eq!(service["selector"], labels);
        assert_eq!(service["ports"], json!([{ "name": "http", "port": port, "targetPort": "http" }]));
        let budget = &object("PodDisruptionBudget", &name)["spec"];
        assert_eq!(budget["selector"]["matchLabels"], labels);
        assert_eq!(budget["maxUnavailable"], 1);
        let scraped = &spec["template"]["metadata"]["annotations"];
        assert_eq!(scraped["prometheus.io/port"], port.to_string());
    }
}

#[test]
fn the_migrations_are_a_job_of_the_administrator() {
    use secrecy::ExposeSecret;
    let spec = &object("Job", "migrate")["spec"];
    let pod = &spec["template"]["spec"];
    assert_hardened(pod, "migrate");
    assert_eq!(pod["restartPolicy"], "OnFailure");
    assert_eq!(list(&pod["containers"][0]["args"]), ["migrate"]);
    let settings = settings(&environment(&pod["containers"][0]));
    for service in services().into_keys() {
        let password = settings.service(&service).database_password.expose_secret();
        assert_eq!(password, format!("ecommerce-database-passwords/{service}"));
    }
    assert!(settings.database.url.expose_secret().contains("secret@"), "as whoever may make roles");
}

#[test]
fn secrets_are_referred_to_and_the_kustomization_says_how_to_make_them() {
    let kustomization = read(&format!("{FOLDER}/kustomization.yaml"));
    let mut keys = BTreeSet::new();
    for object in objects() {
        assert_ne!(object["kind"], "Secret", "a secret in a file is none");
        for variable in object["spec"]["template"]["spec"]["containers"][0]["env"].as_array().into_iter().flatten() {
            let secret = &variable["valueFrom"]["secretKeyRef"];
            if secret["optional"] != true {
                keys.insert((text(&secret["name"]), text(&secret["key"])));
            }
        }
    }
    assert_eq!(keys.len(), 1 + 2 + 5, "{keys:?}");
    for (name, key) in keys {
        assert!(kustomization.contains(&format!("create secret generic {name} ")), "{name}");
        assert!(kustomization.contains(&format!("--from-literal={key}=")), "{name}/{key}");
    }
}

#[test]
fn the_kustomization_names_every_file() {
    let kustomization = crate::files::yaml(&format!("{FOLDER}/kustomization.yaml"));
    let mut named = list(&kustomization["resources"]);
    named.extend(["kustomization.yaml", "service"].map(str::to_owned));
    named.sort();
    let folder = std::fs::read_dir(crate::files::path(FOLDER)).expect("the folder");
    let mut found: Vec<String> =
        folder.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    assert_eq!(found, named);
    assert_eq!(kustomization["images"][0]["name"], "ecommerce-saga");
}

/// Returns the Traefik router of each service.
pub(crate) fn routers() -> Vec<(String, Router)> {
    let route = object("IngressRoute", "ecommerce");
    let routes = route["spec"]["routes"].as_array().expect("routes").clone();
    assert_eq!(route["spec"]["entryPoints"], json!(["web", "websecure"]));
    assert_eq!(routes.len(), services().len());
    let router = |route: Value| {
        let service = text(&route["services"][0]["name"]);
        assert_eq!(route["services"], json!([{ "kind": "Service", "name": service, "port": "http" }]));
        let shared = ["rate-limit", "security-headers", "retry"].map(str::to_owned);
        let middlewares = [&shared[..], &[format!("{service}-prefix")]].concat();
        assert_eq!(
            route["middlewares"],
            json!(middlewares.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>())
        );
        let prefix = object("Middleware", &middlewares[3]);
        let stripped = text(&prefix["spec"]["stripPrefix"]["prefixes"][0]);
        (service.clone(), Router::by_rule(&service, &text(&route["match"]), &stripped))
    };
    routes.into_iter().map(router).collect()
}

#[test]
fn the_middlewares_are_those_of_the_other_ways_to_run() {
    let limit = object("Middleware", "rate-limit");
    assert_eq!(limit["spec"]["rateLimit"], json!({ "average": 100, "burst": 200 }));
    assert_eq!(object("Middleware", "retry")["spec"]["retry"], json!({ "attempts": 6, "initialInterval": "50ms" }));
    assert_eq!(
        object("Middleware", "security-headers")["spec"]["headers"],
        json!({
            "contentTypeNosniff": true, "frameDeny": true, "referrerPolicy": "no-referrer",
            "permissionsPolicy": "camera=(), geolocation=(), microphone=()", "stsSeconds": 31_536_000,
        })
    );
    let ours = |object: &Value| object["apiVersion"] == "traefik.io/v1alpha1";
    let kinds: Vec<Value> = objects().into_iter().filter(ours).map(|object| object["kind"].clone()).collect();
    assert_eq!(kinds.len(), 1 + 3 + services().len(), "something that nothing checks: {kinds:?}");
}
