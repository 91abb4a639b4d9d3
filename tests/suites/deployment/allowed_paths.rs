//! The HTTPRoute of the Gateway API and the plain Ingress: they cannot exclude paths, so they list those that are public.

use serde_json::Value;

use crate::{
    files::{services, text},
    kubernetes::objects,
    traefik::Destination,
};

/// The place that each service has outside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// A prefix that the Gateway strips.
    Gateway,
    /// A host of its own.
    Ingress,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Gateway, Self::Ingress];

    /// Follows a request for a path of a service to where it leads.
    pub(crate) fn leads_to(self, service: &str, path: &str) -> Option<Destination> {
        match self {
            Self::Gateway => gateway(&format!("/{service}{path}")),
            Self::Ingress => ingress(service, path),
        }
    }
}

/// Returns whether a path begins with all elements of a prefix.
fn has_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn gateway(path: &str) -> Option<Destination> {
    let routes = objects("gateway");
    assert_eq!(routes.len(), services().len());
    let rules = routes.iter().flat_map(|route| route["spec"]["rules"].as_array().expect("rules"));
    let mut matching = rules.flat_map(|rule| {
        let matches = rule["matches"].as_array().expect("matches").iter();
        let value = |one: &Value| (text(&one["path"]["type"]), text(&one["path"]["value"]));
        matches.map(value).filter(|(kind, value)| is_match(kind, path, value)).map(move |(_, value)| (value, rule))
    });
    let (matched, rule) = matching.next()?;
    assert!(matching.next().is_none(), "{path}: two rules match");
    let [backend] = &rule["backendRefs"].as_array().expect("backends")[..] else { panic!("one: {rule}") };
    let service = text(&backend["name"]);
    assert_eq!(services()[&service], backend["port"]);
    let filters = rule["filters"].as_array().expect("filters");
    let prefix = &filters[0]["requestHeaderModifier"]["set"][0];
    assert_eq!(
        (text(&prefix["name"]), text(&prefix["value"])),
        ("X-Forwarded-Prefix".to_owned(), format!("/{service}"))
    );
    let rewrite = &filters[1]["urlRewrite"]["path"];
    let path = match text(&rewrite["type"]).as_str() {
        "ReplaceFullPath" => text(&rewrite["replaceFullPath"]),
        "ReplacePrefixMatch" => {
            let rest = path.strip_prefix(&matched).expect("it matched");
            format!("{}{rest}", text(&rewrite["replacePrefixMatch"]))
        }
        other => panic!("{other}"),
    };
    Some(Destination { service, path })
}

fn is_match(kind: &str, path: &str, value: &str) -> bool {
    match kind {
        "Exact" => path == value,
        "PathPrefix" | "Prefix" => has_prefix(path, value),
        other => panic!("{other}"),
    }
}

/// Each service has the host `<service>.shop.example`.
fn ingress(service: &str, path: &str) -> Option<Destination> {
    let objects = objects("ingress");
    let [ingress] = &objects[..] else { panic!("one: {objects:?}") };
    let mut rules = ingress["spec"]["rules"].as_array().expect("rules").iter();
    let rule = rules.find(|rule| rule["host"] == format!("{service}.shop.example"))?;
    let mut paths = rule["http"]["paths"].as_array().expect("paths").iter();
    let found = paths.find(|one| is_match(&text(&one["pathType"]), path, &text(&one["path"])))?;
    assert_eq!(found["backend"]["service"]["port"]["name"], "http");
    Some(Destination { service: text(&found["backend"]["service"]["name"]), path: path.to_owned() })
}

#[test]
fn what_is_for_operators_on_the_inside_is_not_routed_and_what_is_public_is() {
    for way in Way::ALL {
        for service in services().into_keys() {
            let inside = ["/debug", "/debug/", "/debug/actors", "//debug/faults", "/metrics", "/metrics/", "//metrics"];
            for path in
                inside.into_iter().chain(["/api", "/api/dtmsvr/submit", "//api/dtmsvr/all", "/calls", "/calls/1"])
            {
                assert_eq!(way.leads_to(&service, path), None, "{way:?}: {service} {path}");
            }
            for path in ["/docs", "/openapi.json", "/health/", "/health/live/"] {
                let expected = Destination { service: service.clone(), path: path.to_owned() };
                assert_eq!(way.leads_to(&service, path), Some(expected), "{way:?}: {service} {path}");
            }
        }
        for path in ["/", "/saga/transaction", "/ui/", "/ui/api/services", "/sagas"] {
            let expected = Destination { service: "orchestrator".to_owned(), path: path.to_owned() };
            assert_eq!(way.leads_to("orchestrator", path), Some(expected), "{way:?}: {path}");
        }
    }
}
