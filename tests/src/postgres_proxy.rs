//! A proxy before PostgreSQL that loses, delays and cuts: it produces the states in which a client cannot know the
//! outcome.
//!
//! ```text
//! service ── commit ──►│proxy│── commit ──► PostgreSQL      CommitLost: the commit never arrives
//!         ◄───────────-│     │◄──── done ──                ReplyLost: committed, but the reply never arrives
//! ```
//! In both cases the connection is cut. A fault applies to one database, named in a connection's first message.
//! Statements are matched by a part of their text; a prepared one matches when it is executed, not when it is prepared.

mod faults;
mod session;

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
    time::interval,
};

use self::{
    faults::{Faults, Strike},
    session::{Replies, Session},
};
use crate::files::TemporaryFolder;

pub use self::faults::{Loss, StatementFault};

/// The name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// A proxy before the socket of a server; it ends when dropped.
pub struct PostgresProxy {
    /// The URL of the server through this proxy.
    pub url: String,
    faults: Arc<Faults>,
    /// The server's socket for new connections.
    server: Arc<Mutex<PathBuf>>,
    /// Whether nothing is forwarded.
    held: watch::Sender<bool>,
    acceptor: JoinHandle<()>,
    _folder: TemporaryFolder,
}

/// Cuts connections repeatedly, until dropped.
pub struct Cutting(JoinHandle<()>);

impl PostgresProxy {
    /// Starts a proxy before the server with this URL, which must name a folder of sockets.
    ///
    /// # Panics
    /// When it does not start.
    pub fn before(server_url: &str) -> Self {
        let server = Arc::new(Mutex::new(socket_of(server_url)));
        let folder = TemporaryFolder::new();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a new folder takes a socket");
        let url =
            format!("postgres://postgres@/postgres?host={}", folder.path().display().to_string().replace('/', "%2F"));
        let faults = Arc::<Faults>::default();
        let (held, holding) = watch::channel(false);
        let (known, target) = (faults.clone(), server.clone());
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = target.lock().clone();
                let (faults, holding) = (known.clone(), holding.clone());
                tokio::spawn(async move {
                    if let Ok(server) = UnixStream::connect(target).await {
                        carry(client, server, &faults, &holding).await;
                    }
                });
            }
        });
        Self { url, faults, server, held, acceptor, _folder: folder }
    }

    /// Loses a commit of a database, after `pass` commits.
    pub fn lose(&self, database: &str, loss: Loss, pass: usize) {
        self.faults.lose_commit(database, loss, pass);
    }

    /// Returns whether a loss is still pending for the database's commits.
    pub fn is_armed(&self, database: &str) -> bool {
        self.faults.is_commit_armed(database)
    }

    /// Loses a statement that contains this text, after `pass` such statements.
    pub fn lose_statement(&self, database: &str, text: &str, loss: Loss, pass: usize) -> StatementFault {
        self.faults.add(database, text, pass, Some(loss))
    }

    /// Delays a statement that contains this text, after `pass` such statements, until it is released. Then it arrives,
    /// even if its client has left.
    pub fn delay_statement(&self, database: &str, text: &str, pass: usize) -> StatementFault {
        self.faults.add(database, text, pass, None)
    }

    /// Cuts all current connections of a database.
    pub fn cut(&self, database: &str) {
        self.faults.cut(database);
    }

    /// Cuts all connections of a database now and at this interval, until the value is dropped.
    pub fn cut_every(&self, database: &str, every: Duration) -> Cutting {
        let (faults, database) = (self.faults.clone(), database.to_owned());
        Cutting(tokio::spawn(async move {
            let mut ticks = interval(every);
            loop {
                ticks.tick().await;
                faults.cut(&database);
            }
        }))
    }

    /// Stops forwarding, like a network that drops packets: connections are accepted and stay open, but nothing passes.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Returns whether forwarding is stopped.
    pub fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Resumes forwarding, and forwards the held bytes.
    pub fn flow(&self) {
        self.held.send_replace(false);
    }

    /// Forwards new connections to another server, whose URL must name a folder of sockets too.
    ///
    /// # Panics
    /// When the URL does not.
    pub fn redirect(&self, server_url: &str) {
        *self.server.lock() = socket_of(server_url);
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Drop for Cutting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn socket_of(server_url: &str) -> PathBuf {
    let config: tokio_postgres::Config = server_url.parse().expect("the launcher gives a good URL");
    match config.get_hosts() {
        [tokio_postgres::config::Host::Unix(folder)] => folder.join(SOCKET),
        hosts => panic!("{hosts:?} is not one folder of sockets"),
    }
}

/// The server's remaining work after forwarding has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// None: its connection is cut at once.
    Cut,
    /// Its requests. A server that cannot send its answers gives up, even before a commit, so the answers are read.
    Finish,
}

