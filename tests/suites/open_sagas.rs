//! Where the rows of sagas are: open ones in `saga_open`, ended ones in the partition of their month, old ones in
//! `saga_brief`. How a migration moves existing rows there, and what others see of a saga while its row moves.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use common::db::{self, Connection, Pool};
use common::group_commit::{BatchError, BatchWriter, Try};
use common::ids::UserId;
use common::money::Money;
use common::traces::Tracer;
use orchestrator::checkout::Order;
use orchestrator::store::claim::Claims;
use orchestrator::store::flags::{self, Flagged};
use orchestrator::store::writer::{LogAnswer, LogItem, SagaLogWriter};
use saga_engine::change::BeginTold;
use saga_engine::definition::Outputs;
use saga_engine::owner::Owner;
use saga_engine::record::{Batching, Change, Fingerprint, IdempotencyKey, KeyScope, LogWrite, NewSaga, WriteReport};
use saga_engine::recovery::{Claimer, Free, Statements};
use saga_engine::{SagaId, Status};
use tests::database::Database;
use tests::saga_log::{self, SagaLog};
use tests::{PATIENCE, cluster, wait_until};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// A database as an earlier version left it.
struct Earlier {
    database: Database,
    version: i32,
}

impl Earlier {
    async fn new(version: i32) -> Earlier {
        let server = cluster::server_url().await;
        let name = format!("t{}", Uuid::new_v4().simple());
        db::ensure_database(&server.into(), &name).await.expect("the test server makes databases");
        let mut earlier = Earlier { database: Database::connect(server, &name).await, version: 0 };
        earlier.migrate_to(version).await;
        earlier
    }

    async fn migrate_to(&mut self, version: i32) {
        let runner = orchestrator::migrations();
        let mut due: Vec<_> = runner.get_migrations().iter().filter(|m| m.version() > self.version).collect();
        due.sort_by_key(|migration| migration.version());
        for migration in due.iter().filter(|migration| migration.version() <= version) {
            let sql = migration.sql().expect("migrations are embedded");
            self.database.run(&format!("begin; {sql}; commit")).await;
        }
        self.version = version;
    }

    /// Returns key, user, scope and saga of each key.
    async fn keys(&self) -> Vec<String> {
        let keys = "select concat_ws(' ', scope, user_id, key, right(saga_id::text, 2)) from saga_key order by 1";
        self.database.rows(keys, &[]).await.iter().map(|row| row.get(0)).collect()
    }
}

/// Rows of version 17, each with a number at the end of its id. `v7` makes the id of a saga that began today.
const SAGAS_OF_17: &str = "
    create function v7(n int) returns uuid language sql as $$
        select (rpad(lpad(to_hex(floor(extract(epoch from now()) * 1000)::bigint), 12, '0'), 30, '0') || lpad(n::text, 2, '0'))::uuid
    $$;
    insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                      owner_incarnation, deadline_at, ended_at, attention, attention_at, cleared_at, idempotency_key, gid,
                      fingerprint)
    select s.id, 'checkout', 1, s.user_id, 5, s.status, gen_random_uuid(), 'n', gen_random_uuid(), now(), s.ended_at,
           s.attention, case when s.attention is not null then now() end, s.cleared_at, s.key, s.gid, 'f'
    from (values
        (v7(1), 'ada', 'PENDING', null::timestamptz, null, null::timestamptz, 'k', null),
        (v7(2), 'ada', 'FAILED', null, 'look', null, null, null),
        (v7(3), 'ada', 'COMPENSATED', now(), 'look', null, null, null),
        (v7(4), 'eve', 'COMPLETED', now(), null, null, 'k', null),
        (v7(5), null, 'COMPLETED', now(), null, null, 'k', null),
        (v7(6), null, 'COMPENSATED', now(), null, null, null, 'g'),
        (v7(7), 'ada', 'COMPLETED', now(), null, now(), null, null),
        ('00000000-0000-4000-8000-000000000008', 'ada', 'COMPLETED', now(), null, null, null, null),
        ('ffffffff-ffff-4fff-8fff-ffffffffff09', 'ada', 'COMPLETED', now(), null, null, null, null)
    ) s (id, user_id, status, ended_at, attention, cleared_at, key, gid)";

/// The partition of each row, by the number at the end of its id.
const PLACES: &str = "
    select string_agg(right(id::text, 2) || ' ' || regexp_replace(tableoid::regclass::text, '\\d{4}_\\d\\d$', 'month'), ', ' order by right(id::text, 2))
    from saga";

