//! Malformed requests, sent as raw bytes on a connection.

use std::net::SocketAddr;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{PATIENCE, http::Answer};

/// Sends the bytes of an HTTP/1.1 request and reads the answer until the service closes the connection, so the request
/// should say `Connection: close`.
///
/// # Errors
/// When the reply is not an HTTP answer, or none arrives.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Result<Answer, String> {
    let mut connection = TcpStream::connect(address).await.map_err(|error| format!("cannot connect: {error}"))?;
    // A service may answer and close before it has read everything, so a write error is ignored.
    let _ = connection.write_all(request).await;
    let mut received = Vec::new();
    let read = timeout(PATIENCE, connection.read_to_end(&mut received)).await;
    let end = match read {
        Err(_) => "the connection stays open".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(_)) => "closed".to_owned(),
    };
    parse(&received).ok_or_else(|| format!("no answer ({end}): {:?}", String::from_utf8_lossy(&received)))
}

fn parse(received: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(received).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.trim()).ok()?);
    }
    Some(Answer { status, headers, text: body.to_owned() })
}
