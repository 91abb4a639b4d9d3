//! The pending faults, by database.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::session::Run;
use crate::PATIENCE;

/// The lost part of a commit or of another statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The request: nothing has happened.
    CommitLost,
    /// The reply: the statement has taken effect.
    ReplyLost,
}

/// A fault of one statement. Dropping it releases a delayed statement; a fault that has not struck stays armed.
pub struct StatementFault {
    struck: watch::Receiver<bool>,
    release: watch::Sender<bool>,
}

impl StatementFault {
    /// Returns whether the statement has arrived.
    pub fn has_struck(&self) -> bool {
        *self.struck.borrow()
    }

    /// Waits until the statement has arrived.
    ///
    /// # Panics
    /// On timeout.
    pub async fn struck(&mut self) {
        let struck = timeout(PATIENCE, self.struck.wait_for(|has_struck| *has_struck)).await;
        assert!(struck.is_ok_and(|struck| struck.is_ok()), "the statement has not come");
    }

    /// Forwards a delayed statement.
    pub fn release(self) {
        self.release.send_replace(true);
    }
}

/// The fault of a message.
pub(super) enum Strike {
    Lose(Loss),
    /// The message waits until this is true.
    Delay(watch::Receiver<bool>),
}

struct Commit {
    loss: Loss,
    /// Number of commits that pass before it.
    pass: usize,
}

struct Statement {
    database: String,
    text: String,
    pass: usize,
    /// `None` means a delay.
    loss: Option<Loss>,
    struck: watch::Sender<bool>,
    released: watch::Receiver<bool>,
}

#[derive(Default)]
struct ToCome {
    commits: HashMap<String, Commit>,
    statements: Vec<Statement>,
    /// By database: the parent of its connections' tokens.
    cuts: HashMap<String, CancellationToken>,
}

#[derive(Default)]
pub(super) struct Faults(Mutex<ToCome>);

impl Faults {
    pub(super) fn lose_commit(&self, database: &str, loss: Loss, pass: usize) {
        self.0.lock().commits.insert(database.to_owned(), Commit { loss, pass });
    }

    pub(super) fn is_commit_armed(&self, database: &str) -> bool {
        self.0.lock().commits.contains_key(database)
    }

    pub(super) fn add(&self, database: &str, text: &str, pass: usize, loss: Option<Loss>) -> StatementFault {
        let (sender, struck) = watch::channel(false);
        let (release, released) = watch::channel(false);
        self.0.lock().statements.push(Statement {
            database: database.to_owned(),
            text: text.to_owned(),
            pass,
            loss,
            struck: sender,
            released,
        });
        StatementFault { struck, release }
    }

    /// Returns the token that is cancelled when a new connection of a database is to be cut.
    pub(super) fn cut_of(&self, database: &str) -> CancellationToken {
        self.0.lock().cuts.entry(database.to_owned()).or_default().child_token()
    }

    pub(super) fn cut(&self, database: &str) {
        if let Some(cut) = self.0.lock().cuts.remove(database) {
            cut.cancel();
        }
    }

    /// Counts the statement of a message and returns its fault, if any.
    pub(super) fn strike(&self, database: &str, run: &Run) -> Option<Strike> {
        let text = run.text.as_deref()?;
        let mut to_come = self.0.lock();
        if run.commits
            && let Some(commit) = to_come.commits.get_mut(database)
        {
            match commit.pass {
                0 => return to_come.commits.remove(database).map(|commit| Strike::Lose(commit.loss)),
                _ => commit.pass -= 1,
            }
        }
        let index = to_come
            .statements
            .iter()
            .position(|statement| statement.database == database && text.contains(&statement.text))?;
        let statement = &mut to_come.statements[index];
        if statement.pass > 0 {
            statement.pass -= 1;
            return None;
        }
        let Statement { loss, struck, released, .. } = to_come.statements.remove(index);
        struck.send_replace(true);
        Some(loss.map_or(Strike::Delay(released), Strike::Lose))
    }
}
