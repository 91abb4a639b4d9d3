//! Marks on answers that must not arrive: the failure lab's lost replies and cut connections.
//!
//! A handler cannot touch its connection. It marks its answer, and the accept loop does what the mark says. Without a
//! socket, as in tests of the bare filter, the mark is only there to be seen.

use super::{ApiError, Response};

/// The work is done and its reply is lost: on HTTP/2 the stream is reset, on HTTP/1.1 the connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostReply;

/// The connection is cut, with everything that is in flight on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutConnection;

/// Makes an answer that gets lost.
pub fn lost_reply() -> Response {
    marked(LostReply)
}

/// Makes an answer that takes its connection down.
pub fn cut_connection() -> Response {
    marked(CutConnection)
}

fn marked<M: Clone + Send + Sync + 'static>(mark: M) -> Response {
    let mut response = ApiError::unavailable("this answer was to be lost (simulated)", 1).into_response();
    response.extensions_mut().insert(mark);
    response
}
