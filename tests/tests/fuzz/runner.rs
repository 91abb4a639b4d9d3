//! Runs a property over made-up values inside an async test.

use std::{fmt::Debug, time::Duration};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner},
};
use tokio::runtime::Handle;

/// The seed unless `PROPTEST_RNG_SEED` says otherwise: the same cases in every run.
const SEED: u64 = 20_260_727;

/// Cases for each route unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 40;

/// How often a failure is made simpler: enough to read it, not so often that nobody waits for it.
const SHRINKS: u32 = 300;

/// Checks a property of made-up values. Values that failed once are tried first; they are kept under the names of the
/// service and of what was tried.
///
/// # Panics
/// When the property does not hold; the message shows the simplest value that was found.
pub(crate) async fn run<S>(service: &str, what: &str, strategy: S, check: impl AsyncFn(S::Value) -> Result<(), String>)
where
    S: Strategy,
    S::Value: Debug,
{
    let regressions: &'static str = format!("tests/fuzz/regressions/{service}-{what}.txt").leak();
    // Reads the environment.
    let mut config = Config::default();
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config.max_shrink_iters = SHRINKS;
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(regressions)));
    let mut runner = TestRunner::new(config);
    let handle = Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&strategy, |value| handle.block_on(check(value)).map_err(TestCaseError::fail))
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, value)) => panic!("{service}, {what}: {reason}\n{value:?}"),
        Err(TestError::Abort(reason)) => panic!("{service}, {what}: {reason}"),
    }
}

/// Longer than any answer takes, on a busy machine too.
pub(crate) const HANGS_AFTER: Duration = tests::PATIENCE;
