//! The client's end of a stream of calls (`common::http::calls`): all calls to an address as messages on one request of
//! HTTP/2.
//!
//! ```text
//! call ─► out (a buffer) ─► the body of POST /calls ─► participant ─► the body of its answer ─► call
//! ```
//! A message that was not handed to the connection was certainly not sent. A message that was handed over before the
//! stream broke may have been seen, unless the participant named an older request as the last that it took.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use common::http::behind_others;
use common::http::calls::{CallAnswer, LAST, LOST, MEDIA_TYPE, Message, Messages, OutgoingRequest};
use common::http::header::CONTENT_TYPE;
use common::reason::with_causes;
use http_body_util::{BodyExt, Either};
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response, StatusCode, Uri, Version};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Answered, Http2, MAX_ANSWER_BYTES, NoAnswer, TooLong};

/// More than the head of an answer takes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// An open stream. A drop signals to the participant that no more calls come.
pub(super) struct Calls(Arc<Shared>);

struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// Messages that were not handed to the connection yet, with the id and the length of each.
    out: BytesMut,
    queued: Vec<(u64, usize)>,
    newest: u64,
    /// The newest call that was handed over.
    handed: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<Answered, NoAnswer>>>,
    /// Why there are no further calls.
    over: Option<String>,
    feed: Option<Waker>,
}

impl State {
    fn end_after(&mut self, last_taken: u64, reason: &str) {
        self.over.get_or_insert_with(|| reason.to_owned());
        self.out.clear();
        self.queued.clear();
        let unseen: Vec<u64> = self.waiting.keys().copied().filter(|id| *id > last_taken).collect();
        for id in unseen {
            if let Some(call) = self.waiting.remove(&id) {
                let _ = call.send(Err(NoAnswer::Away(reason.to_owned())));
            }
        }
        self.wake();
    }

    /// Lets the body of the request be polled.
    fn wake(&mut self) {
        if let Some(feed) = self.feed.take() {
            feed.wake();
        }
    }

    /// Takes all messages whose callers still wait: a participant that hung is not flooded with the others.
    fn hand_over(&mut self) -> Option<Bytes> {
        let mut messages = BytesMut::new();
        let mut queued = std::mem::take(&mut self.queued);
        if queued.iter().all(|(id, _)| self.waiting.contains_key(id)) {
            messages = self.out.split();
        } else {
            for (id, length) in &queued {
                let message = self.out.split_to(*length);
                if self.waiting.contains_key(id) {
                    messages.extend_from_slice(&message);
                }
            }
        }
        queued.clear();
        // Keeps its memory.
        self.queued = queued;
        if messages.is_empty() {
            return None;
        }
        self.handed = self.newest;
        Some(messages.freeze())
    }
}

impl Shared {
    /// Takes no further calls, and ends those behind the last one that the participant took.
    fn end_after(&self, last_taken: u64, reason: &str) {
        self.0.lock().end_after(last_taken, reason);
    }

    /// Ends all calls: there will be no answers.
    fn break_off(&self, reason: &str) {
        // Under one lock: otherwise a call could be handed over after it was declared unsent.
        let mut state = self.0.lock();
        let handed = state.handed;
        state.end_after(handed, reason);
        for (_, call) in state.waiting.drain() {
            let _ = call.send(Err(NoAnswer::Lost(reason.to_owned())));
        }
    }

    fn deliver(&self, id: u64, answered: Result<Answered, NoAnswer>) {
        let call = self.0.lock().waiting.remove(&id);
        // The caller may have given up.
        if let Some(call) = call {
            let _ = call.send(answered);
        }
    }
}

impl Calls {
    /// Opens a stream; `None` if the participant offers none.
    ///
    /// # Errors
    /// If the connection failed.
    pub(super) async fn open(sender: &Http2, uri: Uri) -> Result<Option<Self>, hyper::Error> {
        let shared = Arc::new(Shared(Mutex::default()));
        let calls = Self(shared.clone());
        let mut request =
            Request::post(uri).body(Either::Right(Feed(shared.clone()))).expect("a URI is a valid request");
        request.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE.parse().expect("a media type is a valid header"));
        let response = sender.clone().send_request(request).await?;
        let is_stream = response.headers().get(CONTENT_TYPE).is_some_and(|media| media == MEDIA_TYPE);
        if response.status() != StatusCode::OK || !is_stream {
            return Ok(None);
        }
        tokio::spawn(behind_others(listen(shared, response.into_body())));
        Ok(Some(calls))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.0.lock().over.is_some()
    }

    /// Makes a call. If the future is dropped, the answer is ignored.
    pub(super) async fn ask(&self, request: OutgoingRequest) -> Result<Answered, NoAnswer> {
        let (give, answer) = oneshot::channel();
        let id = {
            let mut state = self.0.0.lock();
            if let Some(reason) = &state.over {
                return Err(NoAnswer::Away(reason.clone()));
            }
            state.newest += 1;
            let id = state.newest;
            let before = state.out.len();
            request.put(id, &mut state.out);
            let length = state.out.len() - before;
            state.queued.push((id, length));
            state.waiting.insert(id, give);
            state.wake();
            id
        };
        // A call that waits needs no memory for its request.
        drop(request);
        let _forget = ForgetOnDrop { calls: &self.0, id };
        answer.await.unwrap_or_else(|_| Err(NoAnswer::Lost("the stream of calls has ended".to_owned())))
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.0.end_after(u64::MAX, "the stream of calls is closed");
    }
}

