//! One call of a step, its action or its compensation: request and reply.

use std::sync::Arc;

use saga_engine::definition::{Method, Outputs, ReplyError, Request};

use crate::body::Body;
use crate::headers::Headers;
use crate::path::Path;
use crate::reply::Reply;
use crate::scope::{Scope, Unusable};
use crate::template::Source;

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: Path,
    /// The path as written.
    pub(crate) path_text: String,
    /// Of the step.
    pub(crate) headers: Arc<Headers>,
    pub(crate) body: Option<Body>,
    pub(crate) reply: Reply,
}

impl Call {
    pub(crate) fn request(&self, scope: Scope<'_>) -> Result<Request, Unusable> {
        let body = match &self.body {
            Some(body) => body.fill(scope)?,
            None => None,
        };
        Ok(Request { method: self.method, path: self.path.fill(scope)?, body, headers: self.headers.fill(scope)? })
    }

    pub(crate) fn read(&self, scope: Scope<'_>, body: &[u8]) -> Result<Outputs, ReplyError> {
        self.reply.read(scope, body)
    }

    /// Returns the placeholders of the request.
    pub(crate) fn request_sources(&self) -> impl Iterator<Item = &Source> {
        let body = self.body.iter().flat_map(Body::sources);
        self.path.sources().chain(self.headers.sources()).chain(body)
    }

    /// Returns the placeholders of the request and of the expectations about its reply.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.request_sources().chain(self.reply.sources())
    }

    /// Checks the lengths of the parts of the request and of the expected values, before any output is known. Any other
    /// error is [`Call::check_input`]'s to report.
    pub(crate) fn check_lengths(&self, scope: Scope<'_>) -> Result<(), Unusable> {
        self.request(scope)?;
        self.reply.expect.iter().try_for_each(|(_, body)| body.fill(scope).map(drop))
    }

    /// Reports what is wrong with the fields of an input, before any output is known.
    pub(crate) fn check_input(&self, scope: Scope<'_>, report: &mut dyn FnMut(Unusable)) {
        self.path.check_input(scope, report);
        self.headers.check_input(scope, report);
        self.body.iter().chain(self.reply.expect.iter().map(|(_, body)| body)).for_each(|body| {
            body.check_input(scope, report);
        });
    }
}
