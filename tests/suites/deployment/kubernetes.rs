//! The chart in `docker/kubernetes`, as it is rendered with the values of `tests/data/kubernetes`. `tests/kubernetes.sh`
//! keeps those renderings current and validates them; Kubernetes has no schema for Traefik's kinds, so those are checked
//! here.

use std::collections::{BTreeMap, BTreeSet};

use common::config::Settings;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    files::{
        assert_holds_its_tokens, assert_holds_no_token, assert_runs_as_itself, assert_time_to_stop, list, parse, read,
        services, settings, text, texts,
    },
    traefik::{Traefik, lowercase},
};

/// Reads the objects of a rendering, once.
pub(crate) fn objects(rendering: &str) -> Vec<Value> {
    static READ: Mutex<BTreeMap<String, Vec<Value>>> = Mutex::new(BTreeMap::new());
    let mut all = READ.lock();
    let objects = all.entry(rendering.to_owned()).or_insert_with(|| {
        let file = format!("tests/data/kubernetes/rendered/{rendering}.yaml");
        let text = format!("\n{}", read(&file));
        let documents = text.split("\n---\n").filter(|document| document.contains("\nkind: "));
        documents.map(|document| parse(&file, document)).collect()
    });
    objects.clone()
}

fn object(kind: &str, name: &str) -> Value {
    let of_name = |object: &Value| object["kind"] == kind && object["metadata"]["name"] == name;
    let mut found = objects("default").into_iter().filter(of_name);
    let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "{kind} {name} is there twice");
    object
}

/// Returns the pod of an object that makes pods.
pub(crate) fn pod(object: &Value) -> Option<&Value> {
    let pod = match object["kind"].as_str()? {
        "Deployment" | "Job" => &object["spec"]["template"],
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => return None,
    };
    Some(pod)
}

/// The Secrets' files that a container sees: path to `secret/key`.
fn secret_files(pod: &Value, container: &Value) -> BTreeMap<String, String> {
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
    let mut files = BTreeMap::new();
    for mount in container["volumeMounts"].as_array().expect("mounts") {
        assert_eq!(mount["readOnly"], true, "{mount}");
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("the mounted volume");
        let secret = &volume["secret"];
        // The group of the pod may read them; a key that is not listed is not there.
        assert_eq!(secret["defaultMode"], 0o440, "{volume}");
        for item in secret["items"].as_array().expect("the keys are listed") {
            let path = format!("{}/{}", text(&mount["mountPath"]), text(&item["path"]));
            files.insert(path, format!("{}/{}", text(&secret["secretName"]), text(&item["key"])));
        }
    }
    files
}

/// The variables of a container; the content of a Secret's file is represented as `secret/key`.
fn environment(pod: &Value, container: &Value) -> BTreeMap<String, String> {
    assert_eq!(container["envFrom"], json!([{ "configMapRef": { "name": "ecommerce-settings" } }]));
    let mut files = secret_files(pod, container);
    let mut all = texts(&object("ConfigMap", "ecommerce-settings")["data"]);
    for variable in container["env"].as_array().expect("variables") {
        let (name, value) = (text(&variable["name"]), text(&variable["value"]));
        match name.strip_suffix("_FILE") {
            Some(name) => {
                let secret = files.remove(&value).unwrap_or_else(|| panic!("no file {value}"));
                let url = "postgres://postgres:secret@db.example/".to_owned();
                all.insert(name.to_owned(), if secret.starts_with("ecommerce-administrator/") { url } else { secret });
            }
            None => drop(all.insert(name, value)),
        }
    }
    assert!(files.is_empty(), "secrets that nothing reads: {files:?}");
    all
}

fn only_container(pod: &Value) -> &Value {
    let [container] = &pod["spec"]["containers"].as_array().expect("containers")[..] else { panic!("one: {pod}") };
    container
}

