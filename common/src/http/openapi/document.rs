//! The document: all descriptions of a service, assembled on first use.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use hyper::Method;
use serde_json::json;
use utoipa::openapi::{
    Components, Info, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, Server, Tag,
    extensions::Extensions,
    path::{HttpMethod, Operation, OperationBuilder, ParameterIn},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    tag::TagBuilder,
};

use super::{
    Access, Described, Description, EVERY_SERVICE, Header, OPERATORS, Routes,
    common_answers::{self, CommonAnswer},
    description::Schemas,
};

/// Returns whether routes of an access need no token in the current configuration.
pub(in crate::http) type Openness = Arc<dyn Fn(Access) -> bool + Send + Sync>;

/// Rules of every path, stated once.
const RULES: &str = "\
Every path works with and without its trailing slash, and every GET route answers HEAD too. Errors are \
`application/problem+json` (RFC 9457). Unknown fields of a body are ignored. Times are RFC 3339 in UTC.\n\n\
Every answer carries `X-Request-Id` (that of the request, or a new one), which identifies the request in the logs, \
and `traceparent` (W3C Trace Context), which continues the trace of the request.";

/// The description of a service.
pub(in crate::http) struct Document(LazyLock<OpenApi, Box<dyn FnOnce() -> OpenApi + Send + Sync>>);

impl Document {
    /// Prepares the document of these routes.
    pub(super) fn of(routes: &Routes, is_open: Openness) -> Self {
        let (service, about) = (routes.service, routes.about);
        let described: Vec<Described> = routes.routes.iter().map(Described::of).collect();
        Self(LazyLock::new(Box::new(move || put_together(service, about, &described, &is_open))))
    }

    /// Returns the document for a client behind a path prefix, which may be empty.
    pub(super) fn behind(&self, prefix: &str) -> OpenApi {
        let mut document = self.0.clone();
        document.servers = Some(vec![Server::new(if prefix.is_empty() { "/" } else { prefix })]);
        document
    }
}

/// # Panics
/// If descriptions contradict each other or their routes: a programming error, found by the contract suite.
fn put_together(service: &'static str, about: &'static str, routes: &[Described], is_open: &Openness) -> OpenApi {
    let mut schemas = Schemas::default();
    let mut paths = Paths::new();
    let mut ids = BTreeSet::new();
    for route in routes {
        let description = (route.describe)();
        assert!(ids.insert(description.id), "two routes have the id {}", description.id);
        check_places(route, &description);
        schemas.merge(description.schemas.clone());
        let method = http_method(&route.method);
        paths.add_path_operation(path(route.template), vec![method], operation(service, route, description, is_open));
    }
    let mut components = Components::new();
    for answer in CommonAnswer::ALL {
        components.responses.insert(answer.name(), answer.response(&mut schemas).into());
    }
    components.schemas = schemas.0;
    for token in Token::ALL {
        components.add_security_scheme(token.scheme(), token.description());
    }
    OpenApiBuilder::new()
        .info(info(service, about))
        .tags(Some(tags(service)))
        .paths(paths)
        .components(Some(components))
        .build()
}

fn info(service: &str, about: &str) -> Info {
    InfoBuilder::new()
        .title(format!("E-Commerce Saga: {service}"))
        .version(crate::build::VERSION)
        .description(Some(format!("{about}\n\n{RULES}").trim().to_owned()))
        .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build()))
        .build()
}

fn tags(service: &str) -> Vec<Tag> {
    let tag = |name: &str, text| TagBuilder::new().name(name).description(Some(text)).build();
    vec![
        tag(service, "The operations of this service."),
        tag(EVERY_SERVICE, "Operations common to all services."),
        tag(OPERATORS, "Operations for operators, not routed by any proxy."),
    ]
}

