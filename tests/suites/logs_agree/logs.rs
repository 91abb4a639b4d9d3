//! Both logs, and each operation on both.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::config::DatabaseSettings;
use common::db::{self, Connection};
use common::group_commit::{BatchError, BatchWriter, Try};
use common::http::SecretHash;
use common::ids::UserId;
use common::money::Money;
use common::traces::Tracer;
use orchestrator::checkout::Order;
use orchestrator::store::claim::Claims;
use orchestrator::store::lease_session::LeaseSession;
use orchestrator::store::writer::{LogAnswer, LogItem, SagaLogWriter};
use orchestrator::store::{flags, hold, reader, retention};
use saga_engine::SagaId;
use saga_engine::change::BeginTold;
use saga_engine::definition::Outputs;
use saga_engine::lease::{RenewRequest, Renewal};
use saga_engine::owner::Owner;
use saga_engine::record::{Batching, Change, Fingerprint, IdempotencyKey, KeyScope, LogWrite, NewSaga};
use saga_engine::recovery::{ActorDeath, Claimer, Free, ListedRow};
use saga_simulation::durable_log::{DurableLog, LogNow};
use serde_json::json;
use tests::database::Database;
use tests::saga_log::SagaLog;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::operations::{HOUR, Kind, OPERATION, Operation, SAGAS, What, Write, Writer};
use crate::shown::{claim, look, report, shown};

/// Maximum number of rows in one claim.
const BATCH: i64 = 2;
/// Number of deaths of an actor after which its saga rests.
const MAX_CLAIMS: i32 = 2;
/// As in the simulator.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a process waits until the server knows that the session of its predecessor has ended.
const SESSION_ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Both logs, and the processes that use them.
pub(crate) struct Logs {
    memory: DurableLog,
    pool: db::Pool,
    database: Database,
    name: String,
    settings: DatabaseSettings,
    claimers: Vec<Claimer>,
    sagas: Vec<SagaId>,
}

impl Logs {
    pub(crate) async fn new() -> Self {
        let SagaLog { name, settings, pool, database } = SagaLog::new().await;
        let (claimers, sagas) = (Vec::new(), Vec::new());
        Self { memory: DurableLog::default(), pool, database, name, settings, claimers, sagas }
    }

    /// Empties both logs, and registers the two nodes.
    pub(crate) async fn begin_case(&mut self) {
        self.memory = DurableLog::default();
        self.database.run("truncate saga, saga_key, saga_takeover, saga_event, node_lease, saga_hold").await;
        let all = vec!["checkout/1".to_owned(), "other/1".to_owned()];
        let claimer = |(node, definitions): (&str, Vec<String>)| Claimer {
            owner: Owner { node_id: node.to_owned(), incarnation: Uuid::new_v4() },
            definitions,
            batch: BATCH,
            max_claims: MAX_CLAIMS,
        };
        // The third process has the name of the first.
        let processes = [("node 1", all.clone()), ("node 2", all[..1].to_vec()), ("node 1", all)];
        self.claimers = processes.into_iter().map(claimer).collect();
        self.sagas = (0..SAGAS).map(|_| SagaId(Uuid::now_v7())).collect();
        for process in 0..2 {
            self.renew(process, false, HOUR).await;
        }
        // Most operations need a saga that runs.
        let begin =
            Kind::Begin { nonce: 0, key: true, ended: false, decided_in: 8, deadline: HOUR, definition: "checkout" };
        for saga in [0, 2] {
            let write = Write { change: begin.clone(), epoch: 0, attention: None, payment: 0 };
            self.write(Writer::Process(saga / 2), &[(saga, write)]).await;
        }
    }

