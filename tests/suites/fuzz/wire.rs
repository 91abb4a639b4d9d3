//! A separate connection for each attempt, HTTP/1.1 or HTTP/2, that can be checked afterwards.

use std::{io::Read, net::SocketAddr};

use bytes::Bytes;
use flate2::read::GzDecoder;
use futures::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::http::Answer;
use tokio::{net::TcpStream, time::timeout};

use super::{
    attempt::{Attempt, Protocol},
    runner::HANGS_AFTER,
};

pub(crate) enum Wire {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Wire {
    /// Opens a connection.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) async fn open(address: SocketAddr, protocol: Protocol) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("cannot connect: {error}"))?;
        let stream = TokioIo::new(stream);
        let shown = |error: hyper::Error| format!("no connection: {error}");
        match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.map_err(shown)?;
                tokio::spawn(connection.map(drop));
                Ok(Self::Http1(sender))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(shown)?;
                tokio::spawn(connection.map(drop));
                Ok(Self::Http2(sender))
            }
        }
    }

    /// Sends a request and reads the answer; of an event stream only the head.
    ///
    /// # Errors
    /// When the answer is not complete in time.
    pub(crate) async fn send(&mut self, address: SocketAddr, attempt: &Attempt) -> Result<Answer, String> {
        let request = request(address, attempt)?;
        match timeout(HANGS_AFTER, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {HANGS_AFTER:?}")),
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let answered = match self {
            Self::Http1(sender) => {
                sender.ready().await.map_err(|error| format!("the connection is gone: {error}"))?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await.map_err(|error| format!("the connection is gone: {error}"))?;
                sender.send_request(request).await
            }
        };
        let response: Response<Incoming> = answered.map_err(|error| format!("no answer: {error:?}"))?;
        let (head, body) = response.into_parts();
        let bytes = if is_endless(&head.headers) {
            Bytes::new()
        } else {
            body.collect().await.map_err(|error| format!("half an answer: {error:?}"))?.to_bytes()
        };
        let bytes = match head.headers.get("content-encoding") {
            // The answer to a HEAD has no body.
            Some(coding) if coding == "gzip" && !bytes.is_empty() => {
                let mut plain = Vec::new();
                GzDecoder::new(&*bytes).read_to_end(&mut plain).map_err(|error| format!("no gzip: {error}"))?;
                plain
            }
            Some(_) => Vec::new(),
            None => bytes.to_vec(),
        };
        let text = String::from_utf8(bytes).map_err(|_| "the body is no text".to_owned())?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, text })
    }
}

/// Returns whether an answer is an event stream, which ends only with the service.
pub(crate) fn is_endless(headers: &hyper::HeaderMap) -> bool {
    headers.get("content-type").is_some_and(|content_type| content_type.as_bytes().starts_with(b"text/event-stream"))
}

fn request(address: SocketAddr, attempt: &Attempt) -> Result<Request<Full<Bytes>>, String> {
    let mut builder = Request::builder().method(attempt.method.as_str());
    builder = match attempt.protocol {
        Protocol::Http1 => builder.uri(&attempt.target).header("host", address.to_string()),
        Protocol::Http2 => builder.uri(format!("http://{address}{}", attempt.target)),
    };
    for (name, value) in &attempt.headers {
        builder = builder.header(name, &value[..]);
    }
    builder.body(Full::from(attempt.body.clone())).map_err(|error| format!("the attempt is no request: {error}"))
}