#[test]
fn every_pod_runs_without_privileges_on_a_read_only_file_system_with_a_limit_of_memory() {
    let objects = objects("default");
    let pods: Vec<_> = objects.iter().filter_map(pod).collect();
    assert_eq!(pods.len(), services().len() + 3);
    for pod in pods {
        let spec = &pod["spec"];
        let expected = json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        });
        assert_eq!(spec["securityContext"], expected);
        assert_eq!(
            (&spec["automountServiceAccountToken"], &spec["enableServiceLinks"]),
            (&json!(false), &json!(false))
        );
        let containers = spec["containers"].as_array().into_iter().chain(spec["initContainers"].as_array()).flatten();
        for container in containers {
            let closed = json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            });
            assert_eq!(container["securityContext"], closed, "{container}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
            assert!(container["resources"]["requests"]["cpu"].is_string(), "{container}");
            assert_eq!(container["image"], format!("registry.example/ecommerce-saga:{}", env!("CARGO_PKG_VERSION")));
        }
    }
}

#[test]
fn every_service_of_the_code_runs_in_replicas_that_are_probed_and_go_one_after_the_other() {
    let deployments = objects("default").into_iter().filter(|object| object["kind"] == "Deployment");
    let deployments: BTreeSet<String> = deployments.map(|object| text(&object["metadata"]["name"])).collect();
    assert_eq!(deployments, services().into_keys().collect());
    for (name, port) in services() {
        let label = json!({ "app.kubernetes.io/name": name });
        let deployment = object("Deployment", &name);
        let (spec, pod) = (&deployment["spec"], pod(&deployment).expect("a pod"));
        assert!(spec["replicas"].as_u64().expect("a number") >= 2, "{name}");
        assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0, "{name}");
        assert_eq!(spec["selector"]["matchLabels"], label);
        assert_eq!(pod["metadata"]["labels"]["app.kubernetes.io/name"], name);
        let spread: Vec<String> = pod["spec"]["topologySpreadConstraints"]
            .as_array()
            .into_iter()
            .flatten()
            .inspect(|constraint| assert_eq!(constraint["labelSelector"]["matchLabels"], label))
            .map(|constraint| text(&constraint["topologyKey"]))
            .collect();
        assert_eq!(spread, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
        let container = only_container(pod);
        assert_eq!(list(&container["args"]), ["serve", &name]);
        assert_eq!(container["ports"], json!([{ "name": "http", "containerPort": port }]));
        let environment = environment(pod, container);
        assert_runs_as_itself(&name, &environment);
        // Clients need no token unless the values say so.
        assert_holds_its_tokens(&name, &environment, &[]);
        for (probe, path) in
            [("startupProbe", "/health/live/"), ("livenessProbe", "/health/live/"), ("readinessProbe", "/health/")]
        {
            assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "http" }), "{name}: {probe}");
        }
        assert!(container["lifecycle"].is_null(), "{name}: http.drain_delay_ms is the time before a stop");
        let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().expect("seconds");
        assert_time_to_stop(&name, &settings(&environment), grace);

        let service = &object("Service", &name)["spec"];
        assert_eq!(service["clusterIP"], "None", "{name}: one address would pin callers to one replica");
        assert_eq!(service["selector"], label);
        assert_eq!(service["ports"], json!([{ "name": "http", "port": port, "targetPort": "http" }]));
        let budget = &object("PodDisruptionBudget", &name)["spec"];
        assert_eq!(budget["selector"]["matchLabels"], label);
        assert_eq!(budget["maxUnavailable"], 1);
    }
}

#[test]
fn a_service_starts_when_its_database_is_migrated() {
    for name in services().into_keys() {
        let deployment = object("Deployment", &name);
        let pod = pod(&deployment).expect("a pod");
        let [waits] = &pod["spec"]["initContainers"].as_array().expect("one")[..] else { panic!("{name}: one") };
        assert_eq!(list(&waits["args"]), ["wait", &name]);
        let environment = environment(pod, waits);
        assert_holds_no_token(&name, &environment);
        assert!(settings(&environment).is_production(), "{name}");
        let [own, waits] = [&texts(&object("ConfigMap", "ecommerce-settings")["data"]), &environment]
            .map(|variables| variables.keys().cloned().collect::<BTreeSet<_>>());
        let password = format!("ECOMMERCE__SERVICES__{}__DATABASE_PASSWORD", name.to_uppercase());
        assert_eq!(waits.difference(&own).collect::<Vec<_>>(), [&password]);
    }
}