#[tokio::test]
async fn the_sagas_of_an_earlier_version_are_where_they_belong_and_keep_their_keys() {
    let mut log = Earlier::new(17).await;
    log.database.run(SAGAS_OF_17).await;
    log.migrate_to(18).await;
    let places: String = log.database.rows(PLACES, &[]).await[0].get(0);
    assert_eq!(
        places,
        "01 saga_open, 02 saga_open, 03 saga_open, 04 saga_ended_month, 05 saga_ended_month, 06 saga_ended_month, \
         07 saga_brief, 08 saga_ended_month, 09 saga_ended_rest"
    );
    assert_eq!(log.keys().await, ["gid  g 06", "sagas  k 05", "user ada k 01", "user eve k 04"]);
    let hashes = "select count(*) from saga_key where fingerprint = 'f' and fingerprint_version = 1";
    assert_eq!(log.database.number(hashes, &[]).await, 4);
}

#[tokio::test]
async fn keys_that_earlier_versions_kept_with_quotes_are_bare_and_the_older_saga_keeps_one_that_both_have() {
    let mut log = Earlier::new(10).await;
    // Number, user, key; a later row is of a younger saga.
    let sagas = [
        (1, "ada", r#""k""#),
        (2, "ada", r#""a\"b\\c""#),
        (3, "bob", r#""k""#),
        (4, "bob", "k"),
        (5, "eve", "k"),
        (6, "eve", r#""k""#),
        (7, "ada", "\"half"),
    ];
    for (number, user, key) in sagas {
        let insert = "
            insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                              owner_incarnation, deadline_at, ended_at, idempotency_key, fingerprint)
            values (('01900000-0000-7000-8000-0000000000' || $1)::uuid, 'checkout', 1, $2, 5, 'COMPLETED',
                    gen_random_uuid(), 'n', gen_random_uuid(), now(), now(), $3, 'f')";
        log.database.rows(insert, &[&format!("{number:02}"), &user, &key]).await;
    }
    log.migrate_to(18).await;
    let expected = ["user ada \"half 07", r#"user ada a"b\c 02"#, "user ada k 01", "user bob k 03", "user eve k 05"];
    assert_eq!(log.keys().await, expected);
}

/// A saga log with a process that may write to it, and a second session.
struct Log {
    pool: Pool,
    other: Database,
    owner: Owner,
}

/// Far longer than a test takes.
const BEGIN_LIMIT: Duration = Duration::from_secs(600);

/// Ends a saga as the writer does, by moving its row.
const END: &str = "
    with gone as (delete from saga_open where id = $1 returning *)
    insert into saga
    select (jsonb_populate_record(null::saga, to_jsonb(g) || jsonb_build_object('status', 'COMPLETED', 'ended_at', now()))).*
    from gone g";

impl Log {
    async fn new() -> Log {
        let SagaLog { pool, database, .. } = SagaLog::new().await;
        let owner = saga_log::owner(&database, "node").await;
        Log { pool, other: database, owner }
    }

    /// Begins these sagas in one batch, as the group commit does: once more if a row was in the way.
    async fn begin(&self, items: &[LogItem]) -> Vec<WriteReport> {
        let writer = SagaLogWriter::new(Arc::new(self.owner.clone()), BEGIN_LIMIT, Tracer::off());
        let mut connection = self.pool.writer().await.expect("a connection");
        for attempt in [Try::First, Try::Again] {
            connection.batch_execute("begin").await.expect("a transaction");
            match writer.write(&mut connection, items, attempt).await {
                Ok(answers) => return answers.into_iter().map(report).collect(),
                Err(BatchError::Database(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                    connection.batch_execute("rollback").await.expect("the end of the transaction");
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("a second try meets no row")
    }

    /// Runs `work` while the other session has changed something and not committed; `work` must wait for that.
    async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        let commit = async {
            let waits = "select count(*) from pg_locks where not granted";
            wait_until("it waits for the other session", PATIENCE, async || {
                (self.other.number(waits, &[]).await > 0).then_some(())
            })
            .await;
            self.other.run("commit").await;
        };
        tokio::join!(work, commit).0
    }

    async fn number(&self, sql: &str) -> i64 {
        self.other.number(sql, &[]).await
    }
}

fn report(answer: LogAnswer) -> WriteReport {
    match answer {
        LogAnswer::Report(report) => report,
        LogAnswer::StepsWritten | LogAnswer::State(_) => panic!("{answer:?}"),
    }
}

fn is_durable(report: &WriteReport) -> bool {
    matches!(report, WriteReport::Durable { .. })
}

fn begin(id: SagaId, key: Option<&str>) -> LogWrite {
    let user_id = UserId::parse("ada").expect("a good id");
    let order = Order { user_id, product_id: None, amount: Money::from_cents(999).expect("a good amount") };
    let saga = NewSaga {
        definition: "checkout".into(),
        definition_version: 1,
        input: order.to_input(),
        key: key.map(|key| IdempotencyKey {
            scope: KeyScope::User("ada".to_owned()),
            key: key.to_owned(),
            fingerprint: Fingerprint { version: 1, hash: vec![1] },
        }),
        secret: None,
        nonce: id.0,
        deadline: Duration::from_secs(60),
        age: Duration::ZERO,
        decided_by: id.decided_by(BEGIN_LIMIT).expect("an id has its time"),
    };
    LogWrite {
        saga_id: id,
        epoch: 1,
        change: Change::Begin { saga: Box::new(saga), ended: None },
        outputs: Outputs::default(),
        started: Vec::new(),
        timeline: Vec::new(),
        attention: None,
        at: DateTime::UNIX_EPOCH,
        changes: Vec::new(),
        begin_told: BeginTold::No,
        batching: Batching::Any,
        was_in_doubt: false,
    }
}

fn item(write: LogWrite) -> LogItem {
    LogItem::Write(Arc::new(write))
}

fn new_id() -> SagaId {
    SagaId(Uuid::now_v7())
}

#[tokio::test]
async fn a_begin_in_doubt_that_is_repeated_after_the_end_adds_no_second_row() {
    let log = Log::new().await;
    let (ended, fresh) = (new_id(), new_id());
    for key in [None, Some("k")] {
        let mut first = begin(ended, key);
        assert!(log.begin(&[item(first.clone())]).await.iter().all(is_durable));
        log.other.rows(END, &[&ended.0]).await;
        first.was_in_doubt = true;
        let reports = log.begin(&[item(first), item(begin(fresh, None))]).await;
        assert!(reports.iter().all(is_durable), "{reports:?}");
        assert_eq!(log.number("select count(*) from saga_ended").await, 1, "it has ended");
        assert_eq!(log.number("select count(*) from saga_open").await, 1, "the other one has begun");
        log.other.run("truncate saga, saga_key").await;
    }
}

#[tokio::test]
async fn a_begin_in_doubt_that_is_repeated_while_the_saga_begins_and_ends_adds_no_second_row() {
    let log = Log::new().await;
    let id = new_id();
    assert!(log.begin(&[item(begin(id, None))]).await.iter().all(is_durable));
    // One transaction holds both: the begin whose result was not known, and an end by another owner.
    log.other.run("create table begun as select * from saga; delete from saga").await;
    log.other.run("begin; insert into saga select * from begun").await;
    log.other.rows(END, &[&id.0]).await;
    let again = LogWrite { was_in_doubt: true, ..begin(id, None) };
    let reports = log.meanwhile(log.begin(&[item(again)])).await;
    assert!(reports.iter().all(is_durable), "{reports:?}");
    let rows = log.other.rows("select tableoid::regclass::text, status from saga", &[]).await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].get::<_, &str>(0).starts_with("saga_ended"), "{rows:?}");
}

#[tokio::test]
async fn of_two_begins_with_one_key_at_once_one_begins() {
    let log = Log::new().await;
    let (holder, late, without_key) = (new_id(), new_id(), new_id());
    log.other.run("begin").await;
    log.other.rows("insert into saga_key values ('user', 'ada', 'k', $1, null, 1)", &[&holder.0]).await;
    let batch = [item(begin(late, Some("k"))), item(begin(without_key, None))];
    let reports = log.meanwhile(log.begin(&batch)).await;
    assert_eq!(reports[0], WriteReport::KeyHeld(holder));
    assert!(is_durable(&reports[1]), "{reports:?}");
    let rows = log.other.rows("select id from saga", &[]).await;
    assert_eq!(rows.iter().map(|row| row.get::<_, Uuid>(0)).collect::<Vec<_>>(), [without_key.0]);
    assert_eq!(log.number("select count(*) from saga_key").await, 1);
}

#[tokio::test]
async fn a_claim_passes_a_saga_that_is_ending_and_a_cancel_waits_for_the_end() {
    let log = Log::new().await;
    let id = new_id();
    assert!(log.begin(&[item(begin(id, None))]).await.iter().all(is_durable));
    let claimer = Claimer {
        owner: saga_log::owner(&log.other, "other").await,
        definitions: vec!["checkout/1".to_owned()],
        batch: 10,
        max_claims: 3,
    };
    log.other.run("begin").await;
    log.other.rows(END, &[&id.0]).await;
    let mut connection = log.pool.get().await.expect("a connection");
    let dead = [log.owner.clone()];
    let claim = async |connection: &mut Connection| {
        let mut claims = Claims { claimer: &claimer, connection };
        claims.claim(Free::OfTheDead(&dead)).await.expect("a claim").len()
    };
    assert_eq!(claim(&mut connection).await, 0, "its row is locked");
    let flagged = log.meanwhile(flags::cancel(&mut connection, id)).await.expect("an answer");
    assert_eq!(flagged, Some(Flagged::HasEnded(Status::Completed)));
    assert_eq!(claim(&mut connection).await, 0, "it has ended");
    assert_eq!(log.number("select count(*) from saga where epoch = 1").await, 1);
}

const MONTHS: &str = "select saga_months()";

/// The partitions of ended sagas: as many months as there are, and the rest.
const PARTITIONS: &str = "select count(*) from pg_inherits where inhparent = 'saga_ended'::regclass";

/// A row in the partition that its id belongs to.
const ENDED: &str = "
    insert into saga (id, definition, definition_version, status, begin_nonce, owner_node, owner_incarnation, deadline_at,
                      ended_at)
    select saga_id_at($1::text::timestamptz), 'checkout', 1, 'COMPLETED', gen_random_uuid(), 'n', gen_random_uuid(), now(), now()";

#[tokio::test]
async fn a_month_that_comes_gets_its_partition_with_the_sagas_that_came_before_it() {
    let log = Log::new().await;
    assert_eq!(log.number(PARTITIONS).await, 3, "this month, the next and the rest");
    let next =
        log.other.rows("select (date_trunc('month', now() at time zone 'utc') + interval '1 month 5 days')::text", &[]);
    let day: String = next.await[0].get(0);
    let name = format!("saga_ended_{}", day[..7].replace('-', "_"));
    log.other.run(&format!("drop table {name}")).await;
    log.other.rows(ENDED, &[&day]).await;
    assert_eq!(log.number("select count(*) from saga_ended_rest").await, 1);
    log.other.rows(MONTHS, &[]).await;
    assert_eq!(log.number(&format!("select count(*) from {name}")).await, 1);
    assert_eq!(log.number("select count(*) from saga_ended_rest").await, 0);
    log.other.rows(MONTHS, &[]).await;
    assert_eq!(log.number(PARTITIONS).await, 3);
}

#[tokio::test]
async fn an_earlier_month_is_dropped_once_it_is_empty_and_nobody_has_to_wait_for_that() {
    let log = Log::new().await;
    // As if the migration had been two years ago.
    let two_years_later = "
        do $$ begin
            execute (select format('alter table %1$I rename to saga_ended_2024_01; alter table saga_ended detach partition saga_ended_2024_01',
                                   'saga_ended_' || to_char(now() at time zone 'utc', 'YYYY_MM')));
            execute format('alter table saga_ended attach partition saga_ended_2024_01 for values from (minvalue) to (%L)',
                           saga_id_at('2024-02-01 00:00Z'));
        end $$";
    log.other.run(two_years_later).await;
    log.other.rows(ENDED, &[&"2024-01-07 12:00Z"]).await;
    log.other.rows(MONTHS, &[]).await;
    assert_eq!(log.number(PARTITIONS).await, 4, "with the earlier month, which has a row");
    log.other.run("delete from saga").await;

    let mut reader = log.pool.get().await.expect("a connection");
    reader.batch_execute("begin; select from saga").await.expect("a read");
    let mut housekeeping = log.pool.get().await.expect("a connection");
    let refused = housekeeping.query(MONTHS, &[]).await.expect_err("another session reads");
    assert_eq!(refused.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    assert_eq!(log.number(PARTITIONS).await, 4);
    reader.batch_execute("commit").await.expect("the end of the read");
    housekeeping.query(MONTHS, &[]).await.expect("no other session reads");
    assert_eq!(log.number(PARTITIONS).await, 3);
    log.other.rows(ENDED, &[&"2024-01-08 12:00Z"]).await;
    assert_eq!(log.number("select count(*) from saga_ended_rest").await, 1, "a late end has its place");
}
