//! The API description of a service: `GET /openapi.json` (OpenAPI 3.1) and `GET /docs`, a self-contained page that
//! shows it without network access to any other server.
//!
//! ```text
//! Routes ── each with its Description ──► Document ──► /openapi.json ──► /docs (page)
//!               schemas of our own types     + answers of the front on every route: 401, 405, 413, 500 …
//! ```
//! A route cannot be listed without a description, so the document is complete by construction. To describe a new
//! route:
//!
//! 1. Derive [`utoipa::ToSchema`] on the type of its answer. Its doc comments appear in the document. Mark an `Option`
//!    that is always present (null, not omitted) with `#[schema(required)]`.
//! 2. Write a function that returns its [`Description`], beside the routes of its service, and name it in the list:
//!
//! ```
//! use common::http::{Access, Request, Response, Routes, StatusCode, json};
//! use common::http::{ApiError, openapi::{Description, schema}};
//!
//! #[derive(serde::Serialize, utoipa::ToSchema)]
//! struct Shelf {
//!     /// Number of books on it.
//!     books: u32,
//! }
//!
//! fn describe_shelf() -> Description {
//!     Description::new("showShelf", "Shows a shelf")
//!         .path("shelf_id", schema::text(1, 100), "Id of the shelf.")
//!         .answer::<Shelf>(200, "The shelf.")
//!         .problem(404, "The shelf does not exist.")
//! }
//!
//! async fn shelf(_: Request) -> Result<Response, ApiError> {
//!     Ok(json(StatusCode::OK, &Shelf { books: 7 }))
//! }
//!
//! let routes = Routes::new("library").get("/shelves/{shelf_id}/", Access::Client, describe_shelf, shelf);
//! ```
//! 3. Add it to the list of routes in the contract suite, which also compares real answers with the description.
//!
//! A description does *not* contain the answers of the front (`common_answers`), the access and the tokens. They follow
//! from the route.

mod common_answers;
mod description;
mod document;
mod headers;
mod page;
pub mod schema;

use std::sync::{Arc, OnceLock};

use hyper::{Method, StatusCode};

pub use self::{description::Description, headers::Header};
pub use utoipa::ToSchema;

pub(super) use self::document::{Document, Openness};
use super::{
    Access, Routes, json,
    routes::{Admission, Exceptions, Route},
};

/// The tag of routes that all services have.
pub(super) const EVERY_SERVICE: &str = "every service";
/// The tag of routes for operators.
pub(super) const OPERATORS: &str = "operators";

/// Adds the two routes of this module to a service's routes and describes all of them, these two included.
pub(super) fn with_description(routes: Routes, is_open: Openness) -> Routes {
    let document = Arc::new(OnceLock::new());
    let routes = routes.merge(own_routes(document.clone()));
    // The document is prepared from the routes now, and built on the first request.
    let _ = document.set(Document::of(&routes, is_open));
    routes
}

fn own_routes(document: Arc<OnceLock<Document>>) -> Routes {
    let show = move |request: super::Request| {
        let document = document.clone();
        async move {
            let document = document.get().expect("the document is set before the routes are served");
            Ok(json(StatusCode::OK, &document.behind(&request.prefix)))
        }
    };
    let show_page = async |request: super::Request| Ok(page::show(&request.prefix));
    let list =
        Routes::new("").route(Method::GET, "/openapi.json", Access::Public, Admission::Open, describe_document, show);
    list.route(Method::GET, "/docs", Access::Public, Admission::Open, describe_page, show_page)
}

fn describe_document() -> Description {
    Description::new("describe", "This description, as OpenAPI 3.1")
        .tag(EVERY_SERVICE)
        .detail("`servers` names the prefix that a proxy stripped (`X-Forwarded-Prefix`).")
        .answer_of(200, "application/json", schema::any_object(), "The description.")
}

fn describe_page() -> Description {
    Description::new("browse", "This description, as a page")
        .tag(EVERY_SERVICE)
        .detail("The page loads resources from this service only.")
        .answer_of(200, "text/html; charset=utf-8", schema::string(), "The page.")
}

/// The parts of a route that its description needs.
#[derive(Clone)]
struct Described {
    method: Method,
    template: &'static str,
    access: Access,
    exceptions: Exceptions,
    admission: Admission,
    describe: fn() -> Description,
}

impl Described {
    fn of(route: &Route) -> Self {
        let Route { method, template, access, exceptions, admission, describe, .. } = route;
        let (access, exceptions, admission, describe) = (*access, *exceptions, *admission, *describe);
        Self { method: method.clone(), template, access, exceptions, admission, describe }
    }
}
