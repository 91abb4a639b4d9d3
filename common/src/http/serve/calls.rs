//! The server's end of a stream of calls.
//!
//! The body of the answer is what drives the calls: it takes the requests that have arrived, runs them together, and
//! gives all answers that are ready in one part.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::FuturesUnordered};
use hyper::{
    Method, Request, Version,
    body::{Body, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use warp::Reply;

use super::line::Line;
use crate::http::{
    Response,
    call::{Caller, Taken, take},
    calls::{CallAnswer, CallRequest, LAST, MEDIA_TYPE, Message, Messages, PATH},
    client::{Peer, Room},
    front::RequestPipeline,
    head::MAX_HEADER_BYTES,
};

/// State of a stream.
pub(super) struct Calls {
    pipeline: Arc<RequestPipeline>,
    caller: Caller,
    line: Arc<Line>,
    /// `None` after the last request.
    requests: Option<Incoming>,
    messages: Messages,
    newest: u64,
    max_running: usize,
    running: FuturesUnordered<BoxFuture<'static, (u64, Taken)>>,
    /// Completes when no further requests are taken.
    stop: Option<BoxFuture<'static, ()>>,
    answers: BytesMut,
}

/// Returns the most calls at a time on the stream that a request opens; `None` if the request opens no stream. A
/// connection beyond the limits carries none.
pub(super) fn opened_by<B>(request: &Request<B>, pipeline: &RequestPipeline, peer: Peer) -> Option<usize> {
    let is_opening = request.method() == Method::POST
        && request.uri().path() == PATH
        && request.version() == Version::HTTP_2
        && peer.room == Room::Free;
    pipeline.max_calls().filter(|_| is_opening)
}

impl Calls {
    /// Makes the answer to the request that opens the stream. Its body must be `Sync`, which a mutex that is never locked
    /// makes of the calls.
    pub(super) fn answer(
        pipeline: Arc<RequestPipeline>,
        peer: Peer,
        line: Arc<Line>,
        drain: CancellationToken,
        max_running: usize,
        request: Request<Incoming>,
    ) -> Response {
        let caller = Caller { peer: Some(peer), authority: request.uri().authority().cloned() };
        let messages = Messages::up_to(pipeline.body_limit() + 2 * MAX_HEADER_BYTES);
        let calls = Self {
            pipeline,
            caller,
            line,
            requests: Some(request.into_body()),
            messages,
            newest: 0,
            max_running,
            running: FuturesUnordered::new(),
            stop: Some(async move { drain.cancelled().await }.boxed()),
            answers: BytesMut::new(),
        };
        let mut calls = Mutex::new(calls);
        let parts = stream::poll_fn(move |context| {
            let calls = calls.get_mut();
            Poll::Ready(ready!(calls.poll_part(context)).map(Ok::<_, Infallible>))
        });
        let mut response = warp::reply::stream(parts).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }

    fn run(&mut self, message: Message) -> Result<(), Malformed> {
        let Message { id, rest, is_whole } = message;
        let mut request = CallRequest::read(rest).ok_or(Malformed)?;
        if !is_whole {
            // The front refuses a body by its declared length, and nothing of it follows.
            request.headers.insert(CONTENT_LENGTH, HeaderValue::from(self.pipeline.body_limit() as u64 + 1));
        }
        let (pipeline, caller) = (self.pipeline.clone(), self.caller.clone());
        self.newest = id;
        self.running.push(async move { (id, take(&pipeline, caller, request).await) }.boxed());
        Ok(())
    }

    /// Takes requests until there are none for now.
    fn take_requests(&mut self, context: &mut Context<'_>) -> Result<(), Malformed> {
        while self.running.len() < self.max_running {
            if let Some(message) = self.messages.next() {
                self.run(message)?;
                continue;
            }
            let Some(requests) = &mut self.requests else { return Ok(()) };
            match Pin::new(requests).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(part) = frame.into_data() {
                        self.messages.push(part);
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => self.requests = None,
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(stop) = &mut self.stop
            && stop.poll_unpin(context).is_ready()
        {
            self.stop = None;
            self.requests = None;
            self.messages = Messages::up_to(0);
            CallAnswer::of_status(LAST).put(self.newest, &mut self.answers);
        }
        if self.take_requests(context).is_err() {
            return Poll::Ready(None);
        }
        while let Poll::Ready(Some((id, taken))) = self.running.poll_next_unpin(context) {
            match taken {
                Taken::Answered(answer) => answer.put(id, &mut self.answers),
                Taken::Cut => self.line.cut.notify_one(),
            }
        }
        if !self.answers.is_empty() {
            return Poll::Ready(Some(self.answers.split().freeze()));
        }
        if self.requests.is_none() && self.running.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}

/// The peer does not speak the protocol.
struct Malformed;