    /// Performs an operation on both logs, and returns both reports.
    pub(crate) async fn perform(&mut self, operation: &Operation) -> (String, String) {
        let now = Utc::now();
        let pool = self.pool.clone();
        let mut connection = pool.get().await.expect("a connection");
        match operation {
            Operation::Renew { process, was_registered, lease } => self.renew(*process, *was_registered, *lease).await,
            Operation::GiveUp { process } => {
                let owner = Arc::new(self.claimers[*process].owner.clone());
                self.memory.leases.give_up(&owner, now);
                ("Ok(())".to_owned(), format!("{:?}", self.lease_session().give_up(owner).await))
            }
            Operation::Hold => {
                self.memory.leases.hold(now);
                hold::put(&mut connection, "the simulator").await.expect("a hold");
                Default::default()
            }
            Operation::Release => {
                self.memory.leases.release();
                hold::release(&mut connection).await.expect("a release");
                Default::default()
            }
            Operation::Write { writer, writes } => self.write(*writer, writes).await,
            Operation::Claim { process, what } => {
                let claimer = self.claimers[*process].clone();
                let listed = self.listed(what);
                let (owners, deaths) = (self.dead(what), self.deaths(what));
                let free = match what {
                    What::OfTheDead { .. } => Free::OfTheDead(&owners),
                    What::OwnSleepers => Free::OwnSleepers,
                    What::Orphans { .. } => Free::Orphans(&listed),
                    What::Died { .. } => Free::Died(&deaths),
                };
                let in_memory = claim(&mut LogNow { log: &mut self.memory, claimer: &claimer, now }, free).await;
                let in_sql = claim(&mut Claims { claimer: &claimer, connection: &mut connection }, free).await;
                (in_memory, in_sql)
            }
            Operation::Look { process } => {
                let claimer = self.claimers[*process].clone();
                let owners: Vec<Owner> = self.claimers.iter().map(|claimer| claimer.owner.clone()).collect();
                let (ids, listed) = (self.sagas.clone(), self.listed(&What::Orphans { epoch: 0 }));
                let memory = &mut LogNow { log: &mut self.memory, claimer: &claimer, now };
                let in_memory = look(memory, &ids, &listed, &owners).await;
                let sql = &mut Claims { claimer: &claimer, connection: &mut connection };
                (in_memory, look(sql, &ids, &listed, &owners).await)
            }
            Operation::Cancel { saga } => {
                let saga = self.sagas[*saga];
                self.memory.cancel(saga, now);
                flags::cancel(&mut connection, saga).await.expect("a cancel");
                Default::default()
            }
            Operation::RetryAll => {
                self.memory.retry_all(now);
                flags::retry_all(&mut connection).await.expect("a retry");
                Default::default()
            }
            Operation::WakeWaiting => {
                self.memory.wake_waiting(OPERATION, now);
                let operations = [OPERATION.to_owned()];
                flags::wake_waiting(&mut connection, &operations, 100).await.expect("a wake-up");
                Default::default()
            }
            Operation::Spoil { saga } => {
                let saga = self.sagas[*saga];
                self.memory.spoil(saga);
                self.database.rows("update saga set deadline_at = 'infinity' where id = $1", &[&saga.0]).await;
                Default::default()
            }
            Operation::ReleaseKeys => {
                self.memory.release_keys(Duration::ZERO, now);
                retention::release_keys(&mut connection, 0).await.expect("a release");
                Default::default()
            }
        }
    }

    fn lease_session(&self) -> LeaseSession {
        LeaseSession::new(self.settings.url.clone(), self.name.clone(), self.settings.clone(), false)
    }

