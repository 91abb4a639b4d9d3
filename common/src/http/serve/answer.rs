//! The body of an answer in transit: its request counts as in flight until the body is dropped.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{
    body::{Body, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderMap},
};

use super::line::Line;

/// A request in flight, until this is dropped.
pub(super) struct AtWork(Arc<Line>);

impl AtWork {
    pub(super) fn begin(line: Arc<Line>, version: hyper::Version) -> Self {
        line.begin(version);
        Self(line)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A body that records how its client reads it.
pub(super) struct Answer<B> {
    body: B,
    waits_for: WaitsFor,
    kind: Kind,
    at_work: AtWork,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Client,
    Us,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Document,
    Events,
}

impl<B: Body> Answer<B> {
    pub(super) fn new(body: B, headers: &HeaderMap, at_work: AtWork) -> Self {
        let is_stream =
            headers.get(CONTENT_TYPE).is_some_and(|media| media.as_bytes().starts_with(b"text/event-stream"));
        let kind = if is_stream { Kind::Events } else { Kind::Document };
        if kind == Kind::Events {
            at_work.0.stream_began();
        }
        let mut answer = Self { body, waits_for: WaitsFor::Us, kind, at_work };
        if !answer.body.is_end_stream() {
            answer.wait_for(WaitsFor::Client);
        }
        answer
    }

    fn wait_for(&mut self, next: WaitsFor) {
        let line = &self.at_work.0;
        match (self.waits_for, next) {
            (WaitsFor::Us, WaitsFor::Client) => line.offer(),
            (WaitsFor::Client, WaitsFor::Us) => line.take_all(),
            (WaitsFor::Client, WaitsFor::Client) => line.take_some(),
            (WaitsFor::Us, WaitsFor::Us) => {}
        }
        self.waits_for = next;
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let answer = self.get_mut();
        let frame = Pin::new(&mut answer.body).poll_frame(context);
        let is_over = matches!(frame, Poll::Pending | Poll::Ready(None));
        answer.wait_for(if is_over { WaitsFor::Us } else { WaitsFor::Client });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        let line = &self.at_work.0;
        if self.waits_for == WaitsFor::Client {
            line.take_all();
        }
        if self.kind == Kind::Events {
            line.stream_ended();
        }
    }
}
