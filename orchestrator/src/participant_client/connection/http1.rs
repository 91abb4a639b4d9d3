//! Connections by HTTP/1.1: each carries one call at a time and is kept for the next.
//!
//! A server closes a connection without a call after a while, perhaps just when the next request is on its way; such a
//! call is lost, not unsent. So connections are kept for less time than common servers keep them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::http::{HeaderValue, header::HOST};
use common::reason::with_causes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use super::{Answered, NoAnswer, TooLong, no_answer, read};

/// How long a connection is kept without a call. Node.js and uvicorn close theirs after 5 s.
const KEPT_FOR: Duration = Duration::from_secs(3);

/// Maximum number of connections without a call to one address.
const MAX_SPARE: usize = 256;

/// Maximum size of the head of an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A connection that carries one call.
pub(super) type Own = SendRequest<Full<Bytes>>;

/// Connections without a call, the one that was used last at the end.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<(Instant, Own)>>);

impl Spare {
    /// Takes a connection that is still open.
    pub(super) fn take(&self) -> Option<Own> {
        let mut spare = self.0.lock();
        spare.retain(|(since, own)| since.elapsed() < KEPT_FOR && !own.is_closed());
        spare.pop().map(|(_, own)| own)
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    fn put(&self, own: Own) {
        let mut spare = self.0.lock();
        if spare.len() < MAX_SPARE {
            spare.push((Instant::now(), own));
        }
    }
}

/// Opens a connection on a stream.
pub(super) async fn open(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Own, String> {
    let (own, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| with_causes(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a connection to a participant failed");
        }
    });
    Ok(own)
}

/// Makes a call on a connection, which is kept if it can carry another.
pub(super) async fn exchange(
    mut own: Own,
    mut request: Request<Bytes>,
    spare: &Arc<Spare>,
) -> Result<Answered, NoAnswer> {
    name_the_host(&mut request);
    let response = own.try_send_request(request.map(Full::new)).await.map_err(no_answer)?;
    let answered = read(response).await?;
    if answered.extensions().get::<TooLong>().is_none() {
        keep(own, spare.clone());
    }
    Ok(answered)
}

/// By HTTP/1.1 the host is a header and the URI a path.
fn name_the_host(request: &mut Request<Bytes>) {
    let uri = request.uri_mut();
    let path = uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    let uri = std::mem::replace(uri, path);
    if let Some(host) = uri.authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok()) {
        request.headers_mut().insert(HOST, host);
    }
}

/// Keeps a connection once it has read its answer to the end, which its task may not have noticed yet.
fn keep(mut own: Own, spare: Arc<Spare>) {
    if own.is_ready() {
        spare.put(own)
    } else {
        drop(tokio::spawn(async move {
            if own.ready().await.is_ok() {
                spare.put(own);
            }
        }))
    }
}
