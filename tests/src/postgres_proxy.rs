//! A proxy before PostgreSQL that loses, delays and cuts: the moments in which a client cannot know what happened.
//!
//! ```text
//! service ── commit ──►│proxy│── commit ──► PostgreSQL      CommitLost: this one never arrives
//!         ◄───────────-│     │◄──── done ──                ReplyLost: this one never arrives; it has happened
//! ```
//! Either way the connection is gone. A fault is for one database: a connection's first message tells which one it is for.
//! Statements are named by a piece of their text; a prepared one strikes when it is run, not when it is prepared.

mod faults;
mod session;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
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

/// A proxy before the socket of a server. It ends with its value.
pub struct PostgresProxy {
    /// The URL of the server through this proxy.
    pub url: String,
    faults: Arc<Faults>,
    /// The socket that new connections are carried to.
    server: Arc<Mutex<PathBuf>>,
    acceptor: JoinHandle<()>,
    _folder: TemporaryFolder,
}

/// Connections are cut again and again, until this is dropped.
pub struct Cutting(JoinHandle<()>);

impl PostgresProxy {
    /// Starts a proxy before the server with this URL, which must name a folder of sockets.
    ///
    /// # Panics
    /// When it cannot.
    pub fn before(server_url: &str) -> Self {
        let server = Arc::new(Mutex::new(socket_of(server_url)));
        let folder = TemporaryFolder::new();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a new folder takes a socket");
        let url =
            format!("postgres://postgres@/postgres?host={}", folder.path().display().to_string().replace('/', "%2F"));
        let faults = Arc::<Faults>::default();
        let (known, target) = (faults.clone(), server.clone());
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = target.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let faults = known.clone();
                tokio::spawn(async move {
                    if let Ok(server) = UnixStream::connect(target).await {
                        carry(client, server, &faults).await;
                    }
                });
            }
        });
        Self { url, faults, server, acceptor, _folder: folder }
    }

    /// Loses a commit of a database, after some more have passed.
    pub fn lose(&self, database: &str, loss: Loss, pass: usize) {
        self.faults.lose_commit(database, loss, pass);
    }

    /// Says whether the loss of a commit is still to come.
    pub fn is_armed(&self, database: &str) -> bool {
        self.faults.is_commit_armed(database)
    }

    /// Loses a statement that has this in its text, after some more of them have passed.
    pub fn lose_statement(&self, database: &str, text: &str, loss: Loss, pass: usize) -> StatementFault {
        self.faults.add(database, text, pass, Some(loss))
    }

    /// Delays a statement that has this in its text, after some more of them have passed, until it is released. It arrives
    /// then, even where its client has left meanwhile.
    pub fn delay_statement(&self, database: &str, text: &str, pass: usize) -> StatementFault {
        self.faults.add(database, text, pass, None)
    }

    /// Cuts all connections of a database that there are now.
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

    /// Carries new connections to another server, whose URL must name a folder of sockets too.
    ///
    /// # Panics
    /// When it does not.
    pub fn redirect(&self, server_url: &str) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = socket_of(server_url);
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

/// What the server is still left to do once nothing more is carried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing: its connection is cut at once.
    Cut,
    /// What it was asked for. A server that cannot deliver its answers gives up, even before a commit, so they are read.
    Finish,
}

async fn carry(client: UnixStream, server: UnixStream, faults: &Faults) {
    let (client_read, client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    let mut session = Session::default();
    let mut replies = Replies::default();
    // Dropping both ends of both is what cuts the connection, as soon as one direction is over.
    let rest = tokio::select! {
        rest = pass_requests(client_read, &mut server_write, faults, &mut session) => rest,
        () = pass_replies(&mut server_read, client_write, &mut replies) => Rest::Cut,
    };
    if rest == Rest::Finish {
        finish(&mut server_read, &mut replies, session.asked()).await;
    }
}

async fn pass_replies(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, replies: &mut Replies) {
    let mut buffer = vec![0; 64 * 1024];
    let mut is_heard = true;
    loop {
        match from.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                replies.count(&buffer[..length]);
                // A client that has left ends the connection by its own direction.
                is_heard = is_heard && to.write_all(&buffer[..length]).await.is_ok();
            }
            _ => return,
        }
    }
}

/// Reads until the server has answered everything.
async fn finish(mut server: impl AsyncRead + Unpin, replies: &mut Replies, asked: usize) {
    let mut buffer = [0; 4096];
    while replies.answered() < asked {
        match server.read(&mut buffer).await {
            Ok(length) if length > 0 => replies.count(&buffer[..length]),
            _ => return,
        }
    }
}

/// Passes requests on, whole messages only, until one is to be lost or the connection is cut.
async fn pass_requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    faults: &Faults,
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
        unsent.extend_from_slice(&buffer[..length]);
        let mut whole = 0;
        while let Some(message) = session.next_message(&unsent[whole..]) {
            let (begins_at, ends_at) = (whole, whole + message.len());
            let run = session.note(message, faults);
            match faults.strike(&session.database, &run) {
                None => {}
                Some(Strike::Lose(Loss::CommitLost)) => {
                    // The connection is cut either way.
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
