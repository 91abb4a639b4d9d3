//! `docker/kubernetes`: consistency across its files. `tests/kubernetes.sh` validates each file; Kubernetes has no
//! schema for Traefik's kinds, so those are checked here.

use std::collections::{BTreeMap, BTreeSet};

use common::config::Settings;
use serde_json::{Value, json};

use crate::{
    files::{
        assert_holds_no_token, assert_runs_as_itself, assert_time_to_stop, list, read, services, settings, text, texts,
    },
    kustomize::{FOLDER, objects},
    traefik::{Traefik, lowercase},
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
        assert!(container["lifecycle"].is_null(), "{name}: http.drain_delay_ms is the time before a stop");
        let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
        assert_time_to_stop(&name, &settings(&environment(container)), grace);

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
    let environment = environment(&pod["containers"][0]);
    assert_holds_no_token("migrate", &environment);
    let settings = settings(&environment);
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
    named.extend(["kustomization.yaml", "service", "api-token"].map(str::to_owned));
    named.sort();
    let folder = std::fs::read_dir(crate::files::path(FOLDER)).expect("the folder");
    let mut found: Vec<String> =
        folder.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    assert_eq!(found, named);
    assert_eq!(kustomization["images"][0]["name"], "ecommerce-saga");
}

/// Returns the settings of a service in its pods.
pub(crate) fn settings_of(service: &str) -> Settings {
    settings(&environment(&object("Deployment", service)["spec"]["template"]["spec"]["containers"][0]))
}

/// Returns what Traefik makes of its kinds.
pub(crate) fn traefik() -> Traefik {
    let route = object("IngressRoute", "ecommerce");
    let entry_points = list(&route["spec"]["entryPoints"]);
    let named: BTreeSet<String> = ["web", "websecure"].map(str::to_owned).into();
    let mut http = json!({ "routers": {}, "middlewares": {}, "services": {}, "serverstransports": {} });
    for route in route["spec"]["routes"].as_array().expect("routes") {
        let [target] = &route["services"].as_array().expect("services")[..] else { panic!("one service: {route}") };
        let name = text(&target["name"]);
        let transport = &target["serversTransport"];
        assert_eq!(*target, json!({ "kind": "Service", "name": name, "port": "http", "serversTransport": transport }));
        http["services"][&name] = json!({ "loadbalancer": { "serverstransport": transport } });
        let middlewares = route["middlewares"].as_array().expect("middlewares").iter();
        http["routers"][&name] = json!({
            "rule": route["match"],
            "entrypoints": entry_points,
            "middlewares": middlewares.map(|middleware| text(&middleware["name"])).collect::<Vec<_>>(),
            "service": name,
        });
    }
    let of_traefik = |object: &Value| object["apiVersion"] == "traefik.io/v1alpha1";
    for object in objects().into_iter().filter(of_traefik) {
        let section = match object["kind"].as_str() {
            Some("Middleware") => "middlewares",
            Some("ServersTransport") => "serverstransports",
            Some("IngressRoute") => continue,
            _ => panic!("a kind that nothing checks: {object}"),
        };
        http[section][text(&object["metadata"]["name"])] = lowercase(&object["spec"]);
    }
    let mut traefik = Traefik::new("docker/kubernetes", named);
    traefik.add("kubernetes", &json!({ "http": http }));
    traefik
}