    async fn renew(&mut self, process: usize, was_registered: bool, lease: Duration) -> (String, String) {
        let owner = self.claimers[process].owner.clone();
        let in_memory = self.memory.leases.renew(&owner, was_registered, Instant::now(), Utc::now(), lease);
        let definitions = self.claimers[process].definitions.clone();
        let request = RenewRequest { owner: Arc::new(owner), was_registered, lease, definitions };
        let began = Instant::now();
        let in_sql = loop {
            let renewal = self.lease_session().renew(request.clone()).await.expect("a renewal");
            if renewal != Renewal::TwinLives || began.elapsed() > SESSION_ENDS_WITHIN {
                break renewal;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let kind = |renewal: &Renewal| match renewal {
            Renewal::Granted { .. } => "granted".to_owned(),
            Renewal::Held(hold) => format!("held: {}", hold.reason),
            Renewal::TwinLives | Renewal::Superseded => format!("{renewal:?}"),
        };
        (kind(&in_memory), kind(&in_sql))
    }

    async fn write(&mut self, writer: Writer, writes: &[(usize, Write)]) -> (String, String) {
        let first = self.memory.row(self.sagas[writes[0].0]);
        let owner = match writer {
            Writer::Owner => first.map_or_else(|| self.claimers[0].owner.clone(), |row| row.owner.clone()),
            Writer::Process(process) => self.claimers[process].owner.clone(),
        };
        let mut items: Vec<Arc<LogWrite>> =
            writes.iter().map(|(saga, write)| Arc::new(self.log_write(*saga, write))).collect();
        // The order of a batch: begins by key and id, other changes, ends.
        items.sort_by_key(|item| match &item.change {
            Change::Begin { saga, .. } => (0, saga.key.is_some(), item.saga_id),
            Change::Outputs | Change::TurnBack { .. } | Change::MarkFailed { .. } => (1, false, item.saga_id),
            Change::End { .. } => (2, false, item.saga_id),
        });
        let now = Utc::now();
        // PostgreSQL refuses a batch as a whole; the product then writes each item alone.
        let in_memory: Vec<_> = items.iter().map(|item| report(self.memory.write(&owner, item, now))).collect();
        let sql = SagaLogWriter::new(Arc::new(owner), BEGIN_LIMIT, Tracer::off());
        let mut connection = self.pool.writer().await.expect("a connection");
        let batch: Vec<LogItem> = items.into_iter().map(LogItem::Write).collect();
        let mut in_sql = Vec::new();
        match write_batch(&sql, &mut connection, &batch).await {
            Ok(reports) => in_sql.extend(reports),
            Err(_) => {
                for item in &batch {
                    let alone = write_batch(&sql, &mut connection, std::slice::from_ref(item)).await;
                    in_sql.extend(alone.unwrap_or_else(|code| vec![format!("rejected {}", code.code())]));
                }
            }
        }
        (format!("{in_memory:?}"), format!("{in_sql:?}"))
    }

    fn log_write(&self, saga: usize, write: &Write) -> LogWrite {
        let saga_id = self.sagas[saga];
        let epoch = self.memory.row(saga_id).map_or(1, |row| row.epoch + write.epoch);
        let change = match &write.change {
            Kind::Begin { nonce, key, ended, decided_in, deadline, definition } => {
                // Two purchases of one user, who has one key, which the sagas of the other definition have too.
                let user = format!("user {}", saga / 2);
                let user_id = UserId::parse(&user).expect("a good id");
                let amount = Money::from_cents(999).expect("a good amount");
                let (scope, input) = match *definition {
                    "checkout" => (KeyScope::User(user), Order { user_id, product_id: None, amount }.to_input()),
                    _ => (KeyScope::Sagas, Arc::new(json!({ "nights": 2 }))),
                };
                let new = NewSaga {
                    definition: (*definition).into(),
                    definition_version: 1,
                    input,
                    key: key.then(|| IdempotencyKey {
                        scope,
                        key: "key".to_owned(),
                        fingerprint: Fingerprint { version: 1, hash: vec![1] },
                    }),
                    secret: key.then(|| SecretHash([u8::try_from(saga).unwrap_or(0); 32])),
                    nonce: Uuid::from_u128(*nonce),
                    deadline: *deadline,
                    age: Duration::from_millis(3),
                    decided_by: Utc::now() + TimeDelta::seconds(*decided_in),
                };
                Change::Begin { saga: Box::new(new), ended: ended.then(|| "refused".to_owned()) }
            }
            Kind::Outputs => Change::Outputs,
            Kind::TurnBack { cause } => Change::TurnBack { cause: (*cause).to_owned() },
            Kind::MarkFailed { wake_in, marks, waits } => {
                Change::MarkFailed { wake_in: *wake_in, marks: *marks, waits_for: waits.then(|| OPERATION.to_owned()) }
            }
            Kind::End { status, error } => Change::End { status: *status, error: error.map(str::to_owned) },
        };
        LogWrite {
            saga_id,
            epoch,
            change,
            outputs: Outputs::one("payment_id", write.payment.to_string()),
            started: (0..write.payment % 3).map(|step| format!("step-{step}").into()).collect(),
            timeline: Vec::new(),
            attention: write.attention.clone(),
            at: DateTime::UNIX_EPOCH,
            changes: Vec::new(),
            begin_told: BeginTold::No,
            batching: Batching::Any,
            // A begin of a saga that is there repeats another one; any other may.
            was_in_doubt: self.memory.row(saga_id).is_some() || write.payment.is_multiple_of(2),
        }
    }

    fn listed(&self, what: &What) -> Vec<ListedRow> {
        let What::Orphans { epoch } = what else { return Vec::new() };
        let rows = self.sagas.iter().filter_map(|id| Some((*id, self.memory.row(*id)?)));
        rows.map(|(id, row)| ListedRow { id, epoch: row.epoch + epoch }).collect()
    }

    fn dead(&self, what: &What) -> Vec<Owner> {
        let What::OfTheDead { processes } = what else { return Vec::new() };
        let dead = self.claimers.iter().zip(processes).filter(|(_, is_dead)| **is_dead);
        dead.map(|(claimer, _)| claimer.owner.clone()).collect()
    }

    fn deaths(&self, what: &What) -> Vec<ActorDeath> {
        let What::Died { saga, epoch, reason } = what else { return Vec::new() };
        let id = self.sagas[*saga];
        let epoch = self.memory.row(id).map_or(1, |row| row.epoch) + epoch;
        vec![ActorDeath { id, epoch, reason: (*reason).to_owned() }]
    }

    /// Returns the rows of both logs.
    pub(crate) async fn rows(&mut self) -> (String, String) {
        let (mut in_memory, mut in_sql) = (Vec::new(), Vec::new());
        let now = Utc::now();
        for id in self.sagas.clone() {
            let row = self.memory.row(id).cloned();
            let claimer = &self.claimers[0];
            let read = LogNow { log: &mut self.memory, claimer, now }.read(id);
            in_memory.extend(row.zip(read).map(|(row, read)| {
                let is_open = row.ended_at.is_none();
                format!(
                    "{:?} {} {} {:?} {:?} {:?} {} {}: {}",
                    row.owner,
                    row.attention_stays,
                    row.attention_until_write,
                    row.wake_at.map(|at| at <= now),
                    row.waits_for.filter(|_| is_open),
                    row.key.map(|key| key.key),
                    row.retry_requested_at.is_some(),
                    row.nonce,
                    shown(read)
                )
            }));
            let rows = self.database.rows(COLUMNS, &[&id.0]).await;
            let mut connection = self.pool.get().await.expect("a connection");
            let read = reader::by_id(&mut connection, id).await.expect("a row");
            in_sql.extend(rows.first().zip(read).map(|(row, read)| {
                let owner = Owner { node_id: row.get(0), incarnation: row.get(1) };
                format!(
                    "{owner:?} {} {} {:?} {:?} {:?} {} {}: {}",
                    row.get::<_, bool>(2),
                    row.get::<_, bool>(3),
                    row.get::<_, Option<bool>>(4),
                    row.get::<_, Option<String>>(5),
                    row.get::<_, Option<String>>(6),
                    row.get::<_, bool>(7),
                    row.get::<_, Uuid>(8),
                    shown(read)
                )
            }));
        }
        (in_memory.join("\n"), in_sql.join("\n"))
    }
}

const COLUMNS: &str = "
    select owner_node, owner_incarnation, attention_stays, attention_until_write, wake_at <= clock_timestamp(),
           case when ended_at is null then waits_for end, (select key from saga_key where saga_id = id),
           retry_requested_at is not null, begin_nonce
    from saga where id = $1";

fn answer(answer: LogAnswer) -> String {
    match answer {
        LogAnswer::Report(written) => report(written),
        LogAnswer::StepsWritten | LogAnswer::State(_) => format!("{answer:?}"),
    }
}

/// Writes a batch, again if a row of it exists; the error is the code of a refused value.
async fn write_batch(
    writer: &SagaLogWriter,
    connection: &mut Connection,
    batch: &[LogItem],
) -> Result<Vec<String>, SqlState> {
    let mut tries = [Try::First, Try::Again].into_iter();
    loop {
        let attempt = tries.next().expect("the second try meets no row");
        // The writer commits with its last statement.
        connection.batch_execute("begin").await.expect("a transaction");
        let written = writer.write(connection, batch, attempt).await;
        if written.is_err() {
            connection.batch_execute("rollback").await.expect("the end of the transaction");
        }
        match written {
            Ok(answers) => return Ok(answers.into_iter().map(answer).collect()),
            Err(BatchError::Database(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {}
            Err(BatchError::Database(error)) => return Err(error.code().expect("an answer of the server").clone()),
        }
    }
}
