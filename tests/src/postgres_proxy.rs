//! A proxy before PostgreSQL that loses a chosen commit: the moment in which a client cannot know what happened.
//!
//! ```text
//! service ── commit ──►│proxy│── commit ──► PostgreSQL      CommitLost: this one never arrives
//!         ◄───────────-│     │◄──── done ──                ReplyLost: this one never arrives; it has happened
//! ```
//! Either way the connection is gone. Which database a connection is for, its first message tells.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use crate::files::TemporaryFolder;

/// The name of a server's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// What is lost of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The commit itself: nothing has happened.
    CommitLost,
    /// Its reply: it has happened.
    ReplyLost,
}

/// A loss to come.
struct Armed {
    loss: Loss,
    /// Commits that pass before it.
    pass: usize,
}

type Plan = Arc<Mutex<HashMap<String, Armed>>>;

/// A proxy before the socket of a server. It ends with its value.
pub struct PostgresProxy {
    /// The URL of the server through this proxy.
    pub url: String,
    plan: Plan,
    acceptor: JoinHandle<()>,
    _folder: TemporaryFolder,
}

impl PostgresProxy {
    /// Starts a proxy before the server with this URL, which must name a folder of sockets.
    ///
    /// # Panics
    /// When it cannot.
    pub fn before(server_url: &str) -> Self {
        let config: tokio_postgres::Config = server_url.parse().expect("the launcher gives a good URL");
        let server = match config.get_hosts() {
            [tokio_postgres::config::Host::Unix(folder)] => folder.join(SOCKET),
            hosts => panic!("{hosts:?} is not one folder of sockets"),
        };
        let folder = TemporaryFolder::new();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a new folder takes a socket");
        let url =
            format!("postgres://postgres@/postgres?host={}", folder.path().display().to_string().replace('/', "%2F"));
        let plan = Plan::default();
        let planned = plan.clone();
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, plan) = (UnixStream::connect(server.clone()), planned.clone());
                tokio::spawn(async move {
                    if let Ok(server) = server.await {
                        carry(client, server, &plan).await;
                    }
                });
            }
        });
        Self { url, plan, acceptor, _folder: folder }
    }

    /// Loses a commit of a database, after some more have passed.
    pub fn lose(&self, database: &str, loss: Loss, pass: usize) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.insert(database.to_owned(), Armed { loss, pass });
    }

    /// Says whether the loss of a commit is still to come.
    pub fn is_armed(&self, database: &str) -> bool {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).contains_key(database)
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn carry(client: UnixStream, server: UnixStream, plan: &Plan) {
    let (client_read, client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    // Dropping both ends of both is what cuts the connection, as soon as one direction is over.
    let lost = tokio::select! {
        lost = pass_requests(client_read, &mut server_write, plan) => lost,
        () = pass(&mut server_read, client_write) => None,
    };
    if lost == Some(Loss::ReplyLost) {
        // A server that cannot deliver what it says gives up, even before it comes to the commit: so somebody listens.
        until_idle(&mut server_read).await;
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    // Fails when one of the two is gone, which is the end of both.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// Reads until the server says that no transaction is open any more.
async fn until_idle(mut server: impl AsyncRead + Unpin) {
    const IDLE: &[u8] = b"Z\0\0\0\x05I";
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    while !said.ends_with(IDLE) {
        match server.read(&mut buffer).await {
            Ok(length) if length > 0 => said.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
}

/// Passes requests on, whole messages only, until one is to be lost, which is returned.
async fn pass_requests(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, plan: &Plan) -> Option<Loss> {
    let (mut unsent, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let mut session = Session::default();
    loop {
        match from.read(&mut buffer).await {
            Ok(length) if length > 0 => unsent.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
        let mut whole = 0;
        let mut commits = 0;
        while let Some(message) = session.next_message(&unsent[whole..]) {
            commits += usize::from(session.commits(message));
            whole += message.len();
        }
        let loss = (0..commits).find_map(|_| loss_of(plan, &session.database));
        if loss == Some(Loss::CommitLost) || to.write_all(&unsent[..whole]).await.is_err() || loss.is_some() {
            return loss;
        }
        unsent.drain(..whole);
    }
}

/// What a connection's messages tell of it.
#[derive(Default)]
struct Session {
    has_started: bool,
    database: String,
    /// The prepared statements that write what somebody awaits.
    writes: HashSet<Vec<u8>>,
    is_in_transaction: bool,
}

impl Session {
    /// Returns the message that stands first, if all of it is there. The first of a connection has no type.
    fn next_message<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let typed = usize::from(self.has_started);
        let length = bytes.get(typed..typed + 4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes are four bytes"));
        bytes.get(..typed + length as usize)
    }

    /// Takes note of a message, and says whether the server commits something with it: at a `commit`, or where a statement
    /// that writes is a transaction by itself.
    fn commits(&mut self, message: &[u8]) -> bool {
        if !self.has_started {
            self.has_started = true;
            self.database = database_in(message);
            return false;
        }
        let mut texts = message[5..].split(|byte| *byte == 0);
        let mut next = || texts.next().unwrap_or_default();
        match message[0] {
            b'Q' => match next() {
                b"begin" => {
                    self.is_in_transaction = true;
                    false
                }
                sql => {
                    let is_end = [&b"commit"[..], b"rollback"].contains(&sql);
                    self.is_in_transaction &= !is_end;
                    sql == b"commit"
                }
            },
            b'P' => {
                let (name, sql) = (next().to_vec(), next());
                if WRITES.iter().any(|write| sql.windows(write.len()).any(|part| part == *write)) {
                    self.writes.insert(name);
                }
                false
            }
            b'B' => {
                let (_portal, name) = (next(), next());
                !self.is_in_transaction && self.writes.contains(name)
            }
            _ => false,
        }
    }
}

/// What stands in statements of the ledgers and of the saga log, and in no others.
const WRITES: [&[u8]; 2] = [b"insert into step_journal", b"insert into saga_event"];

/// Reads the database out of a connection's first message: names and values, each ended by a zero.
fn database_in(startup: &[u8]) -> String {
    let text = String::from_utf8_lossy(startup);
    let mut parts = text.split('\0');
    parts.find(|part| *part == "database");
    parts.next().unwrap_or_default().to_owned()
}

/// Counts a commit, and says whether it is to be lost.
fn loss_of(plan: &Plan, database: &str) -> Option<Loss> {
    let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
    let armed = plan.get_mut(database)?;
    match armed.pass {
        0 => plan.remove(database).map(|armed| armed.loss),
        _ => {
            armed.pass -= 1;
            None
        }
    }
}
