//! Server-sent events as an answer.

use std::convert::Infallible;

use futures::stream;
use tokio::sync::mpsc;
use warp::Reply;

use super::Response;

/// A server-sent event.
pub type SseEvent = warp::sse::Event;

/// Answers with a stream of events, which lasts until the sender is dropped. When the client leaves, the channel is
/// closed. The request is over for the door of the front once this is returned; the connection is taken until the end.
pub fn event_stream(mut events: mpsc::Receiver<SseEvent>) -> Response {
    let events = stream::poll_fn(move |context| events.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>)));
    warp::sse::reply(events).into_response()
}
