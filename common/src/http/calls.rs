//! Calls between services as messages on one HTTP/2 stream: a `POST /calls` whose body is the requests and whose answer
//! is the answers, in any order. An exchange of HTTP/2 for each call costs both sides more than the call itself.
//!
//! ```text
//! message   length of the rest (u32), id (u64), then
//! request   method, target, headers, body
//! answer    status (u16), headers, body
//! headers   count (u32), then name and value of each
//! ```
//! Integers are big-endian, texts have their length (u32) before them, and a body takes the rest. Ids rise by one. Two
//! statuses are none of HTTP: [`LOST`] and [`LAST`].

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hyper::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
    http::uri::PathAndQuery,
};

/// The path of the stream.
pub const PATH: &str = "/calls";

/// The media type of both directions, which tells a stream from another answer to the same path.
pub const MEDIA_TYPE: &str = "application/vnd.ecommerce.calls";

/// The status of an answer that never comes: whether the work was done is unknown.
pub const LOST: u16 = 0;

/// The status of the message before the end of a stream: its id is the newest request that was taken. Requests after it
/// were not looked at, those before it are still answered.
pub const LAST: u16 = 1;

/// How much of an answer's body is sent, in bytes: more than a caller of a saga accepts, so that it notices a longer one.
pub const MAX_BODY_BYTES: usize = 128 * 1024;

const LENGTH_BYTES: usize = size_of::<u32>();

/// A request as its caller makes it, without its id. Its headers are in a list: a message needs no map.
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: PathAndQuery,
    /// The headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// A request as it arrives, without its id.
