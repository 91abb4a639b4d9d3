//! The configuration that each deployment gives to Traefik, from labels, files or objects: routers, middlewares, services
//! and transports, with the names that they use for each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::{Map, Value, json};

use crate::{
    files::{list, parse, path, read, services, substitute, text, texts, variables},
    rule::{Request, Rule},
};

/// The deployments behind Traefik that are described by labels: file, provider, and place of a service's labels.
const BY_LABELS: [(&str, &str, &str); 2] =
    [("docker-compose.prod.yml", "docker", "/labels"), ("docker/swarm.yml", "swarm", "/deploy/labels")];

/// A Traefik with its configuration. Names have the form `name@provider`, keys are in lowercase.
pub(crate) struct Traefik {
    /// The deployment.
    pub(crate) name: &'static str,
    entry_points: BTreeSet<String>,
    routers: BTreeMap<String, Value>,
    middlewares: BTreeMap<String, Value>,
    services: BTreeMap<String, Value>,
    transports: BTreeMap<String, Value>,
}

/// The destination of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) service: String,
    /// The path that it receives.
    pub(crate) path: String,
}

impl Traefik {
    /// Reads all deployments behind Traefik.
    pub(crate) fn all() -> Vec<Self> {
        BY_LABELS
            .map(|of| Self::by_labels(of, &variables()))
            .into_iter()
            .chain([crate::kubernetes::traefik()])
            .collect()
    }

    /// Reads those by labels, with other variables.
    pub(crate) fn with_variables(variables: &BTreeMap<String, String>) -> Vec<Self> {
        BY_LABELS.map(|of| Self::by_labels(of, variables)).into()
    }

    fn by_labels((file, provider, place): (&'static str, &str, &str), variables: &BTreeMap<String, String>) -> Self {
        let document = parse(file, &substitute(&read(file), variables));
        let mut traefik = Self::new(file, entry_points(&list(&document["services"]["traefik"]["command"])));
        for (container, service) in document["services"].as_object().expect("services") {
            if let Some(labels) = service.pointer(place) {
                assert_eq!(labels["traefik.enable"], "true", "{file}: {container}");
                traefik.add(provider, &tree(&texts(labels)));
            }
        }
        let environment = document["services"]["traefik"]["environment"].as_object().expect("variables");
        // A value of nothing is an empty text, as for compose.
        let environment = environment.iter().map(|(name, value)| match value {
            Value::Null => (name.clone(), String::new()),
            value => (name.clone(), text(value)),
        });
        let environment = environment.collect();
        for template in templates() {
            let rendered = render(&read(&format!("docker/traefik/{template}")), &environment);
            traefik.add("file", &lowercase(&parse(&template, &rendered)));
        }
        traefik
    }

    pub(crate) fn new(name: &'static str, entry_points: BTreeSet<String>) -> Self {
        let (routers, middlewares, services, transports) = Default::default();
        Self { name, entry_points, routers, middlewares, services, transports }
    }

    /// Adds the configuration of a provider.
    pub(crate) fn add(&mut self, provider: &str, configuration: &Value) {
        let sections = [
            ("routers", &mut self.routers),
            ("middlewares", &mut self.middlewares),
            ("services", &mut self.services),
            ("serverstransports", &mut self.transports),
        ];
        let known = sections.map(|(section, all)| {
            for (name, value) in configuration["http"][section].as_object().into_iter().flatten() {
                all.insert(format!("{name}@{provider}"), value.clone());
            }
            section
        });
        let keys = |value: &Value| value.as_object().into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
        let mut unknown = keys(configuration);
        unknown.retain(|key| !["http", "tls", "enable"].contains(&key.as_str()));
        unknown.extend(keys(&configuration["http"]).into_iter().filter(|section| !known.contains(&section.as_str())));
        for router in configuration["http"]["routers"].as_object().into_iter().flatten().map(|(_, router)| router) {
            let checked = ["rule", "entrypoints", "middlewares", "service", "priority"];
            unknown.extend(keys(router).into_iter().filter(|key| !checked.contains(&key.as_str())));
        }
        assert_eq!(unknown, Vec::<String>::new(), "{}: nothing checks them", self.name);
    }

    /// Returns what Traefik would reject or not find.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (name, router) in &self.routers {
            let mut mistake = |text: String| mistakes.push(format!("{}: {name}: {text}", self.name));
            if let Err(error) = Rule::parse(&text(&router["rule"])) {
                mistake(error);
            }
            for entry_point in names(&router["entrypoints"]) {
                if !self.entry_points.contains(&entry_point) {
                    mistake(format!("no entry point {entry_point}"));
                }
            }
            for middleware in names(&router["middlewares"]) {
                if !self.middlewares.contains_key(&qualified(&middleware, name)) {
                    mistake(format!("no middleware {middleware}"));
                }
            }
            let service = text(&router["service"]);
            let is_internal = ["api@internal", "noop@internal"].contains(&service.as_str());
            if !is_internal && !self.services.contains_key(&qualified(&service, name)) {
                mistake(format!("no service {service}"));
            }
        }
        for (name, service) in &self.services {
            let transport = text(&service["loadbalancer"]["serverstransport"]);
            if !self.transports.contains_key(&qualified(&transport, name)) {
                mistakes.push(format!("{}: {name}: no transport {transport}", self.name));
            }
        }
        mistakes
    }

    /// Finds the router of a request: among those that match, the one with the highest priority, by default the length
    /// of its rule.
    pub(crate) fn router(&self, entry_point: &str, request: &Request<'_>) -> Option<&str> {
        let matching = self.routers.iter().filter(|(name, router)| {
            let rule = Rule::parse(&text(&router["rule"])).unwrap_or_else(|error| panic!("{name}: {error}"));
            names(&router["entrypoints"]).iter().any(|name| name == entry_point) && rule.matches(request)
        });
        let priority = |router: &Value| router["priority"].as_u64().unwrap_or(text(&router["rule"]).len() as u64);
        matching.max_by_key(|(_, router)| priority(router)).map(|(name, _)| name.as_str())
    }

    /// Follows a request to its service.
    pub(crate) fn destination(&self, entry_point: &str, request: &Request<'_>) -> Option<Destination> {
        let name = self.router(entry_point, request)?;
        let router = &self.routers[name];
        let mut path = request.path().to_owned();
        for middleware in names(&router["middlewares"]) {
            for prefix in names(&self.middlewares[&qualified(&middleware, name)]["stripprefix"]["prefixes"]) {
                if let Some(rest) = path.strip_prefix(&prefix) {
                    path = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
                    break;
                }
            }
        }
        Some(Destination { service: text(&router["service"]), path })
    }

    /// Returns a router's middlewares in order, each with its settings.
    pub(crate) fn middlewares_of(&self, router: &str) -> Vec<(String, &Value)> {
        let named = names(&self.routers[router]["middlewares"]);
        named.into_iter().map(|name| (name.clone(), &self.middlewares[&qualified(&name, router)])).collect()
    }

    /// Returns the transport of a service.
    pub(crate) fn transport_of(&self, service: &str) -> &Value {
        &self.transports[&qualified(&text(&self.services[service]["loadbalancer"]["serverstransport"]), service)]
    }

    /// Returns the names of the routers that lead to a service of the code, and of those services.
    pub(crate) fn of_services(&self) -> Vec<(String, String)> {
        let routers = self.routers.iter().filter(|(_, router)| services().contains_key(&text(&router["service"])));
        routers.map(|(name, router)| (name.clone(), qualified(&text(&router["service"]), name))).collect()
    }

    pub(crate) fn service(&self, name: &str) -> &Value {
        &self.services[name]
    }

    /// Changes a name wherever a router or a service uses it.
    pub(crate) fn rename_uses(&mut self, name: &str, other: &str) {
        for section in [&mut self.routers, &mut self.services] {
            for value in section.values_mut() {
                let replaced = value.to_string().replace(name, other);
                *value = serde_json::from_str(&replaced).expect("still JSON");
            }
        }
    }
}