#[test]
fn the_migrations_are_a_job_of_the_administrator_that_may_be_applied_again() {
    use secrecy::ExposeSecret;
    let jobs: Vec<_> = objects("default").into_iter().filter(|object| object["kind"] == "Job").collect();
    let [job] = &jobs[..] else { panic!("one: {jobs:?}") };
    // A job cannot be changed: other contents have another name.
    let name = text(&job["metadata"]["name"]);
    let hash = name.strip_prefix("migrate-").unwrap_or_else(|| panic!("{name}"));
    assert!(hash.len() == 8 && hash.chars().all(|digit| digit.is_ascii_hexdigit()), "{name}");
    assert!(job["spec"]["ttlSecondsAfterFinished"].is_null(), "it would be made and run again");
    let pod = pod(job).expect("a pod");
    assert_eq!(pod["spec"]["restartPolicy"], "OnFailure");
    assert_eq!(list(&only_container(pod)["args"]), ["migrate"]);
    let environment = environment(pod, only_container(pod));
    assert_holds_no_token("migrate", &environment);
    let settings = settings(&environment);
    for service in services().into_keys() {
        let password = settings.service(&service).database_password.expose_secret();
        assert_eq!(password, format!("ecommerce-database-passwords/{service}"));
    }
    assert!(settings.database.url.expose_secret().contains("secret@"), "as the administrator");
}

#[test]
fn the_audit_and_the_tools_have_passwords_and_only_the_tools_a_token() {
    for (name, has_token) in [("audit", false), ("tools", true)] {
        let job = object("CronJob", name);
        let pod = pod(&job).expect("a pod");
        let environment = environment(pod, only_container(pod));
        assert_holds_no_token(name, &environment);
        assert_eq!(environment.contains_key("ECOMMERCE_API_TOKEN"), has_token, "{name}");
        // The commands that call a service: network policies know a new pod only after a moment.
        assert_eq!(environment.contains_key("ECOMMERCE_CONNECT_PATIENCE"), has_token, "{name}");
        let with_password = environment.keys().filter(|name| name.ends_with("__DATABASE_PASSWORD")).count();
        // The audit does not read the catalog.
        assert_eq!(with_password, services().len() - usize::from(name == "audit"), "{name}");
        assert_eq!(job["spec"]["suspend"], has_token, "{name}: the tools are a pattern of jobs");
        assert_eq!(job["spec"]["jobTemplate"]["spec"]["backoffLimit"], 0, "{name}");
    }
}

#[test]
fn the_page_says_how_to_make_every_secret() {
    let page = read("docs/kubernetes.md");
    let mut keys = BTreeSet::new();
    for object in objects("default") {
        assert_ne!(object["kind"], "Secret", "a secret in a file is none");
        let Some(pod) = pod(&object) else { continue };
        for volume in pod["spec"]["volumes"].as_array().expect("volumes") {
            let secret = &volume["secret"];
            let items = secret["items"].as_array().expect("items").iter();
            keys.extend(items.map(|item| (text(&secret["secretName"]), text(&item["key"]))));
        }
    }
    assert_eq!(keys.len(), 1 + 2 + 5, "{keys:?}");
    for (name, key) in keys {
        assert!(page.contains(&format!("create secret generic {name} ")), "{name}");
        assert!(page.contains(&format!("--from-literal={key}=")) || page.contains("--from-literal=$service="), "{key}");
    }
}

/// Returns the settings of a service in its pods.
pub(crate) fn settings_of(service: &str) -> Settings {
    let deployment = object("Deployment", service);
    let pod = pod(&deployment).expect("a pod");
    settings(&environment(pod, only_container(pod)))
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
    for object in objects("default").into_iter().filter(of_traefik) {
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
