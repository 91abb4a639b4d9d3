//! Standard output and standard error. Everything this process writes to them passes through this module.
//!
//! The reader may be gone (`| head`, a closed terminal), the disk may be full, the terminal may be stopped. The print
//! macros panic in the first two cases and block in the third, in whichever task prints, so the lints forbid them. Here
//! an error of standard output is a value, and a dedicated thread writes standard error: no service waits for it.

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

/// Capacity of the queue for standard error; further lines are dropped and counted.
const MAX_WAITING: usize = 8_192;

/// Whether standard output still has a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The reader is still there.
    There,
    /// The reader closed the pipe, or the terminal was closed.
    Gone,
}

/// Writes a text to standard output unchanged and flushes it.
///
/// # Errors
/// I/O errors that a user can fix, such as a full disk. A reader that is gone is [`Reader::Gone`], not an error.
pub fn write(text: &str) -> io::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe || is_hung_up(&error) => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Queues a line for standard error, after the lines already queued. It never blocks; write errors are dropped, since
/// there is no other place to report them.
pub fn complain(line: &str) {
    ERRORS.get_or_init(Errors::start).write(format!("{line}\n").into_bytes());
}

/// Waits until all queued lines are written to standard error, at most `patience`.
pub fn flush(patience: Duration) {
    if let Some(errors) = ERRORS.get() {
        errors.flush(patience);
    }
}

/// A closed terminal answers every write with EIO. So does a broken disk, so EIO counts only on a character device.
fn is_hung_up(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    let is_device = || {
        let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        out.and_then(|out| out.metadata()).is_ok_and(|metadata| metadata.file_type().is_char_device())
    };
    error.raw_os_error() == Some(EIO) && is_device()
}

static ERRORS: OnceLock<Errors> = OnceLock::new();

/// The queue of lines for standard error.
struct Errors {
    /// `None`: the thread could not be started, so lines are written directly.
    sender: Option<Sender<Waiting>>,
    /// Lines queued and not yet written.
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
                    tracing::warn!(lost, "log lines were dropped: standard error was not read");
                }
            }
            Waiting::Mark(written) => drop(written.send(())),
        }
    }
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLine {
    /// Text for a terminal. The subscriber escapes control characters; format characters are escaped here.
    Text,
    /// JSON, one object a line, for programs.
    Json,
}

impl MakeWriter<'_> for LogLine {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// The subscriber passes one whole line per call.
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
