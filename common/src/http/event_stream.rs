//! Server-sent events as a response: made here, or those of another server.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use tokio::sync::mpsc;
use warp::Reply;

use super::Response;

/// A server-sent event.
pub type SseEvent = warp::sse::Event;

/// Answers with a stream of events, which lasts until the sender is dropped. If the client disconnects, the channel
/// closes. For admission the request ends when this function returns; the connection stays in use until the stream
/// ends.
pub fn event_stream(mut events: mpsc::Receiver<SseEvent>) -> Response {
    let events = stream::poll_fn(move |context| events.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>)));
    warp::sse::reply(events).into_response()
}

/// Answers with the parts of a body that another server sends, until the sender is dropped.
pub fn byte_stream(mut parts: mpsc::Receiver<Bytes>) -> Response {
    let parts = stream::poll_fn(move |context| parts.poll_recv(context).map(|part| part.map(Ok::<_, Infallible>)));
    warp::reply::stream(parts).into_response()
}
