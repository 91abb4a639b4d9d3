//! Compression of the dashboard's data. A page of sagas is a hundred kilobytes of rows that are much alike, and operators
//! may be far away.

use std::io::Write;

use common::http::{ApiError, HeaderValue, Response, header};
use flate2::{Compression, write::GzEncoder};
use http_body_util::BodyExt;

/// Smaller bodies fit into a packet or two.
const WORTH_IT: usize = 1_024;

/// Compresses the body of a response.
///
/// # Errors
/// 500 if the body cannot be read.
pub(super) async fn compressed(response: Response) -> Result<Response, ApiError> {
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| ApiError::internal(error.to_string()))?.to_bytes();
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if body.len() < WORTH_IT {
        return Ok(Response::from_parts(parts, body.into()));
    }
    // Data is compressed once for each request, so speed counts more than size.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let body = encoder.write_all(&body).and_then(|()| encoder.finish()).expect("writing into memory does not fail");
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, body.into()))
}
