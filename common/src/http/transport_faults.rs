//! Answers that never arrive: marks that the accept loop understands.

use warp::http::StatusCode;

use super::{Response, with_body};

/// The work is done and its one reply is lost: on HTTP/2 the stream is reset, on HTTP/1.1 the connection closes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostReply;

/// The whole connection is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutConnection;

/// Makes a reply that is lost on its way.
pub fn lost_reply() -> Response {
    let mut response = with_body(StatusCode::OK, "application/json", Vec::new());
    response.extensions_mut().insert(LostReply);
    response
}

/// Makes a reply that cuts its connection.
pub fn cut_connection() -> Response {
    let mut response = with_body(StatusCode::OK, "application/json", Vec::new());
    response.extensions_mut().insert(CutConnection);
    response
}
