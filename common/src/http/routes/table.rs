//! The search table of a service's routes.

use std::{collections::BTreeMap, sync::Arc};

use hyper::{Method, header::HeaderValue};
use matchit::Router;
use percent_encoding::percent_decode_str;

use super::{Route, Routes, method_label};
use crate::http::{Params, metrics::EndpointMetrics};

/// The search table of a service's routes.
pub(in crate::http) struct Table {
    /// The endpoints of a path, by the most specific template.
    router: Router<Vec<Arc<Endpoint>>>,
    /// All endpoints; templates with literal segments come first.
    all: Vec<Arc<Endpoint>>,
}

/// A method of a path.
pub(in crate::http) struct Endpoint {
    pub(in crate::http) route: Route,
    pub(in crate::http) metrics: EndpointMetrics,
    places: Vec<&'static str>,
}

/// The result of a search by path and method.
pub(in crate::http) enum Found<'a> {
    Endpoint(&'a Endpoint, Params),
    /// The path exists without this method.
    OtherMethods {
        template: &'static str,
        allow: HeaderValue,
    },
    /// The path does not decode to UTF-8.
    Unreadable,
    Nothing,
}

impl Table {
    /// Builds the table.
    ///
    /// # Panics
    /// If two routes are equal, or a template is invalid: a programming error, found at start.
    pub(in crate::http) fn of(routes: Routes) -> Self {
        let service = routes.service;
        // By template without parameter names: GET and POST of a path may name them differently.
        let mut paths: BTreeMap<String, Vec<Arc<Endpoint>>> = BTreeMap::new();
        for route in routes.routes {
            let (shape, places) = shape(route.template);
            let metrics = EndpointMetrics::new(service, route.template, method_label(&route.method));
            let endpoints = paths.entry(shape).or_default();
            let twin = endpoints.iter().find(|endpoint| endpoint.route.method == route.method);
            assert!(twin.is_none(), "{} {} is defined twice", route.method, route.template);
            endpoints.push(Arc::new(Endpoint { route, metrics, places }));
        }
        let all = paths.values().flatten().cloned().collect();
        let mut router = Router::new();
        for endpoints in paths.into_values() {
            let template = endpoints[0].route.template;
            if let Err(error) = router.insert(without_slash(template), endpoints) {
                panic!("the template {template} is invalid: {error}");
            }
        }
        Self { router, all }
    }

    /// Returns all methods that the service's paths have.
    pub(in crate::http) fn methods(&self) -> HeaderValue {
        allow(self.all.iter())
    }

    pub(in crate::http) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let path = without_slash(path);
        let Ok(matched) = self.router.at(path) else { return Found::Nothing };
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        if let Some(endpoint) = matched.value.iter().find(|endpoint| endpoint.route.method == *wanted) {
            return endpoint.found(matched.params.iter().map(|(_, value)| value));
        }
        // The most specific template lacks the method. Another may have it: an id can equal a literal segment of a
        // route.
        let fitting: Vec<_> =
            self.all.iter().filter_map(|endpoint| Some((endpoint, values(endpoint.template(), path)?))).collect();
        match fitting.iter().find(|(endpoint, _)| endpoint.route.method == *wanted) {
            Some((endpoint, values)) => endpoint.found(values.iter().copied()),
            None => Found::OtherMethods {
                template: matched.value[0].template(),
                allow: allow(fitting.iter().map(|(endpoint, _)| *endpoint)),
            },
        }
    }
}

impl Endpoint {
    fn found<'a>(&self, values: impl Iterator<Item = &'a str>) -> Found<'_> {
        let mut params = Vec::with_capacity(self.places.len());
        for (place, value) in self.places.iter().zip(values) {
            match percent_decode_str(value).decode_utf8() {
                Ok(value) => params.push((*place, value.into_owned())),
                Err(_) => return Found::Unreadable,
            }
        }
        Found::Endpoint(self, Params(params))
    }

    pub(in crate::http) fn template(&self) -> &'static str {
        self.route.template
    }

    /// Returns whether the endpoint only reads.
    pub(in crate::http) fn is_read(&self) -> bool {
        self.route.method == Method::GET
    }
}

/// Removes the trailing slash, which does not matter.
fn without_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        None | Some("") => path,
        Some(rest) => rest,
    }
}

/// Returns a template without its parameter names, and the names.
fn shape(template: &'static str) -> (String, Vec<&'static str>) {
    let mut places = Vec::new();
    let segments: Vec<&str> = without_slash(template)
        .split('/')
        .map(|segment| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(place) if place.starts_with('*') => {
                places.push(&place[1..]);
                "{*}"
            }
            Some(place) => {
                places.push(place);
                "{}"
            }
            None => segment,
        })
        .collect();
    (segments.join("/"), places)
}

/// Returns the parameter values of a path, if it matches the template.
fn values<'a>(template: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let (mut values, mut rest) = (Vec::new(), Some(path));
    for segment in without_slash(template).split('/') {
        let left = rest?;
        let (given, after) = left.split_once('/').map_or((left, None), |(given, after)| (given, Some(after)));
        rest = after;
        if segment.starts_with("{*") && !left.is_empty() {
            values.push(left);
            return Some(values);
        } else if segment.starts_with('{') && !given.is_empty() {
            values.push(given);
        } else if segment != given {
            return None;
        }
    }
    rest.is_none().then_some(values)
}

fn allow<'a>(endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> HeaderValue {
    let mut methods: Vec<&str> = endpoints.map(|endpoint| endpoint.route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.dedup();
    HeaderValue::try_from(methods.join(", ")).expect("methods are tokens")
}