/// Returns the names in a list, or in a text with commas.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(_) => list(value),
        value => text(value).split(',').map(|name| name.trim().to_owned()).collect(),
    }
}

/// Adds the provider of `user` to a name without one.
fn qualified(name: &str, user: &str) -> String {
    let provider = user.rsplit_once('@').expect("a full name").1;
    if name.contains('@') { name.to_owned() } else { format!("{name}@{provider}") }
}

/// Makes nested objects of `traefik.a.b.c` labels.
fn tree(labels: &BTreeMap<String, String>) -> Value {
    let mut tree = json!({});
    for (label, value) in labels {
        let path = label.strip_prefix("traefik.").unwrap_or_else(|| panic!("{label} is not for Traefik"));
        let place = path.split('.').fold(&mut tree, |place, key| &mut place[key.to_lowercase()]);
        *place = value.clone().into();
    }
    tree
}

/// Returns a value with its keys in lowercase.
pub(crate) fn lowercase(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.to_lowercase(), lowercase(value))).collect(),
        value => value.clone(),
    }
}

fn entry_points(command: &[String]) -> BTreeSet<String> {
    let named = command.iter().filter_map(|option| option.strip_prefix("--entryPoints.")?.split_once(".address="));
    named.map(|(name, _)| name.to_owned()).collect()
}

/// The files of the file provider.
pub(crate) fn templates() -> Vec<String> {
    let folder = fs::read_dir(path("docker/traefik")).expect("the folder");
    let mut names: Vec<String> =
        folder.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Renders a file: `{{ env "NAME" }}`, and `{{ if env "NAME" }}` to `{{ end }}`.
fn render(template: &str, environment: &BTreeMap<String, String>) -> String {
    let variable =
        |name: &str| environment.get(name).unwrap_or_else(|| panic!("{name} is not passed to Traefik")).clone();
    let mut rendered = template.to_owned();
    while let Some((before, rest)) = rendered.split_once("{{ if env \"") {
        let (name, rest) = rest.split_once("\" }}").expect("the end of a condition");
        let (inner, after) = rest.split_once("{{ end }}").expect("the end of a block");
        let inner = if variable(name).is_empty() { "" } else { inner };
        rendered = format!("{before}{inner}{after}");
    }
    while let Some((before, rest)) = rendered.split_once("{{ env \"") {
        let (name, after) = rest.split_once("\" }}").expect("the end of a variable");
        rendered = format!("{before}{}{after}", variable(name));
    }
    assert!(!rendered.contains("{{"), "an unknown expression: {rendered}");
    rendered
}