fn operation(service: &str, route: &Described, description: Description, is_open: &Openness) -> Operation {
    let front: Vec<CommonAnswer> =
        CommonAnswer::ALL.into_iter().filter(|answer| answer.concerns(route, &description)).collect();
    let mut operation = OperationBuilder::new()
        .operation_id(Some(description.id))
        .summary(Some(description.summary))
        .description(description.detail)
        .tag(description.tag.unwrap_or(service))
        .request_body(description.body);
    for parameter in description.parameters {
        operation = operation.parameter(parameter);
    }
    let own: BTreeSet<u16> = description.answers.keys().copied().collect();
    for (status, answer) in description.answers {
        operation = operation.response(status.to_string(), answer);
    }
    for answer in front.into_iter().filter(|answer| !own.contains(&answer.status())) {
        operation = operation.response(answer.status().to_string(), common_answers::reference(answer));
    }
    for requirement in security(route, is_open) {
        operation = operation.security(requirement);
    }
    operation.extensions(Some(callers(route))).build()
}

/// The kinds of tokens.
#[derive(Clone, Copy)]
enum Token {
    Api,
    Service,
    Operator,
    Secret,
}

impl Token {
    const ALL: [Self; 4] = [Self::Api, Self::Service, Self::Operator, Self::Secret];

    fn scheme(self) -> &'static str {
        match self {
            Self::Api => "apiToken",
            Self::Service => "serviceToken",
            Self::Operator => "operatorToken",
            Self::Secret => "sagaSecret",
        }
    }

    fn description(self) -> SecurityScheme {
        let text = match self {
            Self::Api => "The token of clients, `auth.api_token`.",
            Self::Service => "The token for calls between services, `auth.service_token`.",
            Self::Operator => "The token of operators, `auth.operator_token`.",
            Self::Secret => {
                let text = "The secret that the saga was started with.";
                return SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                    Header::SagaSecret.name(),
                    text,
                )));
            }
        };
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
    }
}

/// Returns the security requirements of a route; any one of them suffices. An access without a query parameter accepts no
/// token that the route's own does not accept.
fn security(route: &Described, is_open: &Openness) -> Vec<SecurityRequirement> {
    let requirement = |token: Token| SecurityRequirement::new(token.scheme(), Vec::<String>::new());
    match route.exceptions.without_secret {
        Some(access) if !is_open(access) => {
            let secret = is_open(route.access).then_some(Token::Secret);
            secret.iter().chain(tokens(access)).copied().map(requirement).collect()
        }
        Some(_) | None => {
            let without = is_open(route.access).then(SecurityRequirement::default);
            without.into_iter().chain(tokens(route.access).iter().copied().map(requirement)).collect()
        }
    }
}

fn tokens(access: Access) -> &'static [Token] {
    match access {
        Access::Public => &[],
        Access::Client => &[Token::Api, Token::Service, Token::Operator],
        Access::KnownClient => &[Token::Api, Token::Operator],
        Access::Service => &[Token::Service, Token::Operator],
        Access::Operator => &[Token::Operator],
    }
}

/// Returns the declared callers of a route, whatever the profile and the tokens that are set.
fn callers(route: &Described) -> Extensions {
    let mut callers = json!({ "access": route.access.name() });
    if let Some((parameter, access)) = route.exceptions.without_query {
        callers["without_query"] = json!({ "parameter": parameter, "access": access.name() });
    }
    if let Some(access) = route.exceptions.without_secret {
        callers["without_secret"] = json!({ "access": access.name() });
    }
    Extensions::from_iter([("x-callers", callers)])
}

/// A parameter for the rest of the path becomes an ordinary parameter: OpenAPI has no other kind.
fn path(template: &str) -> String {
    template.replace("{*", "{")
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::GET => HttpMethod::Get,
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        _ => unreachable!("routes have no other methods"),
    }
}

fn check_places(route: &Described, description: &Description) {
    let template = path(route.template);
    let places: BTreeSet<&str> = template
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')))
        .collect();
    let parameters = description.parameters.iter().filter(|parameter| parameter.parameter_in == ParameterIn::Path);
    let described: BTreeSet<&str> = parameters.map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(places, described, "{} does not describe the path parameters of {template}", description.id);
    let succeeds = description.answers.keys().any(|status| (200..300).contains(status));
    assert!(succeeds, "{} describes no success", description.id);
}
