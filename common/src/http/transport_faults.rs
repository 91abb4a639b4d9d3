//! Marks on answers that must not arrive: lost replies and cut connections of the failure lab.
//!
//! A handler has no access to its connection. It marks its answer, and the accept loop acts on the mark. Without a
//! socket, as in tests of the bare filter, the mark has no effect.

use super::{ApiError, Response};

/// The work is done and its reply lost: on HTTP/2 the stream is reset, on HTTP/1.1 the connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostReply;

/// The connection is cut, with all requests in flight on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutConnection;

/// Creates an answer that gets lost.
pub fn lost_reply() -> Response {
    marked(LostReply)
}

/// Creates an answer that cuts its connection.
pub fn cut_connection() -> Response {
    marked(CutConnection)
}

fn marked<M: Clone + Send + Sync + 'static>(mark: M) -> Response {
    let mut response = ApiError::unavailable("this reply is to be lost (simulated)", 1).into_response();
    response.extensions_mut().insert(mark);
    response
}
