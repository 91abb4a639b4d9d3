//! Reads the books of the live system, all five databases together, and judges them: the work behind `ecommerce audit`.
//!
//! The databases have no common moment, so the order of reading is what makes the facts comparable:
//! ```text
//! log ──────► participants ──────► log again, for ids that it did not show
//!  │ an end that is seen here       │ an effect that is seen there
//!  └ had all its effects before     └ had its saga before
//! ```
//! Only sagas that the first look saw ended are judged by their effects. What one participant holds is read at one
//! moment, its journal with its rows.
//!
//! Large books are read in parts, by ranges of transaction ids, so that memory stays bounded. Everything is read by
//! transactions that cannot write, one a part, so that the audit neither holds up the vacuum nor anybody else.
//! The databases of one system sort alike. Times of two databases are compared exactly where one server keeps both, and
//! with an allowance of a second where not.

mod log;
mod participants;
mod range;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use common::{
    config::Settings,
    db::{Connection, DbError, describe},
};
use orchestrator::invariants::{Books, Participant, Report, Run, judge};
use thiserror::Error;

use self::{log::Log, participants::Journaled, range::Range};

/// By how much the clocks of two servers may differ: far more than NTP leaves.
const CLOCK_ALLOWANCE: TimeDelta = TimeDelta::seconds(1);

/// How much is read at once, and kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sagas, or transactions without one, in one part.
    pub part: i64,
    /// Findings of one invariant that are kept; all are counted.
    pub findings: usize,
}

impl Default for Limits {
    /// Some ten megabytes of facts at once, and as many findings as a person looks at.
    fn default() -> Self {
        Self { part: 10_000, findings: 20 }
    }
}

/// Why the books could not be read.
#[derive(Debug, Error)]
pub enum BooksError {
    /// A database does not let us in.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A database does not answer as it should.
    #[error("the database of {service} says: {}", describe(.source))]
    Statement {
        /// Whose.
        service: &'static str,
        /// What it said.
        source: tokio_postgres::Error,
    },
}

/// Judges the books by every invariant.
///
/// # Errors
/// [`BooksError`] if a database cannot be read.
pub async fn audit(settings: &Settings, run: Run, limits: Limits) -> Result<Report, BooksError> {
    let log = Log::open(settings).await?;
    let participants = [
        Journaled::open(settings, Participant::Payments).await?,
        Journaled::open(settings, Participant::Inventory).await?,
        Journaled::open(settings, Participant::Purchases).await?,
    ];
    let clock_allowance = clock_allowance(&participants).await?;
    let newest = log.newest().await?;
    let mut report = judge(&Books::default(), run);
    let mut range = Range::start();
    loop {
        let mut books = Books { clock_allowance, ..Books::default() };
        let last_saga = match newest {
            Some(newest) => log.read_after(&range, newest, limits.part, &mut books).await?,
            None => None,
        };
        range = match last_saga {
            Some(last) => range.up_to_saga(last),
            None => {
                let boundary = boundary(&participants, &range, limits.part).await?;
                range.up_to(boundary)
            }
        };
        for participant in &participants {
            participant.read(&range, &mut books).await?;
        }
        log.read_missing(&mut books).await?;
        report.absorb(judge(&books, run), limits.findings);
        match range.next() {
            Some(next) => range = next,
            None => break,
        }
    }
    // The stock is compared within one database, so it is one moment's, whatever came before.
    let shelves = participants[1].shelves().await?;
    report.absorb(judge(&Books { shelves, ..Books::default() }, run), limits.findings);
    Ok(report)
}

/// Returns by how much the clocks of the databases may differ.
async fn clock_allowance(participants: &[Journaled]) -> Result<TimeDelta, BooksError> {
    let mut servers = BTreeSet::new();
    for participant in participants {
        servers.insert(participant.server().await?);
    }
    Ok(if servers.len() == 1 { TimeDelta::zero() } else { CLOCK_ALLOWANCE })
}

/// Returns where a part without sagas ends; `None` for the last one.
async fn boundary(participants: &[Journaled], range: &Range, part: i64) -> Result<Option<String>, BooksError> {
    let mut boundary: Option<String> = None;
    for participant in participants {
        if let Some(id) = participant.nth_after(range, part).await? {
            boundary = Some(boundary.map_or_else(|| id.clone(), |nearest| nearest.min(id.clone())));
        }
    }
    Ok(boundary)
}

/// Opens a session that may take its time, since an audit reads whole tables, and can write nothing.
async fn open(settings: &Settings, service: &'static str) -> Result<Connection, BooksError> {
    const PATIENT_READER: &str = "\
        set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
        set default_transaction_read_only = on; set default_transaction_isolation = 'repeatable read'";
    let database = &settings.service(service).database;
    let connection = Connection::open(&settings.database_url(service), database, &settings.database).await?;
    let set = connection.client().batch_execute(PATIENT_READER).await;
    set.map_err(|source| BooksError::Statement { service, source })?;
    Ok(connection)
}
