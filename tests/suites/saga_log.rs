//! The statements of the saga log on PostgreSQL: they write the same alone and in a batch, and use an index for every
//! look-up, however many sagas run.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use common::{
    db::{self, Connection},
    group_commit::{BatchError, BatchWriter, Try},
    ids::UserId,
    money::Money,
    traces::Tracer,
};
use orchestrator::{
    checkout::Order,
    store::{
        events,
        lease_session::LeaseSession,
        reader,
        writer::{LogAnswer, LogItem, SagaLogWriter},
    },
};
use saga_engine::{
    SagaId, Status,
    change::{BeginTold, StateChange},
    definition::Outputs,
    lease::{RenewRequest, Renewal},
    owner::Owner,
    record::{Batching, Change, Fingerprint, IdempotencyKey, KeyScope, LogWrite, NewSaga, StepChanges, WriteReport},
};
use tests::{
    PATIENCE,
    database::Database,
    saga_log::{self, SagaLog},
    wait_until,
};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// Enough that a plan which reads all of them costs more than one that looks each up.
const RUNNING: usize = 200;

/// The statements that write, as a pattern of their text.
const WRITES: &str = "with%i as %";

/// Far longer than a test takes.
const BEGIN_LIMIT: Duration = Duration::from_secs(600);

/// A saga log, and a process with the right to write to it.
struct Log {
    pool: db::Pool,
    database: Database,
    writer: SagaLogWriter,
}

impl Log {
    async fn new() -> Self {
        let SagaLog { pool, database, .. } = SagaLog::new().await;
        let owner = saga_log::owner(&database, "node").await;
        Self { pool, database, writer: SagaLogWriter::new(Arc::new(owner), BEGIN_LIMIT, Tracer::off()) }
    }

    /// Writes these items as one batch.
    async fn write(&self, connection: &mut Connection, items: Vec<LogItem>) {
        let reports =
            self.writer.write(connection, &items, Try::First).await.unwrap_or_else(|_| panic!("a batch fails"));
        assert!(reports.len() == items.len() && reports.iter().all(is_durable), "{reports:?}");
    }

