//! The saga log in the simulator's memory against the one on PostgreSQL: random sequences of writes, claims, leases,
//! flags and unreadable rows, by two nodes and a process that takes the name of one of them. Writes are legal and
//! illegal, of former and future epochs, and repeated. After each operation both logs must report the same and hold the
//! same rows, so that results of the simulator hold for the real log.
//!
//! Times are compared by whether they have come: those of a sequence are past at once, or an hour ahead. Not compared:
//! the events for listeners, and the maintenance of leases that ended a day ago.

mod logs;
mod operations;
mod shown;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use self::logs::Logs;
use self::operations::{Operation, operation};

/// Number of sequences.
const CASES: u32 = 120;

async fn compare(logs: &mut Logs, operations: &[Operation]) -> Result<(), TestCaseError> {
    logs.begin_case().await;
    for (index, operation) in operations.iter().enumerate() {
        let (in_memory, in_sql) = logs.perform(operation).await;
        prop_assert_eq!(&in_memory, &in_sql, "the reports on operation {}, {:?}", index, operation);
        let (in_memory, in_sql) = logs.rows().await;
        prop_assert_eq!(&in_memory, &in_sql, "the rows after operation {}, {:?}", index, operation);
    }
    Ok(())
}

#[test]
fn the_log_in_memory_and_the_log_on_postgresql_agree() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut logs = runtime.block_on(Logs::new());
    let logs = std::cell::RefCell::new(&mut logs);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let sequences = prop::collection::vec(operation(), 1..=40);
    let outcome = runner.run(&sequences, |operations| runtime.block_on(compare(&mut logs.borrow_mut(), &operations)));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
