//! The table of routes: path templates, methods, who may call.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use warp::http::Method;

use super::{ApiError, Request, Response};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Who has the API token, where one is set; other services by their service token too.
    Client,
    /// Who has the service token, where one is set.
    Service,
    /// Who has the operator token; without one set, anybody, except in the production profile: nobody.
    Operator,
}

pub(super) type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, ApiError>> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) access: Access,
    pub(super) handler: Handler,
}

/// What answers on one path: an endpoint for each method.
#[derive(Clone)]
pub(super) struct PathEntry {
    pub(super) template: &'static str,
    pub(super) endpoints: Vec<(Method, Endpoint)>,
}

/// A service's routes. Each path is answered with and without its trailing slash.
#[derive(Clone)]
pub struct Routes {
    service: &'static str,
    paths: BTreeMap<&'static str, PathEntry>,
}

impl Routes {
    /// Makes an empty table.
    pub fn new(service: &'static str) -> Self {
        Self { service, paths: BTreeMap::new() }
    }

    /// Adds a route for GET (and HEAD).
    pub fn get<F, Fut>(self, template: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        self.add(Method::GET, template, access, handler)
    }

    /// Adds a route for POST.
    pub fn post<F, Fut>(self, template: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        self.add(Method::POST, template, access, handler)
    }

    /// Adds a route for PUT.
    pub fn put<F, Fut>(self, template: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        self.add(Method::PUT, template, access, handler)
    }

    /// Adds a route for DELETE.
    pub fn delete<F, Fut>(self, template: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        self.add(Method::DELETE, template, access, handler)
    }

    fn add<F, Fut>(mut self, method: Method, template: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let entry = self.paths.entry(template).or_insert_with(|| PathEntry { template, endpoints: Vec::new() });
        entry.endpoints.push((method, Endpoint { access, handler }));
        self
    }

    /// Adds another table's routes.
    pub fn merge(mut self, other: Routes) -> Self {
        self.paths.extend(other.paths);
        self
    }

    /// Makes what finds a path's entry. Templates are constants: two that contradict each other are found by the first
    /// test that starts the service.
    pub(super) fn into_router(self) -> matchit::Router<PathEntry> {
        let mut router = matchit::Router::new();
        for entry in self.paths.into_values() {
            let bare = match entry.template.trim_end_matches('/') {
                "" => "/",
                bare => bare,
            };
            router
                .insert(bare, entry.clone())
                .unwrap_or_else(|error| panic!("{} {}: {error}", self.service, entry.template));
        }
        router
    }
}

impl PathEntry {
    pub(super) fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        let wanted = if *method == Method::HEAD { &Method::GET } else { method };
        self.endpoints.iter().find(|(known, _)| known == wanted).map(|(_, endpoint)| endpoint)
    }

    pub(super) fn allow(&self) -> String {
        let mut names: Vec<&str> = self.endpoints.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.sort_unstable();
        names.join(", ")
    }
}