/// Removes a call whose caller gave up.
struct ForgetOnDrop<'a> {
    calls: &'a Shared,
    id: u64,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.calls.0.lock().waiting.remove(&self.id);
    }
}

/// The body of the request: all messages that are there, in one part.
pub(super) struct Feed(Arc<Shared>);

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.0.0.lock();
        if let Some(messages) = state.hand_over() {
            return Poll::Ready(Some(Ok(Frame::data(messages))));
        }
        if state.over.is_some() {
            return Poll::Ready(None);
        }
        state.feed = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Reads answers to the end of the stream.
async fn listen(shared: Arc<Shared>, mut body: Incoming) {
    let mut messages = Messages::up_to(MAX_ANSWER_BYTES + MAX_HEAD_BYTES);
    let reason = loop {
        match body.frame().await {
            None => break "the participant ended the stream of calls".to_owned(),
            Some(Err(error)) => break with_causes(&error),
            Some(Ok(frame)) => {
                if let Ok(part) = frame.into_data() {
                    messages.push(part);
                }
            }
        }
        let mut is_sound = true;
        for message in messages.by_ref() {
            is_sound &= take(&shared, message);
        }
        if !is_sound {
            break "the participant answers with something other than call messages".to_owned();
        }
    };
    shared.break_off(&reason);
}

/// Acts on a message; `false` if its bytes are not an answer.
fn take(shared: &Shared, Message { id, rest, is_whole }: Message) -> bool {
    let Some(answer) = CallAnswer::read(rest) else { return false };
    if answer.status == LAST {
        shared.end_after(id, "the participant is about to stop");
        return true;
    }
    // Otherwise its head alone is too long.
    let is_readable = is_whole || answer.body.len() > MAX_ANSWER_BYTES;
    let Some(answered) = received(answer).filter(|_| is_readable) else { return false };
    shared.deliver(id, answered);
    true
}

