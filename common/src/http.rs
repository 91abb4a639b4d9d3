//! The HTTP front of every service: one warp filter before a table of routes.
//!
//! ```text
//! connection ─► request id, trace ─► route (404, 405) ─► token (401, 403) ─► admission (503) ─► body (413) ─► handler
//! ```
//! The table exists beside warp's own filters because two things need to know every route: the `Allow` of a 405 and the
//! labels of the metrics.

pub mod debug;
mod dispatch;
mod error;
mod request;
mod routes;
mod serve;
mod server;
pub mod trace;
pub mod transport_faults;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use serde::Serialize;
pub use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::config::Settings;

pub use dispatch::filter;
pub use error::ApiError;
pub use request::{Params, Query, Request};
pub use routes::{Access, Routes};
pub use serve::serve;
pub use server::server;

/// What a handler returns.
pub type Response = warp::reply::Response;

/// Answers with JSON. What is given is one of our own structs: it always serialises.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).expect("replies are structs of strings and numbers");
    with_body(status, "application/json", body)
}

/// Answers with a body of a type.
pub fn with_body(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    response
}

/// One thing that a service needs, and whether it is there.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// What is wrong with it.
    pub result: Result<(), String>,
}

/// Looks at everything that a service needs.
pub type HealthCheck = Arc<dyn Fn() -> BoxFuture<'static, Vec<Check>> + Send + Sync>;

/// Set while a service takes no new work: it is about to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on: unhealthy, and no new work.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Tells whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A service's front.
#[derive(Clone)]
pub struct Front {
    /// The service's name.
    pub service: &'static str,
    /// What it answers, beside health and metrics.
    pub routes: Routes,
    /// The configuration.
    pub settings: Arc<Settings>,
    /// What `/health/` looks at.
    pub health: HealthCheck,
    /// Whether it is about to stop.
    pub draining: Draining,
}
