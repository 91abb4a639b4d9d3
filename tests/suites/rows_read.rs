//! Statements that need few rows of a saga log with very many read few: the lists of sagas, whatever their filters, and the
//! claims of a takeover.

use common::{db::Connection, ids::UserId};
use orchestrator::store::claim::Claims;
use orchestrator::store::lists::{self, Filter, Search};
use saga_engine::owner::Owner;
use saga_engine::recovery::{ActorDeath, Claimer, Free, ListedRow, Statements};
use saga_engine::{SagaId, Status};
use tests::saga_log::{self, SagaLog};

/// The older half completed; the newer half belongs to one user and none of it completed. Both filters match many
/// sagas, their combination few. A few failed or still run.
const SAGAS: &str = "
    insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                      owner_incarnation, deadline_at, ended_at)
    select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'checkout', 1,
           case when n > 30000 then 'many' else 'user-' || n % 1000 end, 5,
           case when n <= 5 then 'PENDING' when n <= 9 then 'COMPENSATING' when n % 20000 = 16 then 'FAILED'
                when n <= 30000 then 'COMPLETED' else 'COMPENSATED' end,
           gen_random_uuid(), 'n', gen_random_uuid(), now(), case when n > 9 then now() end
    from generate_series(1, 60000) n";

/// Rows per page.
const PART: i64 = 10;

/// Maximum number of rows that a list may read: those shown, and some for each status.
const FEW: i64 = 200;
/// Maximum number of rows that a total may read per status.
const COUNTED: i64 = 10_001;

/// Returns the number of rows of sagas that statements read, which take no effect.
async fn rows_read(connection: &mut Connection, statements: impl AsyncFnOnce(&mut Connection)) -> i64 {
    const READ: &str = "
        select sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))::bigint
        from pg_partition_tree('saga') p join pg_stat_xact_user_tables s on s.relid = p.relid";
    // The session's counters are separate until its transaction ends.
    connection.batch_execute("begin").await.expect("a transaction");
    let before: i64 = connection.query_one(READ, &[]).await.expect("a number").get(0);
    statements(connection).await;
    let after: i64 = connection.query_one(READ, &[]).await.expect("a number").get(0);
    connection.batch_execute("rollback").await.expect("the end of a transaction");
    after - before
}

#[tokio::test]
async fn a_filter_that_fits_few_sagas_of_very_many_reads_few() {
    let log = SagaLog::new().await;
    let SagaLog { pool, database, .. } = &log;
    let mut connection = pool.get().await.expect("a connection");
    database.run(SAGAS).await;
    // Rows read by parallel workers are missing from the session's counts.
    connection.batch_execute("set max_parallel_workers_per_gather = 0").await.expect("a setting");
    let mut failures = Vec::new();
    for statistics in ["without statistics", "with statistics"] {
        let users = [None, Some("many"), Some("user-3"), Some("nobody")];
        let statuses =
            [None, Some("PENDING"), Some("COMPENSATING"), Some("COMPLETED"), Some("COMPENSATED"), Some("FAILED")];
        for (user, status) in users.iter().flat_map(|user| statuses.map(|status| (user, status))) {
            let filter = Filter {
                status: status.and_then(Status::parse),
                user_id: user.and_then(|user| UserId::parse(user).ok()),
                definition: None,
                before: None,
                limit: PART,
            };
            let search = Search { filter: filter.clone(), text: None };
            let looked_at = rows_read(&mut connection, async |connection| {
                lists::list(connection, &search).await.expect("a list");
            })
            .await;
            if looked_at > FEW {
                failures.push(format!("{statistics}: the list of {user:?} {status:?} reads {looked_at} rows"));
            }
            let looked_at = rows_read(&mut connection, async |connection| {
                lists::total(connection, &filter).await.expect("a total");
            })
            .await;
            // Without statistics PostgreSQL plans for a small table, so the limit does not apply.
            if looked_at > 2 * COUNTED && statistics == "with statistics" {
                failures.push(format!("{statistics}: the total of {user:?} {status:?} reads {looked_at} rows"));
            }
        }
        connection.batch_execute("analyze saga").await.expect("statistics");
    }
    drop(connection);
    log.drop_database().await;
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Rows of an owner that run or, with a time, sleep until then. $1 node, $2 incarnation, $3 the time to wake, $4 how many.
const OPEN: &str = "
    insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                      owner_incarnation, deadline_at, wake_at)
    select gen_random_uuid(), 'checkout', 1, 'ada', 5, 'PENDING', gen_random_uuid(), $1, $2, now(),
           $3::text::timestamptz + n * interval '1 millisecond'
    from generate_series(1, $4::int) n";