/// Reads an answer; `None` if its status is not one of HTTP.
pub(super) fn received(answer: CallAnswer) -> Option<Result<Answered, NoAnswer>> {
    let CallAnswer { status, headers, body } = answer;
    if status == LOST {
        return Some(Err(NoAnswer::Lost("the answer is lost".to_owned())));
    }
    let is_too_long = body.len() > MAX_ANSWER_BYTES;
    let mut response = Response::new(if is_too_long { Bytes::new() } else { body });
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = headers;
    *response.version_mut() = Version::HTTP_2;
    if is_too_long {
        response.extensions_mut().insert(TooLong);
    }
    Some(Ok(response))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use futures::task::noop_waker;
    use hyper::Method;
    use hyper::http::uri::PathAndQuery;

    use super::*;

    fn request(body: &'static str) -> OutgoingRequest {
        let target = PathAndQuery::from_static("/payments/");
        OutgoingRequest { method: Method::POST, target, headers: Vec::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    type Asked<'a> = BoxFuture<'a, Result<Answered, NoAnswer>>;

    /// Makes a call, which then waits.
    fn asked(calls: &Calls) -> Asked<'_> {
        let mut asked = calls.ask(request("{}")).boxed();
        assert!((&mut asked).now_or_never().is_none());
        asked
    }

    fn hand_over(calls: &Calls) -> Bytes {
        let mut feed = Feed(calls.0.clone());
        match Pin::new(&mut feed).poll_frame(&mut Context::from_waker(&noop_waker())) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap(),
            other => panic!("there is nothing to hand over: {other:?}"),
        }
    }

    fn arrives(calls: &Calls, id: u64, answer: &CallAnswer) -> bool {
        let (mut out, mut messages) = (BytesMut::new(), Messages::up_to(MAX_ANSWER_BYTES + MAX_HEAD_BYTES));
        answer.put(id, &mut out);
        messages.push(out.freeze());
        let message = messages.next().unwrap();
        take(&calls.0, message)
    }

    fn open() -> Calls {
        Calls(Arc::new(Shared(Mutex::default())))
    }

    #[test]
    fn calls_go_together_and_their_answers_find_them() {
        let calls = open();
        let (first, second) = (asked(&calls), asked(&calls));
        let mut messages = Messages::up_to(10_000);
        messages.push(hand_over(&calls));
        let ids: Vec<u64> = messages.by_ref().map(|message| message.id).collect();
        assert_eq!(ids, [1, 2]);
        let answer = |body: &'static str| CallAnswer { body: body.into(), ..CallAnswer::of_status(200) };
        assert!(arrives(&calls, 2, &answer("second")) && arrives(&calls, 1, &answer("first")));
        for (call, body) in [(first, "first"), (second, "second")] {
            let answered = call.now_or_never().unwrap().unwrap();
            assert_eq!((answered.status(), &answered.body()[..]), (StatusCode::OK, body.as_bytes()));
        }
        // For callers that gave up.
        assert!(arrives(&calls, 2, &answer("again")));
    }

    #[test]
    fn what_was_handed_over_is_lost_with_the_stream_and_the_rest_was_not_sent() {
        let calls = open();
        let handed = asked(&calls);
        hand_over(&calls);
        let unsent = asked(&calls);
        calls.0.break_off("cut");
        assert_eq!(handed.now_or_never().unwrap().unwrap_err(), NoAnswer::Lost("cut".to_owned()));
        assert_eq!(unsent.now_or_never().unwrap().unwrap_err(), NoAnswer::Away("cut".to_owned()));
        assert!(calls.is_over());
        let late = calls.ask(request(""));
        assert_eq!(late.now_or_never().unwrap().unwrap_err(), NoAnswer::Away("cut".to_owned()));
    }

    #[test]
    fn a_participant_that_stops_answers_what_it_took_and_has_not_seen_the_rest() {
        let calls = open();
        let (taken, not_taken) = (asked(&calls), asked(&calls));
        hand_over(&calls);
        assert!(arrives(&calls, 1, &CallAnswer::of_status(LAST)));
        assert!(matches!(not_taken.now_or_never().unwrap().unwrap_err(), NoAnswer::Away(_)));
        assert!(calls.is_over());
        assert!(arrives(&calls, 1, &CallAnswer::of_status(409)));
        assert_eq!(taken.now_or_never().unwrap().unwrap().status(), StatusCode::CONFLICT);
    }

    #[test]
    fn a_lost_answer_is_lost_alone() {
        let calls = open();
        let (lost, other) = (asked(&calls), asked(&calls));
        hand_over(&calls);
        assert!(arrives(&calls, 1, &CallAnswer::of_status(LOST)) && arrives(&calls, 2, &CallAnswer::of_status(200)));
        assert!(matches!(lost.now_or_never().unwrap().unwrap_err(), NoAnswer::Lost(_)));
        assert_eq!(other.now_or_never().unwrap().unwrap().status(), StatusCode::OK);
        assert!(!calls.is_over());
    }

    #[test]
    fn the_call_of_a_caller_that_gives_up_in_time_is_not_sent() {
        let calls = open();
        let (first, second) = (asked(&calls), asked(&calls));
        drop(first);
        let mut messages = Messages::up_to(10_000);
        messages.push(hand_over(&calls));
        let ids: Vec<u64> = messages.by_ref().map(|message| message.id).collect();
        assert_eq!(ids, [2]);
        drop(second);
        assert!(calls.0.0.lock().waiting.is_empty());
    }

    #[test]
    fn an_answer_that_is_too_long_has_its_head_and_another_message_is_none() {
        let calls = open();
        for length in [MAX_ANSWER_BYTES + 1, MAX_ANSWER_BYTES + 2 * MAX_HEAD_BYTES] {
            let call = asked(&calls);
            hand_over(&calls);
            let id = calls.0.0.lock().newest;
            assert!(arrives(&calls, id, &CallAnswer { body: vec![0; length].into(), ..CallAnswer::of_status(200) }));
            let answered = call.now_or_never().unwrap().unwrap();
            assert!(answered.extensions().get::<TooLong>().is_some() && answered.body().is_empty());
        }
        assert!(!arrives(&calls, 9, &CallAnswer::of_status(2)));
        assert!(!take(&calls.0, Message { id: 9, rest: Bytes::from_static(b"x"), is_whole: true }));
    }
}
