//! The bytes of a connection between its socket and hyper.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::line::{Line, Refusal};

/// A socket that records its traffic. When HTTP has ended, the line gets the socket.
pub(super) struct Wire {
    /// `None` only during drop.
    stream: Option<TcpStream>,
    line: Arc<Line>,
    is_blocked: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self { stream: Some(stream), line, is_blocked: false }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("the stream is taken only on drop"))
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (written.is_pending(), self.is_blocked) {
            (true, false) => self.line.blocked(),
            (false, true) => self.line.unblocked(),
            (true, true) | (false, false) => {}
        }
        self.is_blocked = written.is_pending();
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.stream().poll_read(context, buffer);
        if read.is_pending() {
            self.line.wait();
        }
        ready!(read)?;
        self.line.read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.line.is_refusal(bytes) {
            // Hyper's answer is empty; a full one is sent when hyper has ended.
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = self.stream().poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.first().is_some_and(|bytes| self.line.is_refusal(bytes)) {
            return Poll::Ready(Ok(slices.iter().map(|bytes| bytes.len()).sum()));
        }
        let written = self.stream().poll_write_vectored(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// While events are streamed, checks whether the listener is still connected: otherwise a disconnect would go
    /// unnoticed until the next write. Hyper does not read then, and flushes whenever the connection is woken.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.has_streams() {
            let mut byte = [0];
            let peeked = self.stream().poll_peek(context, &mut ReadBuf::new(&mut byte));
            if matches!(peeked, Poll::Ready(Ok(0) | Err(_))) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.line.refusal() {
            Refusal::Unsaid(_) => Poll::Ready(Ok(())),
            Refusal::None | Refusal::Said => self.stream().poll_shutdown(context),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.line.leave(stream);
        }
    }
}