    /// Returns the rows of these sagas without their individual columns, with their rows of events and the number of these.
    async fn written(&self, sagas: &[SagaId]) -> Vec<(String, i64)> {
        let sql = "
            select (to_jsonb(s) - array['id', 'begin_nonce', 'created_at', 'deadline_at', 'ended_at',
                                        'ended_transaction', 'ended_position'])::text
                   || coalesce(string_agg(regexp_replace(e.changes, '[0-9]{16}', 'at', 'g'), ';'
                                          order by e.transaction, e.position), ''), count(e.saga_id)
            from saga s left join saga_event e on e.saga_id = s.id where s.id = any($1) group by s.id, to_jsonb(s)";
        let ids: Vec<Uuid> = sagas.iter().map(|saga| saga.0).collect();
        self.database.rows(sql, &[&ids]).await.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

fn new_sagas(number: usize) -> Vec<SagaId> {
    (0..number).map(|_| SagaId(Uuid::now_v7())).collect()
}

fn write(saga_id: SagaId, change: Change, changes: Vec<StateChange>) -> LogItem {
    let at = DateTime::UNIX_EPOCH;
    let (outputs, timeline) = (Outputs::one("payment_id", "7"), Vec::new());
    let (epoch, attention, batching) = (1, None, Batching::Any);
    let started = Vec::new();
    LogItem::Write(Arc::new(LogWrite {
        saga_id,
        epoch,
        change,
        outputs,
        started,
        timeline,
        attention,
        at,
        changes,
        begin_told: BeginTold::No,
        batching,
        was_in_doubt: false,
    }))
}

fn is_durable(answer: &LogAnswer) -> bool {
    let durable = |report: &WriteReport| matches!(report, WriteReport::Durable { cancel_requested: false, .. });
    matches!(answer, LogAnswer::Report(report) if durable(report)) || *answer == LogAnswer::StepsWritten
}

fn told(status: Status) -> Vec<StateChange> {
    let ended = status == Status::Completed;
    vec![StateChange::Saga { status, ended, error: None, at: DateTime::UNIX_EPOCH }]
}

fn begin(saga: &SagaId) -> LogItem {
    begin_with(saga, None)
}

fn begin_with(saga: &SagaId, key: Option<IdempotencyKey>) -> LogItem {
    let user_id = UserId::parse("ada").expect("a good id");
    let order = Order { user_id, product_id: None, amount: Money::from_cents(999).expect("a good amount") };
    let new = NewSaga {
        definition: "checkout".into(),
        definition_version: 1,
        input: order.to_input(),
        key,
        secret: None,
        nonce: Uuid::new_v4(),
        deadline: Duration::from_secs(60),
        age: Duration::ZERO,
        decided_by: saga.decided_by(BEGIN_LIMIT).expect("an id has its time"),
    };
    write(*saga, Change::Begin { saga: Box::new(new), ended: None }, Vec::new())
}

fn step(saga: &SagaId) -> StepChanges {
    let change = StateChange::Step {
        step: "charge".into(),
        participant: "payments".into(),
        state: "running".into(),
        attempts: 1,
        error: None,
        at: DateTime::UNIX_EPOCH,
    };
    StepChanges { saga_id: *saga, epoch: 1, changes: vec![change], begin_told: BeginTold::No }
}

fn end(saga: &SagaId) -> LogItem {
    write(*saga, Change::End { status: Status::Completed, error: None }, told(Status::Completed))
}

/// The end of a saga of which events were written before: its row alone does not hold them.
fn late_end(saga: &SagaId) -> LogItem {
    let changes = step(saga).changes.into_iter().chain(told(Status::Completed)).collect();
    write(*saga, Change::End { status: Status::Completed, error: None }, changes)
}

/// Writes the whole life of some sagas, one batch per stage.
async fn live(log: &Log, connection: &mut Connection, batch: &[SagaId]) {
    log.write(connection, batch.iter().map(begin).collect()).await;
    log.write(connection, vec![LogItem::Steps(batch.iter().map(step).collect())]).await;
    log.write(connection, batch.iter().map(|saga| write(*saga, Change::Outputs, Vec::new())).collect()).await;
    log.write(connection, batch.iter().map(late_end).collect()).await;
}

/// Writes the begins of some sagas, and then ends that their rows hold.
async fn live_quickly(log: &Log, connection: &mut Connection, batch: &[SagaId]) {
    log.write(connection, batch.iter().map(begin).collect()).await;
    log.write(connection, batch.iter().map(end).collect()).await;
}

#[tokio::test]
async fn a_saga_is_written_the_same_beside_one_that_needs_all_columns() {
    let log = Log::new().await;
    let mut connection = log.pool.writer().await.expect("a connection");
    let sagas = new_sagas(3);
    let [alone, beside, special] = [0, 1, 2].map(|index| &sagas[index]);
    let fingerprint = Fingerprint { version: 1, hash: vec![7; 16] };
    let key = IdempotencyKey { scope: KeyScope::User("ada".to_owned()), key: "k".to_owned(), fingerprint };
    log.write(&mut connection, vec![begin(alone)]).await;
    log.write(&mut connection, vec![begin(beside), begin_with(special, Some(key))]).await;
    assert_eq!(log.database.number("select count(*) from saga_key", &[]).await, 1);
    let begun = log.written(&[*alone, *beside]).await;
    assert!(begun[0].0.contains("PENDING") && begun[0] == begun[1], "{begun:#?}");
    let of_special = &log.written(&[*special]).await[0].0;
    assert_eq!(*of_special, begun[0].0.replace(r#""idempotency_key": null"#, r#""idempotency_key": "k""#));
    log.write(&mut connection, vec![end(alone)]).await;
    log.write(&mut connection, vec![end(beside), late_end(special)]).await;
    let ended = log.written(&[*alone, *beside]).await;
    assert!(ended[0].0.contains("COMPLETED") && ended[0] == ended[1], "{ended:#?}");
    assert_eq!(log.written(&[*special]).await[0].1, 2, "the begin, and the step with the end");
}

#[tokio::test]
async fn a_saga_alone_is_written_as_in_a_batch() {
    let log = Log::new().await;
    let mut connection = log.pool.writer().await.expect("a connection");
    let sagas = new_sagas(4);
    let (alone, together) = sagas.split_at(1);
    live(&log, &mut connection, alone).await;
    live(&log, &mut connection, together).await;
    let written = log.written(&sagas).await;
    assert_eq!(written.len(), sagas.len());
    assert!(written[0].0.contains("COMPLETED") && written[0].0.contains("running"), "{}", written[0].0);
    assert_eq!(written[0].1, 3, "the begin, with the step, and the end: {written:?}");
    assert!(written.iter().all(|saga| *saga == written[0]), "{written:#?}");
}

#[tokio::test]
async fn writes_look_at_their_own_sagas_and_at_no_others() {
    let log = Log::new().await;
    let mut connection = log.pool.writer().await.expect("a connection");
    log.write(&mut connection, new_sagas(RUNNING).iter().map(begin).collect()).await;
    for number in [1, 4] {
        live(&log, &mut connection, &new_sagas(number)).await;
        live_quickly(&log, &mut connection, &new_sagas(number)).await;
    }
    let without_statistics = plans(&connection, WRITES).await;
    log.database.run("analyze saga_open").await;
    for plans in [without_statistics, plans(&connection, WRITES).await] {
        assert_eq!(plans.len(), 10, "two forms of five statements: {plans:#?}");
        for plan in plans {
            let by_key = plan.contains("saga_open_pkey") || plan.contains("Insert on saga ");
            assert!(by_key && !plan.contains("saga_open_of_owner"), "{plan}");
        }
    }
}

#[tokio::test]
async fn a_plan_made_while_the_log_is_empty_finds_sagas_by_their_key() {
    let log = Log::new().await;
    log.database.run("analyze saga").await;
    let mut writer = log.pool.writer().await.expect("a connection");
    let sagas = new_sagas(4);
    live(&log, &mut writer, &sagas).await;
    let mut reader = log.pool.get().await.expect("a connection");
    reader::by_id(&mut reader, sagas[0]).await.expect("a row").expect("the saga was written").expect("it is readable");
    for (connection, statements) in [(&*writer, WRITES), (&*reader, "select s.id,%")] {
        let plans = plans(connection, statements).await;
        assert!(!plans.is_empty() && plans.iter().all(|plan| !plan.contains("_of_")), "{plans:#?}");
    }
}

#[tokio::test]
async fn a_begin_that_is_there_already_costs_its_batch_a_second_try_and_no_more() {
    let log = Log::new().await;
    let mut connection = log.pool.writer().await.expect("a connection");
    let sagas = new_sagas(3);
    let [there, new, alone] = [0, 1, 2].map(|index| begin(&sagas[index]));
    log.write(&mut connection, vec![there.clone()]).await;
    let batch = [new, there.clone()];
    let Err(BatchError::Database(error)) = log.writer.write(&mut connection, &batch, Try::First).await else {
        panic!("a row of that id is there")
    };
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION), "as a lost race, so that it is tried again");
    assert_eq!(log.written(&sagas).await.len(), 1, "nothing of the batch");
    for batch in [&batch[..], &[there], &[alone]] {
        let reports = log.writer.write(&mut connection, batch, Try::Again).await.expect("a second try");
        let are_durable = reports.len() == batch.len() && reports.iter().all(is_durable);
        assert!(are_durable, "the same begin is durable, whoever wrote it: {reports:?}");
    }
    let written = log.written(&sagas).await;
    assert_eq!(written.len(), 3, "each once: {written:#?}");
}

#[tokio::test]
async fn a_saga_that_ends_before_anything_of_it_is_told_has_no_rows_of_events_and_its_row_tells_them() {
    let log = Log::new().await;
    let mut connection = log.pool.writer().await.expect("a connection");
    let sagas = new_sagas(3);
    let [early, late, open] = &sagas[..] else { panic!("there are three") };
    let start = events::present(&mut connection).await.expect("a place").after;
    log.write(&mut connection, sagas.iter().map(begin).collect()).await;
    log.write(&mut connection, vec![end(early), late_end(late)]).await;
    log.write(&mut connection, vec![LogItem::Steps(vec![step(open)])]).await;
    let in_rows = log.written(&sagas).await.iter().map(|(_, rows)| *rows).sum::<i64>();
    assert_eq!(in_rows, 4, "PENDING and another one, of all but the early one");

    // Rows are final once every transaction of the server that began before theirs has ended.
    let page = wait_until("the last row is final", PATIENCE, async || {
        let mut connection = log.pool.get().await.expect("a connection");
        let page = events::page(&mut connection, start, 100).await.expect("a page");
        page.rows.iter().any(|row| row.saga_id == *open && brief(&row.changes) == "charge running").then_some(page)
    })
    .await;
    let told: Vec<_> = page.rows.iter().map(|row| (row.saga_id, brief(&row.changes))).collect();
    let of = |saga: &SagaId| told.iter().filter(|(id, _)| id == saga).map(|(_, told)| &told[..]).collect::<Vec<_>>();
    assert_eq!(of(early), ["PENDING, COMPLETED"]);
    assert_eq!(of(late), ["PENDING", "charge running, COMPLETED"]);
    assert_eq!(of(open), ["PENDING", "charge running"]);
    assert!(page.rows.is_sorted_by_key(|row| row.first), "{page:?}");

    // From any place, one row at a time, the same rows come.
    let mut from = start;
    for row in &page.rows {
        let rows = events::page(&mut connection, from, 2).await.expect("a page").rows;
        let next = rows.iter().find(|next| next.first.row() > from.row()).expect("another row");
        assert_eq!(next, row);
        from = next.first;
    }
    let last = events::present(&mut connection).await.expect("a place");
    assert_eq!(last.after.row(), from.row());
}

fn brief(changes: &[StateChange]) -> String {
    let one = |change: &StateChange| match change {
        StateChange::Saga { status, .. } => status.to_string(),
        StateChange::Step { step, state, .. } => format!("{step} {state}"),
    };
    changes.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn nothing_ends_as_what_goes_on() {
    let log = Log::new().await;
    let mut connection = log.pool.writer().await.expect("a connection");
    let saga = SagaId(Uuid::now_v7());
    log.write(&mut connection, vec![begin(&saga)]).await;
    for status in [Status::Pending, Status::Compensating] {
        let items = [write(saga, Change::End { status, error: None }, told(status))];
        let reports = log.writer.write(&mut connection, &items, Try::First).await.expect("no error");
        assert!(matches!(reports[..], [LogAnswer::Report(WriteReport::NotWritten(_))]), "{reports:?}");
    }
    let unended = log.database.rows("select from saga where id = $1 and ended_at is null", &[&saga.0]).await;
    assert_eq!(unended.len(), 1);
}

/// Returns the plans of the session's prepared statements on sagas.
async fn plans(connection: &Connection, statements: &str) -> Vec<String> {
    let client = connection.client();
    let prepared = "
        select name, array(select 'null::' || kind from unnest(parameter_types) as kind)
        from pg_prepared_statements where ltrim(statement, E' \n') like $1";
    let mut plans = Vec::new();
    for statement in client.query(prepared, &[&statements]).await.expect("a list") {
        let (name, nulls): (String, Vec<String>) = (statement.get(0), statement.get(1));
        let explain = format!("explain execute {name}({})", nulls.join(", "));
        let lines = client.simple_query(&explain).await.unwrap_or_else(|error| panic!("{explain}: {error:?}"));
        let text = lines.iter().filter_map(|line| match line {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        plans.push(text.collect::<Vec<_>>().join("\n"));
    }
    plans
}

/// As behind a proxy that closed the client's side of a connection, and keeps the server's open.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_left_over_with_a_node_id_keeps_no_process_from_its_lease() {
    let SagaLog { name, settings, .. } = SagaLog::new().await;
    let session = || LeaseSession::new(settings.url.clone(), name.clone(), settings.clone(), false);
    let owner = || Arc::new(Owner { node_id: "node".to_owned(), incarnation: Uuid::new_v4() });
    let renew = async |session: &LeaseSession, owner: &Arc<Owner>, was_registered: bool, lease: Duration| {
        let request = RenewRequest { owner: owner.clone(), was_registered, lease, definitions: Vec::new() };
        session.renew(request).await.expect("a renewal")
    };
    let is_granted = |renewal: &Renewal| matches!(renewal, Renewal::Granted { .. });
    let (minute, moment) = (Duration::from_secs(60), Duration::from_millis(1));

    let (first, left_over) = (owner(), session());
    assert!(is_granted(&renew(&left_over, &first, false, minute).await));
    // Another process, while the lease is live.
    let (second, other) = (owner(), session());
    for _ in 0..3 {
        assert_eq!(renew(&other, &second, false, minute).await, Renewal::TwinLives);
    }
    // The same process, on another session.
    let again = session();
    wait_until("the process has its lease again", PATIENCE, async || {
        is_granted(&renew(&again, &first, true, moment).await).then_some(())
    })
    .await;
    // Another process, after the lease has run out.
    wait_until("the other process has the node id", PATIENCE, async || {
        is_granted(&renew(&other, &second, false, minute).await).then_some(())
    })
    .await;
    assert_eq!(renew(&session(), &first, true, minute).await, Renewal::Superseded);
    drop((left_over, again));
}
