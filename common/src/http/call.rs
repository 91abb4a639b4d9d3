//! A call of another service, by whichever carrier it comes: it passes the whole front, as a request of its own would,
//! and ends as an answer, a loss or a cut.

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::BodyExt;
use hyper::{
    Version,
    body::Body,
    header::{FORWARDED, HeaderName},
    http::uri::Authority,
};

use super::{
    calls::{CallAnswer, CallRequest, LOST, MAX_BODY_BYTES},
    client::Peer,
    front::RequestPipeline,
    head::Head,
    transport_faults::{CutConnection, LostReply},
};

/// Headers of proxies. No proxy wrote them: none is between the services of a call.
const OF_PROXIES: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-prefix"),
    FORWARDED,
];

/// Where a call comes from.
#[derive(Clone)]
pub(super) struct Caller {
    /// The peer of its connection; `None` in the same process.
    pub(super) peer: Option<Peer>,
    /// The authority of its URI.
    pub(super) authority: Option<Authority>,
}

/// The end of a call.
pub(super) enum Taken {
    /// An answer, or [`LOST`].
    Answered(CallAnswer),
    /// The failure lab cuts the connection, with all calls on it.
    Cut,
}

/// Takes a call.
pub(super) async fn take(pipeline: &RequestPipeline, caller: Caller, request: CallRequest) -> Taken {
    let CallRequest { method, target, mut headers, body } = request;
    for name in OF_PROXIES {
        headers.remove(name);
    }
    let head = Head {
        method,
        path: target.path().to_owned(),
        query: target.query().unwrap_or_default().to_owned(),
        headers,
        peer: caller.peer,
        version: Some(Version::HTTP_2),
        authority: caller.authority,
    };
    let response = pipeline.answer(head, stream::once(async { Ok(body) })).await;
    let marks = response.extensions();
    if marks.get::<CutConnection>().is_some() {
        return Taken::Cut;
    }
    if marks.get::<LostReply>().is_some() {
        return Taken::Answered(CallAnswer::of_status(LOST));
    }
    let (head, body) = response.into_parts();
    Taken::Answered(match start_of(body).await {
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