#[derive(Debug)]
pub struct CallRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: PathAndQuery,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer without its id.
#[derive(Debug)]
pub struct CallAnswer {
    /// The status of HTTP, [`LOST`] or [`LAST`].
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl OutgoingRequest {
    /// Appends the message of the request.
    pub fn put(&self, id: u64, out: &mut BytesMut) {
        put_message(id, out, |out| {
            put_text(out, self.method.as_str().as_bytes());
            put_text(out, self.target.as_str().as_bytes());
            put_headers(out, self.headers.len(), self.headers.iter().map(|(name, value)| (name, value)));
            out.extend_from_slice(&self.body);
        });
    }
}

/// Without a stream, as in process.
impl From<OutgoingRequest> for CallRequest {
    fn from(request: OutgoingRequest) -> Self {
        let OutgoingRequest { method, target, headers, body } = request;
        Self { method, target, headers: headers.into_iter().collect(), body }
    }
}

impl CallRequest {
    /// Reads the rest of a message; `None` if the bytes are not a request.
    pub fn read(mut rest: Bytes) -> Option<Self> {
        let method = Method::from_bytes(&take_text(&mut rest)?).ok()?;
        let target = PathAndQuery::from_maybe_shared(take_text(&mut rest)?).ok()?;
        let headers = take_headers(&mut rest)?;
        Some(Self { method, target, headers, body: rest })
    }
}

impl CallAnswer {
    /// An answer that is only a status.
    pub fn of_status(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Appends the message of the answer.
    pub fn put(&self, id: u64, out: &mut BytesMut) {
        put_message(id, out, |out| {
            out.put_u16(self.status);
            put_headers(out, self.headers.len(), self.headers.iter());
            out.extend_from_slice(&self.body);
        });
    }

    /// Reads the rest of a message; `None` if the bytes are not an answer.
    pub fn read(mut rest: Bytes) -> Option<Self> {
        let status = rest.try_get_u16().ok()?;
        let headers = take_headers(&mut rest)?;
        Some(Self { status, headers, body: rest })
    }
}

fn put_message(id: u64, out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_u64(id);
    put(out);
    let length = length_of(out.len() - start - LENGTH_BYTES);
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// Bodies and headers are limited to a few hundred kilobytes before they come here.
fn length_of(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a message is shorter than 4 GiB")
}

fn put_text(out: &mut BytesMut, text: &[u8]) {
    out.put_u32(length_of(text.len()));
    out.extend_from_slice(text);
}

fn put_headers<'a>(out: &mut BytesMut, count: usize, headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) {
    out.put_u32(length_of(count));
    for (name, value) in headers {
        put_text(out, name.as_str().as_bytes());
        put_text(out, value.as_bytes());
    }
}

fn take_text(rest: &mut Bytes) -> Option<Bytes> {
    let length = rest.try_get_u32().ok()? as usize;
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn take_headers(rest: &mut Bytes) -> Option<HeaderMap> {
    let count = rest.try_get_u32().ok()? as usize;
    // Each takes the two lengths at least, so that a wrong count reserves nothing.
    if count > rest.len() / (2 * LENGTH_BYTES) {
        return None;
    }
    let mut headers = HeaderMap::with_capacity(count);
    for _ in 0..count {
        let name = HeaderName::from_bytes(&take_text(rest)?).ok()?;
        let value = HeaderValue::from_maybe_shared(take_text(rest)?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}

/// The messages of one direction, made of the parts in which they arrive.
#[derive(Debug)]
pub struct Messages {
    buffer: BytesMut,
    /// How many bytes of a message that is too long are still to be left out.
    skipped: usize,
    max_bytes: usize,
}

/// A message as it arrived.
#[derive(Debug)]
pub struct Message {
    /// Its id.
    pub id: u64,
    /// The bytes after the id; only the first ones if the message is too long.
    pub rest: Bytes,
    /// Whether the message is complete.
    pub is_whole: bool,
}

impl Messages {
    /// Of messages longer than `max_bytes` only the start is kept, so that they can be answered.
    pub fn up_to(max_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), skipped: 0, max_bytes }
    }

    /// Adds a part.
    pub fn push(&mut self, mut part: Bytes) {
        let skipped = self.skipped.min(part.len());
        part.advance(skipped);
        self.skipped -= skipped;
        self.buffer.extend_from_slice(&part);
    }
}

/// The messages that have arrived.
impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let length = (&self.buffer[..]).try_get_u32().ok()? as usize;
        let kept = length.min(self.max_bytes.max(size_of::<u64>()));
        if self.buffer.len() < LENGTH_BYTES + kept {
            return None;
        }
        let mut rest = self.buffer.split_to(LENGTH_BYTES + kept).freeze();
        rest.advance(LENGTH_BYTES);
        let more = length - kept;
        let here = more.min(self.buffer.len());
        self.buffer.advance(here);
        self.skipped = more - here;
        // No caller waits for this id, which stands for that of a message too short to have one.
        let id = rest.try_get_u64().unwrap_or(u64::MAX);
        Some(Message { id, rest, is_whole: more == 0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(path: &str, body: Vec<u8>) -> OutgoingRequest {
        let headers = [("saga-id", "7"), ("x-twice", "a"), ("x-twice", "b")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let target = PathAndQuery::try_from(path).unwrap();
        OutgoingRequest { method: Method::POST, target, headers: headers.into(), body: body.into() }
    }

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("saga-id", HeaderValue::from_static("7"));
        headers.append("x-twice", HeaderValue::from_static("a"));
        headers.append("x-twice", HeaderValue::from_static("b"));
        headers
    }

    proptest! {
        #[test]
        fn messages_are_read_back_in_whatever_parts_they_arrive(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..8),
            cuts in prop::collection::vec(1_usize..300, 1..40),
        ) {
            let mut sent = BytesMut::new();
            for (id, body) in bodies.iter().enumerate() {
                request("/payments/?a=b", body.clone()).put(id as u64, &mut sent);
            }
            // Some of them are too long.
            let (max, head) = (300, 100);
            let mut messages = Messages::up_to(max);
            let (mut found, mut cuts, mut sent) = (Vec::new(), cuts.iter().cycle(), sent.freeze());
            while !sent.is_empty() {
                let part = sent.split_to((*cuts.next().unwrap()).min(sent.len()));
                messages.push(part);
                found.extend(messages.by_ref());
            }
            prop_assert_eq!(found.len(), bodies.len());
            for (id, (message, body)) in found.into_iter().zip(&bodies).enumerate() {
                prop_assert_eq!(message.id, id as u64);
                prop_assert!(message.is_whole || body.len() > max - head, "{} bytes are cut", body.len());
                let read = CallRequest::read(message.rest).unwrap();
                prop_assert_eq!(read.headers, headers());
                prop_assert_eq!(read.target.as_str(), "/payments/?a=b");
                if message.is_whole { prop_assert_eq!(&read.body[..], &body[..]) } else { prop_assert!(body.starts_with(&read.body)) }
            }
        }

        #[test]
        fn bytes_that_are_no_message_are_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut messages = Messages::up_to(150);
            messages.push(bytes.clone().into());
            for message in messages.by_ref() {
                let _ = (CallRequest::read(message.rest.clone()), CallAnswer::read(message.rest));
            }
            let _ = (CallRequest::read(bytes.clone().into()), CallAnswer::read(bytes.into()));
        }
    }

    #[test]
    fn an_answer_is_read_back() {
        let mut out = BytesMut::new();
        let answer = CallAnswer { status: 409, headers: headers(), body: "{}".into() };
        answer.put(u64::MAX - 1, &mut out);
        CallAnswer::of_status(LAST).put(3, &mut out);
        let mut messages = Messages::up_to(1_000);
        messages.push(out.freeze());
        let first = messages.next().unwrap();
        let read = CallAnswer::read(first.rest).unwrap();
        assert_eq!(
            (first.id, read.status, read.headers, &read.body[..]),
            (u64::MAX - 1, 409, answer.headers, &b"{}"[..])
        );
        let last = messages.next().unwrap();
        assert_eq!((last.id, CallAnswer::read(last.rest).unwrap().status), (3, LAST));
        assert!(messages.next().is_none());
    }
}
