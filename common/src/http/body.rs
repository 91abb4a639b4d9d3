//! Reads request bodies, with a limit of bytes and of time.

use std::{pin::pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use hyper::header::{CONTENT_LENGTH, EXPECT, HeaderMap, TRANSFER_ENCODING};

use super::{ApiError, headers::text};

/// How much of a refused body is read and discarded after the answer: a client cut off while sending may never see the
/// answer.
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;

/// How long the body is discarded.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// Limits of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

/// Reads a body into memory.
///
/// # Errors
/// 413 if it is too large, by its declared length before anything is read; 408 if it takes too long; 400 if it breaks
/// off.
pub(super) async fn read<S, B>(body: S, headers: &HeaderMap, limits: Limits) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
    B: Buf + Send,
{
    let declared = declared(headers);
    if declared.is_some_and(|length| length > limits.bytes as u64) {
        // A client that waits for 100-continue is not told to send, so there is nothing to discard.
        if !headers.contains_key(EXPECT) {
            discard(Box::pin(body));
        }
        return Err(ApiError::too_large(limits.bytes));
    }
    if declared == Some(0) {
        return Ok(Bytes::new());
    }
    let mut body = Box::pin(body);
    let read = tokio::time::timeout(limits.time, collect(&mut body, limits.bytes)).await;
    match read.unwrap_or_else(|_| Err(Broken::TooSlow)) {
        Ok(bytes) => Ok(bytes),
        Err(Broken::TooLarge) => {
            discard(body);
            Err(ApiError::too_large(limits.bytes))
        }
        Err(Broken::TooSlow) => Err(ApiError::body_timeout()),
        Err(Broken::Off) => Err(ApiError::malformed("the body is incomplete")),
    }
}

/// Removes the UTF-8 byte order mark that some programs send: parsers may ignore it (RFC 8259, 8.1).
pub(super) fn without_byte_order_mark(mut body: Bytes) -> Bytes {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    if body.starts_with(MARK) {
        body.advance(MARK.len());
    }
    body
}

enum Broken {
    TooLarge,
    TooSlow,
    Off,
}

async fn collect<S, B>(body: &mut S, limit: usize) -> Result<Bytes, Broken>
where
    S: Stream<Item = Result<B, warp::Error>> + Unpin,
    B: Buf,
{
    // Nearly every body arrives in one piece, which is used without a copy.
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(piece) = body.next().await {
        let mut piece = piece.map_err(|_| Broken::Off)?;
        let length = piece.remaining();
        if first.len() + all.len() + length > limit {
            return Err(Broken::TooLarge);
        }
        let piece = piece.copy_to_bytes(length);
        match (first.is_empty(), all.is_empty()) {
            (true, true) => first = piece,
            (false, _) => {
                all.reserve(first.len() + piece.len());
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&piece);
            }
            (true, false) => all.extend_from_slice(&piece),
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Tells whether a body follows these headers that must be read even if its request is refused. A client that waits for
/// 100-continue is not told to send.
pub(super) fn follows(headers: &HeaderMap) -> bool {
    let is_sent = headers.contains_key(TRANSFER_ENCODING) || declared(headers).is_some_and(|length| length > 0);
    is_sent && !headers.contains_key(EXPECT)
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_LENGTH.as_str())?.parse().ok()
}

/// Reads the rest of a body, within limits, while the answer is being sent. A body that is left unread ends its
/// connection without notice, and a proxy may have sent another client's request on it.
pub(super) fn discard<S, B>(body: std::pin::Pin<Box<S>>)
where
    S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
    B: Buf + Send,
{
    let read_on = async move {
        let mut left = DISCARDED_BYTES;
        let mut body = pin!(body);
        while let Some(Ok(piece)) = body.next().await {
            match left.checked_sub(piece.remaining()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    tokio::spawn(tokio::time::timeout(DISCARD_TIME, read_on));
}
