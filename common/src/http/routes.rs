//! Routes: templates, methods, descriptions and handlers, as a list and as a search table.

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use hyper::{Method, header::HeaderValue};
use matchit::Router;
use percent_encoding::percent_decode_str;

use super::{ApiError, Params, Query, Request, Response, metrics::EndpointMetrics, openapi::Description};

type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, ApiError>> + Send + Sync>;

/// The callers of a route, weakest first. The module `auth` decides which tokens that means in a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Public,
    /// Clients: everyone, unless an API token is set.
    Client,
    /// Clients that hold the API token.
    KnownClient,
    /// Other services.
    Service,
    /// Operators.
    Operator,
}

impl Access {
    /// Returns the name of the access in the API description.
    pub(super) fn name(self) -> &'static str {
        match self {
            Access::Public => "public",
            Access::Client => "client",
            Access::KnownClient => "known client",
            Access::Service => "service",
            Access::Operator => "operator",
        }
    }
}

/// Whether admission limits the route's requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Limited, and closed to changes while the service drains.
    Limited,
    /// Always answered: the routes needed to see why others are not.
    Open,
}

/// The routes of a service.
#[derive(Clone)]
pub struct Routes {
    pub(super) service: &'static str,
    /// The purpose of the service, in Markdown.
    pub(super) about: &'static str,
    pub(super) routes: Vec<Route>,
}

#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) template: &'static str,
    pub(super) access: Access,
    pub(super) exceptions: Exceptions,
    pub(super) admission: Admission,
    /// Whether the token may come as the password of Basic authentication.
    pub(super) basic: bool,
    pub(super) describe: fn() -> Description,
    pub(super) handler: Handler,
}

/// The requests of a route that need another access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions {
    /// Those without this query parameter.
    pub(super) without_query: Option<(&'static str, Access)>,
    /// Those about a saga without a secret.
    pub(super) without_secret: Option<Access>,
}

impl Routes {
    /// Creates an empty list of routes.
    pub fn new(service: &'static str) -> Self {
        Self { service, about: "", routes: Vec::new() }
    }

    /// Sets the purpose of the service, at the head of its API description.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Adds a GET, which answers HEAD too. A template is a path with parameters, `/payments/{payment_id}/`; a last
    /// parameter `{*name}` matches the rest of the path, slashes included. `describe` returns the route's part of the
    /// API description (see [`openapi`](super::openapi)).
    #[must_use]
    pub fn get<F, Fut>(self, template: &'static str, access: Access, describe: fn() -> Description, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        self.route(Method::GET, template, access, Admission::Limited, describe, handler)
    }

    /// Adds a POST.
    #[must_use]
    pub fn post<F, Fut>(self, template: &'static str, access: Access, describe: fn() -> Description, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        self.route(Method::POST, template, access, Admission::Limited, describe, handler)
    }

    /// Adds a PUT.
    #[must_use]
    pub fn put<F, Fut>(self, template: &'static str, access: Access, describe: fn() -> Description, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        self.route(Method::PUT, template, access, Admission::Limited, describe, handler)
    }

    /// Adds a DELETE.
    #[must_use]
    pub fn delete<F, Fut>(
        self,
        template: &'static str,
        access: Access,
        describe: fn() -> Description,
        handler: F,
    ) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        self.route(Method::DELETE, template, access, Admission::Limited, describe, handler)
    }

    /// Sets the access to the last route of requests without this query parameter, which names one saga.
    ///
    /// # Panics
    /// If there is no route.
    #[must_use]
    pub fn without_query(self, parameter: &'static str, access: Access) -> Self {
        self.with_exceptions(|exceptions| exceptions.without_query = Some((parameter, access)))
    }

    /// Sets the access to the last route for sagas without a secret; [`Request::present_secret`] demands it.
    ///
    /// # Panics
    /// If there is no route.
    #[must_use]
    pub fn without_secret(self, access: Access) -> Self {
        self.with_exceptions(|exceptions| exceptions.without_secret = Some(access))
    }

    fn with_exceptions(mut self, change: impl FnOnce(&mut Exceptions)) -> Self {
        change(&mut self.routes.last_mut().expect("a route was added before").exceptions);
        self
    }

    /// Lets the token of all routes so far come as the password of Basic authentication, for clients that know a URL only.
    #[must_use]
    pub fn taking_basic(mut self) -> Self {
        self.routes.iter_mut().for_each(|route| route.basic = true);
        self
    }

    /// Adds all routes of another list.
    #[must_use]
    pub fn merge(mut self, other: Routes) -> Self {
        self.routes.extend(other.routes);
        self
    }

    pub(super) fn route<F, Fut>(
        mut self,
        method: Method,
        template: &'static str,
        access: Access,
        admission: Admission,
        describe: fn() -> Description,
        handler: F,
    ) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| handler(request).boxed());
        let exceptions = Exceptions::default();
        self.routes.push(Route { method, template, access, exceptions, admission, basic: false, describe, handler });
        self
    }
}

/// The search table of a service's routes.
pub(super) struct Table {
    /// The endpoints of a path, by the most specific template.
    router: Router<Vec<Arc<Endpoint>>>,
    /// All endpoints; templates with literal segments come first.
    all: Vec<Arc<Endpoint>>,
}

/// A method of a path.
pub(super) struct Endpoint {
    pub(super) route: Route,
    pub(super) metrics: EndpointMetrics,
    places: Vec<&'static str>,
}

/// The result of a search by path and method.
pub(super) enum Found<'a> {
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
    pub(super) fn of(routes: Routes) -> Self {
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
    pub(super) fn methods(&self) -> HeaderValue {
        allow(self.all.iter())
    }

    pub(super) fn find(&self, method: &Method, path: &str) -> Found<'_> {
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

impl Route {
    /// Returns the access that a request with this query needs. A query that cannot be parsed names nothing.
    pub(super) fn access_for(&self, raw_query: &str) -> Access {
        match self.exceptions.without_query {
            Some((parameter, access)) if !names(raw_query, parameter) => access,
            Some(_) | None => self.access,
        }
    }
}

fn names(raw_query: &str, parameter: &str) -> bool {
    Query::parse(raw_query).is_some_and(|query| query.get(parameter).is_some())
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

    pub(super) fn template(&self) -> &'static str {
        self.route.template
    }

    /// Returns whether the endpoint only reads.
    pub(super) fn is_read(&self) -> bool {
        self.route.method == Method::GET
    }
}

/// The label of all methods without one of their own.
pub(super) const OTHER_METHOD: &str = "other";

/// Returns a method as a metrics label. Clients can invent methods, and the number of labels must stay bounded.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER_METHOD,
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