#[tokio::test]
async fn recovery_reads_few_of_very_many_sagas() {
    const SAGAS: i32 = 20_000;
    const BATCH: i64 = 100;
    // PostgreSQL plans a prepared statement anew five times, then it may keep a plan for any parameters.
    const EXECUTIONS: usize = 8;
    let log = SagaLog::new().await;
    let SagaLog { pool, database, .. } = &log;
    let mut connection = pool.get().await.expect("a connection");
    let dead = saga_log::owner(database, "dead").await;
    let all_due = saga_log::owner(database, "all due").await;
    let few_due = saga_log::owner(database, "few due").await;
    let open: [(&Owner, Option<&str>, i32); 4] = [
        (&dead, None, SAGAS),
        (&all_due, Some("yesterday"), SAGAS),
        (&few_due, Some("tomorrow"), SAGAS),
        (&few_due, Some("yesterday"), BATCH as i32),
    ];
    for (owner, wake_at, sagas) in open {
        database.rows(OPEN, &[&owner.node_id, &owner.incarnation, &wake_at, &sagas]).await;
    }
    connection.batch_execute("set max_parallel_workers_per_gather = 0").await.expect("a setting");
    let dead = [dead];
    let of_all_due = database.rows("select id from saga where owner_node = 'all due' limit $1", &[&BATCH]).await;
    let of_all_due = || of_all_due.iter().map(|row| SagaId(row.get(0)));
    let orphans: Vec<ListedRow> = of_all_due().map(|id| ListedRow { id, epoch: 1 }).collect();
    let deaths: Vec<ActorDeath> =
        of_all_due().map(|id| ActorDeath { id, epoch: 1, reason: "a panic".to_owned() }).collect();
    let claims = [
        ("of the dead", &all_due, Free::OfTheDead(&dead)),
        ("of sleepers, of which all are due,", &all_due, Free::OwnSleepers),
        ("of sleepers, of which few are due,", &few_due, Free::OwnSleepers),
        ("of orphans", &all_due, Free::Orphans(&orphans)),
        ("of dead actors", &all_due, Free::Died(&deaths)),
    ];
    let mut failures = Vec::new();
    for statistics in ["without statistics", "with statistics"] {
        for (name, owner, free) in claims {
            let definitions = vec!["checkout/1".to_owned()];
            let are_sleepers = matches!(free, Free::OwnSleepers);
            let claimer = Claimer { owner: owner.clone(), definitions, batch: BATCH, max_claims: 3 };
            for _ in 0..EXECUTIONS {
                let looked_at = rows_read(&mut connection, async |connection| {
                    let claimed = Claims { claimer: &claimer, connection }.claim(free).await.expect("a claim");
                    assert_eq!(claimed.len() as i64, BATCH, "{name}");
                })
                .await;
                // Each row is read, locked, changed, and looked up for its new version.
                // Without statistics PostgreSQL plans for a small table, and sorts the sleepers that are due.
                if looked_at > 10 * BATCH && (!are_sleepers || statistics == "with statistics") {
                    failures.push(format!("{statistics}: a claim {name} reads {looked_at} rows"));
                }
            }
        }
        let claimer = Claimer { owner: all_due.clone(), definitions: Vec::new(), batch: BATCH, max_claims: 3 };
        for _ in 0..EXECUTIONS {
            let looked_at = rows_read(&mut connection, async |connection| {
                let mut claims = Claims { claimer: &claimer, connection };
                assert!(claims.flags(None).await.expect("flags").is_empty());
                assert_eq!(claims.owners().await.expect("owners").len(), 2);
                assert_eq!(claims.still_free(&orphans).await.expect("a number"), 0, "no definition is known");
            })
            .await;
            if looked_at > 10 * BATCH {
                failures.push(format!("{statistics}: flags, owners and orphans that are left read {looked_at} rows"));
            }
        }
        connection.batch_execute("analyze saga").await.expect("statistics");
    }
    drop(connection);
    log.drop_database().await;
    assert!(failures.is_empty(), "{failures:#?}");
}
