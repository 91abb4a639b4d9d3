//! The lists of sagas on PostgreSQL: any combination of filters finds few sagas among very many by an index.

use common::{db::Connection, ids::UserId};
use orchestrator::store::lists::{self, Filter, Search};
use saga_engine::Status;
use secrecy::ExposeSecret;
use tests::{database::Database, saga_log::SagaLog};

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

/// Returns the number of rows of sagas that `list` reads.
async fn rows_read(connection: &mut Connection, list: impl AsyncFnOnce(&mut Connection)) -> i64 {
    const READ: &str = "
        select sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))::bigint
        from pg_partition_tree('saga') p join pg_stat_xact_user_tables s on s.relid = p.relid";
    // The session's counters are separate until its transaction ends.
    connection.batch_execute("begin").await.expect("a transaction");
    let before: i64 = connection.query_one(READ, &[]).await.expect("a number").get(0);
    list(connection).await;
    let after: i64 = connection.query_one(READ, &[]).await.expect("a number").get(0);
    connection.batch_execute("rollback").await.expect("the end of a transaction");
    after - before
}

#[tokio::test]
async fn a_filter_that_fits_few_sagas_of_very_many_reads_few() {
    let SagaLog { name, settings, pool, database } = SagaLog::new().await;
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
    let server = Database::connect(settings.url.expose_secret(), "postgres").await;
    server.run(&format!("drop database {name} with (force)")).await;
    assert!(failures.is_empty(), "{failures:#?}");
}
