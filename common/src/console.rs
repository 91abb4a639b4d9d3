//! Standard output and standard error. All that this process writes there is written here.
//!
//! A reader may be gone (`| head`, a terminal that was closed), a disk may be full, a terminal may be stopped. The print
//! macros panic on the first two and block on the third, in the task that happens to print, so the lints forbid them. Here
//! an error of standard output is a value, and standard error is written by a thread of its own: no service waits for it.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use crate::printable::without_format_characters;

/// Lines that may wait for standard error; further ones are lost, and counted.
const MAX_WAITING: usize = 8_192;

/// Whether standard output still has a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// It reads on.
    There,
    /// It has seen enough, or its terminal was closed.
    Gone,
}

/// Writes a text to standard output, as it is, and flushes it.
///
/// # Errors
/// Those that a user can do something about, such as a full disk. A reader that is gone is not among them.
pub fn write(text: &str) -> io::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe || is_hung_up(&error) => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Writes a line to standard error, after those that wait there. It never blocks; an error has no place to be told.
pub fn complain(line: &str) {
    ERRORS.get_or_init(Errors::start).write(format!("{line}\n").into_bytes());
}

/// Waits until standard error has taken all that was written, for at most so long.
pub fn flush(patience: Duration) {
    if let Some(errors) = ERRORS.get() {
        errors.flush(patience);
    }
}

/// A terminal that was closed answers every write with EIO; so does a broken disk, which is told.
fn is_hung_up(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    let is_device = || {
        let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        out.and_then(|out| out.metadata()).is_ok_and(|metadata| metadata.file_type().is_char_device())
    };
    error.raw_os_error() == Some(EIO) && is_device()
}

static ERRORS: OnceLock<Errors> = OnceLock::new();

/// The lines that wait for standard error.
struct Errors {
    /// `None`: there is no thread for it.
    sender: Option<Sender<Waiting>>,
    /// Lines sent and not yet taken.
    waiting: &'static AtomicUsize,
    lost: &'static AtomicUsize,
}

enum Waiting {
    Line(Vec<u8>),
    /// Answered when all lines before it are written.
    Mark(Sender<()>),
}

impl Errors {
    fn start() -> Self {
        static WAITING: AtomicUsize = AtomicUsize::new(0);
        static LOST: AtomicUsize = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        let started = thread::Builder::new()
            .name("standard-error".to_owned())
            .spawn(move || write_all(&receiver, &WAITING, &LOST));
        Self { sender: started.is_ok().then_some(sender), waiting: &WAITING, lost: &LOST }
    }

    fn write(&self, line: Vec<u8>) {
        let Some(sender) = &self.sender else {
            let _ = io::stderr().write_all(&line);
            return;
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // The thread lasts as long as the process.
        let _ = sender.send(Waiting::Line(line));
    }

    fn flush(&self, patience: Duration) {
        let (written, done) = mpsc::channel();
        if let Some(sender) = &self.sender
            && sender.send(Waiting::Mark(written)).is_ok()
        {
            let _ = done.recv_timeout(patience);
        }
    }
}

fn write_all(receiver: &Receiver<Waiting>, waiting: &AtomicUsize, lost: &AtomicUsize) {
    let mut errors = io::stderr();
    for next in receiver {
        match next {
            Waiting::Line(line) => {
                let _ = errors.write_all(&line);
                waiting.fetch_sub(1, Ordering::Relaxed);
                let lost = lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(lost, "lines of the log are missing: standard error was not read");
                }
            }
            Waiting::Mark(written) => drop(written.send(())),
        }
    }
}

/// What a line of the log may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLine {
    /// Text that a terminal may show. The subscriber replaces control characters; format characters are replaced here.
    Text,
    /// JSON, one object a line, read by programs.
    Json,
}

impl MakeWriter<'_> for LogLine {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// The subscriber writes a line at once.
impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = match self {
            Self::Text => str::from_utf8(line).ok(),
            Self::Json => None,
        };
        let bytes = text.map_or_else(|| line.to_vec(), |text| without_format_characters(text).into_bytes());
        ERRORS.get_or_init(Errors::start).write(bytes);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
