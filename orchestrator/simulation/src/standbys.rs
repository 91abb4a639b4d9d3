//! The standbys of the databases. While one is cut off its primary confirms no commit, but rows that were committed are
//! visible. In the end the standby is back, or it takes over with the rows that it had: then rows that were read are
//! lost.

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use super::durable_log::Replica;
use super::participants::Participants;
use super::sim::Sim;

/// A database with a standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Database {
    SagaLog,
    Participant(SmolStr),
}

/// The end of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutEnd {
    /// The standby is back and fetches what it missed.
    Back,
    /// The standby takes over.
    TakesOver,
}

/// The standbys that are cut off, with the rows that they had then.
#[derive(Default)]
pub(super) struct Standbys(Vec<(Database, Standby)>);

enum Standby {
    SagaLog(Replica),
    /// The participant's part counts.
    Participant(Box<Participants>),
}

impl Standbys {
    /// Tells whether commits of this database are confirmed.
    pub(super) fn confirm(&self, database: &Database) -> bool {
        self.0.iter().all(|(of, _)| of != database)
    }

    fn take(&mut self, database: &Database) -> Option<Standby> {
        let place = self.0.iter().position(|(of, _)| of == database)?;
        Some(self.0.remove(place).1)
    }
}

impl Sim {
    /// Tells whether commits of this database, barriers among them, are confirmed.
    pub(super) fn confirms(&self, database: &Database) -> bool {
        self.lock().standbys.confirm(database)
    }

    /// Cuts the standby of a database off, unless it is.
    pub(super) fn cut_standby_off(self: &Arc<Self>, database: Database, lasts: Duration, end: CutEnd) {
        {
            let mut inner = self.lock();
            if !inner.standbys.confirm(&database) {
                return;
            }
            inner.tally.standby_cuts += 1;
            let standby = match database {
                Database::SagaLog => Standby::SagaLog(inner.log.replica()),
                Database::Participant(_) => Standby::Participant(Box::new(inner.participants.clone())),
            };
            inner.standbys.0.push((database.clone(), standby));
        }
        self.note(|_| "network".to_owned(), |_| format!("cuts off the standby of {database:?} for {lasts:?}"));
        self.after(lasts, move |sim| sim.end_cut(database, end));
    }

    fn end_cut(&self, database: Database, end: CutEnd) {
        {
            let mut inner = self.lock();
            let standby = inner.standbys.take(&database);
            match (end, standby, database.clone()) {
                (CutEnd::TakesOver, Some(Standby::SagaLog(replica)), _) => {
                    inner.tally.failovers += 1;
                    inner.tally.rows_lost += inner.log.fail_over(replica);
                }
                (CutEnd::TakesOver, Some(Standby::Participant(standby)), Database::Participant(name)) => {
                    inner.tally.failovers += 1;
                    inner.participants.fail_over(&name, *standby);
                }
                (CutEnd::TakesOver | CutEnd::Back, ..) => {}
            }
        }
        self.note(|_| "network".to_owned(), |_| format!("the standby of {database:?}: {end:?}"));
    }
}
