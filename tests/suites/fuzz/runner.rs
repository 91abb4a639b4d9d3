//! Runs a property over generated values inside an async test.

use std::{fmt::Debug, time::Duration};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner},
};
use tokio::runtime::Handle;

/// The default seed, replaced by `PROPTEST_RNG_SEED`: the same cases in every run.
const SEED: u64 = 20_260_727;

/// The default number of cases per route, replaced by `PROPTEST_CASES`.
const CASES: u32 = 40;

/// Maximum number of shrink steps: enough for a readable failure, in acceptable time.
const SHRINKS: u32 = 300;

/// Checks a property of generated values. Values that have failed before are tried first; they are stored by service
/// and property name.
///
/// # Panics
/// When the property does not hold; the message shows the simplest value found.
pub(crate) async fn run<S>(service: &str, what: &str, strategy: S, check: impl AsyncFn(S::Value) -> Result<(), String>)
where
    S: Strategy,
    S::Value: Debug,
{
    let regressions: &'static str = format!("suites/fuzz/regressions/{service}-{what}.txt").leak();
    // Reads the environment variables.
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

/// Longer than any answer takes, even on a busy machine.
pub(crate) const HANGS_AFTER: Duration = tests::PATIENCE;
