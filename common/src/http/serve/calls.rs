//! The server's end of a stream of calls: each message passes the whole front, as a request of its own would.
//!
//! The body of the answer is what drives the calls: it takes the requests that have arrived, runs them together, and
//! gives all answers that are ready in one part.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::FuturesUnordered};
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Version,
    body::{Body, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, FORWARDED, HeaderName, HeaderValue},
    http::uri::Authority,
};
use tokio_util::sync::CancellationToken;
use warp::Reply;

use super::line::Line;
use crate::http::{
    Response,
    calls::{CallAnswer, CallRequest, LAST, LOST, MAX_BODY_BYTES, MEDIA_TYPE, Message, Messages, PATH},
    client::{Peer, Room},
    front::{Head, RequestPipeline},
    head::MAX_HEADER_BYTES,
    transport_faults::{CutConnection, LostReply},
};

/// Headers of proxies. Within a stream no proxy wrote them.
const OF_PROXIES: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-prefix"),
    FORWARDED,
];

/// State of a stream.
pub(super) struct Calls {
    pipeline: Arc<RequestPipeline>,
    peer: Peer,
    authority: Option<Authority>,
    line: Arc<Line>,
    /// `None` after the last request.
    requests: Option<Incoming>,
    messages: Messages,
    newest: u64,
    max_running: usize,
    running: FuturesUnordered<BoxFuture<'static, (u64, Answered)>>,
    /// Completes when no further requests are taken.
    stop: Option<BoxFuture<'static, ()>>,
    answers: BytesMut,
}

/// The result of a call.
enum Answered {
    With(CallAnswer),
    /// The failure lab cuts the connection.
    Cut,
}

/// Returns the most calls at a time on the stream that a request opens; `None` if the request opens no stream. A connection beyond the
/// limits carries none.
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
        let authority = request.uri().authority().cloned();
        let messages = Messages::up_to(pipeline.body_limit() + 2 * MAX_HEADER_BYTES);
        let calls = Self {
            pipeline,
            peer,
            authority,
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
            let calls = calls.get_mut().unwrap_or_else(PoisonError::into_inner);
            Poll::Ready(ready!(calls.poll_part(context)).map(Ok::<_, Infallible>))
        });
        let mut response = warp::reply::stream(parts).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }

    fn run(&mut self, message: Message) -> Result<(), Malformed> {
        let Message { id, rest, is_whole } = message;
        let CallRequest { method, target, mut headers, body } = CallRequest::read(rest).ok_or(Malformed)?;
        for name in OF_PROXIES {
            headers.remove(name);
        }
        if !is_whole {
            // The front refuses a body by its declared length, and nothing of it follows.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(self.pipeline.body_limit() as u64 + 1));
        }
        let head = Head {
            method,
            path: target.path().to_owned(),
            query: target.query().unwrap_or_default().to_owned(),
            headers,
            peer: Some(self.peer),
            version: Some(Version::HTTP_2),
            authority: self.authority.clone(),
        };
        let pipeline = self.pipeline.clone();
        self.newest = id;
        self.running.push(async move { (id, answered(&pipeline, head, body).await) }.boxed());
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
        while let Poll::Ready(Some((id, answered))) = self.running.poll_next_unpin(context) {
            match answered {
                Answered::With(answer) => answer.put(id, &mut self.answers),
                Answered::Cut => self.line.cut.notify_one(),
            }
        }
        if !self.answers.is_empty() {
            return Poll::Ready(Some(self.answers.split().freeze()));
        }
        match self.requests.is_none() && self.running.is_empty() {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}

/// The peer does not speak the protocol.
struct Malformed;

async fn answered(pipeline: &RequestPipeline, head: Head, body: Bytes) -> Answered {
    let response = pipeline.answer(head, stream::once(async { Ok(body) })).await;
    let marks = response.extensions();
    if marks.get::<CutConnection>().is_some() {
        return Answered::Cut;
    }
    if marks.get::<LostReply>().is_some() {
        return Answered::With(CallAnswer::of_status(LOST));
    }
    let (head, body) = response.into_parts();
    Answered::With(match start_of(body).await {
        Ok(body) => CallAnswer { status: head.status.as_u16(), headers: head.headers, body },
        Err(_) => CallAnswer::of_status(LOST),
    })
}

/// Reads a body up to [`MAX_BODY_BYTES`].
async fn start_of<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Bytes, B::Error> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await.transpose()? {
        let Ok(part) = frame.into_data() else { continue };
        // Nearly every body is one part, which is used without a copy.
        if all.is_empty() && body.is_end_stream() {
            return Ok(part);
        }
        all.extend_from_slice(&part);
        if all.len() > MAX_BODY_BYTES {
            all.truncate(MAX_BODY_BYTES);
            break;
        }
    }
    Ok(all.freeze())
}
