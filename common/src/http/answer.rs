//! Reads answers of other services into memory for display: journals, supervision trees, lists.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;

use crate::reason::with_causes;

/// The longest answer accepted: several times the longest list of any service.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Reads an answer, up to [`MAX_ANSWER_BYTES`].
///
/// # Errors
/// A line with the reason: the answer breaks off, or is too long.
pub async fn read_answer<B>(body: B) -> Result<Bytes, String>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(format!("the answer is longer than {} MiB", MAX_ANSWER_BYTES >> 20))
        }
        Err(error) => Err(with_causes(&*error)),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn an_answer_without_an_end_is_not_read_on_and_on() {
        let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 1 << 20])));
        let endless = StreamBody::new(stream::repeat_with(piece));
        assert_eq!(read_answer(endless).await.unwrap_err(), "the answer is longer than 16 MiB");
        let short = Full::new(Bytes::from_static(b"{}"));
        assert_eq!(read_answer(short).await.unwrap(), "{}");
    }
}
