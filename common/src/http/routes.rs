//! Routes: templates, methods, descriptions and handlers.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use hyper::Method;

use super::{Access, ApiError, Query, Request, Response, openapi::Description};

pub(super) mod table;

type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, ApiError>> + Send + Sync>;

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
    /// The access of requests without this query parameter.
    pub(super) without_query: Option<(&'static str, Access)>,
    /// The access of requests about a saga without a secret.
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
