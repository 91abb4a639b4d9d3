//! Two replicas decide on one transaction at the same time: their rows meet under one unique key, whichever comes first
//! and whether it is committed or not.
//!
//! A trigger stops the first transaction when its row is written and not committed. The second then waits for that row.

use tests::{
    PATIENCE, Stack, StackOptions,
    database::Database,
    http::{Answer, send},
    operations::{OPERATIONS, Operation, Outcome},
    stack::new_transaction,
    wait_until, with_stack,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Act,
    Compensate,
}

/// End of the first request's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Commits,
    IsLost,
}

impl Request {
    async fn send(self, stack: &Stack, operation: &Operation, id: &str) -> Answer {
        send(match self {
            Self::Act => operation.action(stack, id),
            Self::Compensate => operation.compensation(stack, id),
        })
        .await
    }

    /// Asserts the answer that follows if nothing else was decided.
    fn assert_alone(self, operation: &Operation, answer: &Answer, id: &str) {
        match self {
            Self::Act => operation.assert_outcome(answer, id, Outcome::Done),
            Self::Compensate => operation.assert_outcome(answer, id, Outcome::NothingToCompensate),
        }
        assert!(!answer.is_replayed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_meets_its_repeat() {
    meet(Request::Act, Request::Act).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_meets_the_action_that_is_not_committed() {
    meet(Request::Act, Request::Compensate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_meets_the_tombstone_that_is_not_committed() {
    meet(Request::Compensate, Request::Act).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_meets_its_repeat() {
    meet(Request::Compensate, Request::Compensate).await;
}

async fn meet(first: Request, second: Request) {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            stack.add_replica(operation.service).await;
            // Both have seen the stock by then.
            for _ in 0..4 {
                operation.act(stack, &new_transaction()).await.expect(200);
            }
            for end in [First::Commits, First::IsLost] {
                let what = format!("{}: {first:?}, {second:?}, the first {end:?}", operation.service);
                meet_at(stack, operation, [first, second], end, &what).await;
            }
        }
    })
    .await;
}

async fn meet_at(stack: &Stack, operation: &Operation, [first, second]: [Request; 2], end: First, what: &str) {
    let id = new_transaction();
    let database = stack.database(operation.service).await;
    hold_rows_of(&database, operation.table, &id).await;
    let waiting = async |count: i64| {
        let waiting = "select count(*) from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'";
        wait_until(what, PATIENCE, async || (database.number(waiting, &[]).await == count).then_some(())).await;
    };
    let release = async {
        waiting(2).await;
        if end == First::IsLost {
            let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                         where datname = current_database() and wait_event = 'advisory'";
            assert_eq!(database.number(kill, &[]).await, 1, "{what}");
        }
        database.run("select pg_advisory_unlock(1)").await;
    };
    let behind = async {
        waiting(1).await;
        let (answer, ()) = futures::join!(second.send(stack, operation, &id), release);
        answer
    };
    let (told_first, told) = futures::join!(first.send(stack, operation, &id), behind);
    match end {
        First::IsLost => {
            assert_eq!(told_first.status, 503, "{what}: {}", told_first.text);
            second.assert_alone(operation, &told, &id);
        }
        First::Commits => {
            first.assert_alone(operation, &told_first, &id);
            match (first, second) {
                (Request::Act, Request::Compensate) => operation.assert_outcome(&told, &id, Outcome::Compensated),
                (Request::Compensate, Request::Act) => {
                    assert!(told.status == 409 && told.is_recorded_refusal(), "{what}: {}", told.text);
                }
                _ => {
                    assert_eq!((told.status, &told.text), (told_first.status, &told_first.text), "{what}");
                    assert!(told.is_replayed(), "{what}");
                }
            }
        }
    }
    let decided = if end == First::Commits { [first, second].to_vec() } else { vec![second] };
    let is_live = !decided.contains(&Request::Compensate);
    assert_eq!(operation.live(stack, &id).await, i64::from(is_live), "{what}");
    let late = operation.act(stack, &id).await;
    assert_eq!(late.status, if is_live { 200 } else { 409 }, "{what}: {}", late.text);
    assert_eq!(operation.live(stack, &id).await, i64::from(is_live), "{what}");
}

/// Stops each transaction that has written a row of `id`, until lock 1 is released.
async fn hold_rows_of(database: &Database, table: &str, id: &str) {
    let sql = format!(
        "create or replace function hold() returns trigger language plpgsql as $$
         begin
             if new.transaction_id = '{id}' then perform pg_advisory_xact_lock(1); end if;
             return new;
         end $$;
         create or replace trigger hold after insert on {table} for each row execute function hold();
         select pg_advisory_lock(1)"
    );
    database.run(&sql).await;
}