async fn carry(client: UnixStream, server: UnixStream, faults: &Faults, held: &watch::Receiver<bool>) {
    let (client_read, client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    let mut session = Session::default();
    let mut replies = Replies::default();
    // When one direction ends, dropping all ends cuts the connection.
    let rest = tokio::select! {
        rest = pass_requests(client_read, &mut server_write, faults, held.clone(), &mut session) => rest,
        () = pass_replies(&mut server_read, client_write, held.clone(), &mut replies) => Rest::Cut,
    };
    if rest == Rest::Finish {
        finish(&mut server_read, &mut replies, session.asked()).await;
    }
}

async fn pass_replies(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut held: watch::Receiver<bool>,
    replies: &mut Replies,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut is_heard = true;
    loop {
        match from.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                replies.count(&buffer[..length]);
                // An error means that the proxy has ended.
                let _ = held.wait_for(|is_held| !is_held).await;
                // After the client has left, the other direction ends the connection.
                is_heard = is_heard && to.write_all(&buffer[..length]).await.is_ok();
            }
            _ => return,
        }
    }
}

/// Reads until the server has answered all requests.
async fn finish(mut server: impl AsyncRead + Unpin, replies: &mut Replies, asked: usize) {
    let mut buffer = [0; 4096];
    while replies.answered() < asked {
        match server.read(&mut buffer).await {
            Ok(length) if length > 0 => replies.count(&buffer[..length]),
            _ => return,
        }
    }
}

/// Forwards whole messages until one is to be lost or the connection is cut.
async fn pass_requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    faults: &Faults,
    mut held: watch::Receiver<bool>,
    session: &mut Session,
) -> Rest {
    let (mut unsent, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let mut rest = Rest::Cut;
    let mut reply_is_lost = false;
    loop {
        let length = tokio::select! {
            () = session.cut.cancelled() => return Rest::Cut,
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        if length == 0 {
            return rest;
        }
        tokio::select! {
            () = session.cut.cancelled() => return Rest::Cut,
            // An error means that the proxy has ended.
            _ = held.wait_for(|is_held| !is_held) => {}
        }
        unsent.extend_from_slice(&buffer[..length]);
        let mut whole = 0;
        while let Some(message) = session.next_message(&unsent[whole..]) {
            let (begins_at, ends_at) = (whole, whole + message.len());
            let run = session.note(message, faults);
            match faults.strike(&session.database, &run) {
                None => {}
                Some(Strike::Lose(Loss::CommitLost)) => {
                    // A write error does not matter: the connection is cut anyway.
                    let _ = to.write_all(&unsent[..begins_at]).await;
                    return Rest::Cut;
                }
                Some(Strike::Lose(Loss::ReplyLost)) => (reply_is_lost, rest) = (true, Rest::Finish),
                Some(Strike::Delay(mut released)) => {
                    if to.write_all(&unsent[..begins_at]).await.is_err() {
                        return rest;
                    }
                    unsent.drain(..begins_at);
                    whole = 0;
                    rest = Rest::Finish;
                    tokio::select! {
                        () = session.cut.cancelled() => return Rest::Cut,
                        // An error means that its handle was dropped, which releases it too.
                        _ = released.wait_for(|is_released| *is_released) => {}
                    }
                    whole += ends_at - begins_at;
                    session.sent(&unsent[..whole]);
                    continue;
                }
            }
            whole = ends_at;
            session.sent(&unsent[begins_at..ends_at]);
        }
        if to.write_all(&unsent[..whole]).await.is_err() {
            return rest;
        }
        unsent.drain(..whole);
        if reply_is_lost && unsent.is_empty() && session.is_synced() {
            return Rest::Finish;
        }
    }
}

#[cfg(test)]
mod tests;
