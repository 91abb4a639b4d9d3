//! Reads the facts of the live system, all five databases and the journals of named participants, and judges them: the
//! implementation of `ecommerce audit`.
//!
//! The databases share no snapshot, so the order of reading makes the facts comparable:
//! ```text
//! log ──────► participants ──────► log again, for ids without a saga so far
//!  │ a saga that has ended here     │ an effect that is found there
//!  └ had all its effects before     └ had its saga before
//! ```
//! Effects are judged only for sagas that had ended at the first read of the log. Each participant's journal and rows
//! are read in one snapshot.
//!
//! The facts are read in parts, by ranges of transaction ids, so that memory stays bounded. Each part has its own
//! read-only transaction, so that the audit delays neither vacuum nor any writer. All databases of a system use the
//! same collation. Times of two databases are compared exactly if one server holds both, else with an allowance of a
//! second.

mod journals;
mod log;
mod participants;
mod range;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use common::{
    config::Settings,
    db::{Connection, DbError, describe},
};
use orchestrator::invariants::{Facts, Participant, Report, Run, judge};
use thiserror::Error;

use self::{journals::NamedJournals, log::Log, participants::Journaled, range::Range};

/// Maximum difference between the clocks of two servers: far more than NTP leaves.
const CLOCK_ALLOWANCE: TimeDelta = TimeDelta::seconds(1);

/// Limits of memory and requests: facts per read, findings kept, journals read over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sagas, or transactions without a saga, in one part.
    pub part: i64,
    /// Findings kept per invariant; all are counted.
    pub findings: usize,
    /// Newest sagas, purchases aside, whose journals are read at named participants.
    pub journals: u32,
}

impl Default for Limits {
    /// About ten megabytes of facts at once, as many findings as a person reads, and seconds for journals.
    fn default() -> Self {
        Self { part: 10_000, findings: 20, journals: 1_000 }
    }
}

/// Why the facts could not be read.
#[derive(Debug, Error)]
pub enum FactsError {
    /// No connection to a database.
    #[error("{service} ({key}): {source}")]
    Database {
        /// The service whose database it is.
        service: &'static str,
        /// The key of the server's URL.
        key: String,
        /// The error of connecting.
        source: DbError,
    },
    /// A database without any record, of a participant that must have some by the saga log.
    #[error(
        "{service} ({key}): database {database} was never used, but the saga log has purchases with its answers. Is the \
         URL that of its server? Nothing was judged"
    )]
    NeverUsed {
        /// The participant.
        service: &'static str,
        /// The key of the server's URL.
        key: String,
        /// The name of the database.
        database: String,
    },
    /// A statement failed.
    #[error("the database of {service} returned an error: {}", describe(.source))]
    Statement {
        /// The service whose database failed.
        service: &'static str,
        /// The error of the database.
        source: tokio_postgres::Error,
    },
    /// No HTTP client could be made.
    #[error("no client for the participants' journals could be made: {0}")]
    Client(reqwest::Error),
}

/// Judges the facts by every invariant.
///
/// # Errors
/// [`FactsError`] if a database cannot be read, or is not the one that the participant used.
pub async fn audit(settings: &Settings, run: Run, limits: Limits) -> Result<Report, FactsError> {
    let log = Log::open(settings).await?;
    let mut participants = [
        Journaled::open(settings, Participant::Payments).await?,
        Journaled::open(settings, Participant::Inventory).await?,
        Journaled::open(settings, Participant::Purchases).await?,
    ];
    let clock_allowance = clock_allowance(&participants).await?;
    let newest = log.newest().await?;
    let without_journals = match newest {
        Some(newest) => log.nth_newest(newest, limits.journals.into()).await?,
        None => None,
    };
    let named = NamedJournals::open(settings, without_journals)?;
    let mut report = judge(&Facts::default(), run);
    let mut range = Range::start();
    loop {
        let mut facts = Facts { clock_allowance, ..Facts::default() };
        let last_saga = match newest {
            Some(newest) => log.read_after(&range, newest, limits.part, &mut facts).await?,
            None => None,
        };
        range = match last_saga {
            Some(last) => range.up_to_saga(last),
            None => {
                let boundary = boundary(&participants, &range, limits.part).await?;
                range.up_to(boundary)
            }
        };
        for participant in &mut participants {
            participant.check_used(settings, &facts).await?;
            participant.read(&range, &mut facts).await?;
        }
        named.read(&mut facts).await;
        log.read_missing(&mut facts).await?;
        report.absorb(judge(&facts, run), limits.findings);
        match range.next() {
            Some(next) => range = next,
            None => break,
        }
    }
    // All stock is in one database, so one read is one snapshot, independent of the parts read before.
    let stock = participants[1].stock().await?;
    report.absorb(judge(&Facts { stock, ..Facts::default() }, run), limits.findings);
    Ok(report)
}

/// Returns the maximum difference between the clocks of the databases.
async fn clock_allowance(participants: &[Journaled]) -> Result<TimeDelta, FactsError> {
    let mut servers = BTreeSet::new();
    for participant in participants {
        servers.insert(participant.server().await?);
    }
    Ok(if servers.len() == 1 { TimeDelta::zero() } else { CLOCK_ALLOWANCE })
}

/// Returns the end of a part without sagas; `None` for the last part.
async fn boundary(participants: &[Journaled], range: &Range, part: i64) -> Result<Option<String>, FactsError> {
    let mut boundary: Option<String> = None;
    for participant in participants {
        if let Some(id) = participant.nth_after(range, part).await? {
            boundary = Some(boundary.map_or_else(|| id.clone(), |nearest| nearest.min(id.clone())));
        }
    }
    Ok(boundary)
}

/// Opens a read-only session without timeouts, since an audit reads whole tables.
async fn open(settings: &Settings, service: &'static str) -> Result<Connection, FactsError> {
    const PATIENT_READER: &str = "\
        set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
        set default_transaction_read_only = on; set default_transaction_isolation = 'repeatable read'";
    let database = &settings.service(service).database;
    let opened = Connection::open(&settings.database_url(service), database, &settings.database).await;
    let unreachable = |source| FactsError::Database { service, key: settings.server_key(service), source };
    let connection = opened.map_err(unreachable)?;
    let set = connection.client().batch_execute(PATIENT_READER).await;
    set.map_err(|source| FactsError::Statement { service, source })?;
    Ok(connection)
}
