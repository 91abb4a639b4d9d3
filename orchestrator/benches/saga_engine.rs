//! Micro-benchmarks of the saga engine's pure part: `cargo bench --package orchestrator`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::sync::Arc;

use chrono::DateTime;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use orchestrator::checkout::{StockRule, definition};
use orchestrator::store::row_text;
use saga_engine::Status;
use saga_engine::definition::{Definition, Outputs};
use saga_engine::log::{Direction, Event, OutputsInLog, Recovered, SagaLog};
use saga_engine::outcome::{Failure, Found};
use saga_engine::plan::{self, Decision};
use saga_engine::takeover::LeftBy;

/// Runs a saga to its end as the actor does, with immediate answers; `refusing` is the step that refuses, if any.
fn run(definition: &Arc<Definition>, refusing: Option<usize>) -> SagaLog {
    let at = DateTime::UNIX_EPOCH;
    let mut log = SagaLog::new(definition);
    loop {
        // The checkout is a chain: at most one decision is due.
        let Some(decision) = plan::next(&log).pop() else { return log };
        let events = match decision {
            Decision::Begin => vec![Event::Begun { outputs: OutputsInLog::Complete }],
            Decision::WriteOutputs => vec![Event::OutputsWritten],
            Decision::Run(step) if refusing == Some(step) => {
                vec![Event::ActionSent(step), Event::ActionRefused(step, Failure::refused(409, "purchases", "no"))]
            }
            Decision::Run(step) => vec![Event::ActionSent(step), Event::ActionDone(step, outputs())],
            Decision::TurnBack => vec![Event::TurnedBack],
            Decision::Compensate(step) => {
                vec![Event::CompensationSent(step), Event::CompensationDone(step, Found::Done, Outputs::default())]
            }
            Decision::End(status) => vec![Event::Ended(status)],
        };
        for event in events {
            log.apply(event, at).expect("what was planned is legal");
        }
    }
}

fn outputs() -> Outputs {
    Outputs::one("product_id", "1")
}

fn sagas(criterion: &mut Criterion) {
    let checkout = Arc::new(definition(StockRule::Keep).expect("the table is good"));
    let last = checkout.steps().len() - 1;
    for (name, refusing, end) in [
        ("a saga that completes", None, Status::Completed),
        ("a saga that turns back", Some(last), Status::Compensated),
    ] {
        assert_eq!(run(&checkout, refusing).ended(), Some(end));
        criterion.bench_function(name, |bencher| bencher.iter(|| run(&checkout, black_box(refusing))));
    }
}

fn decisions(criterion: &mut Criterion) {
    let checkout = Arc::new(definition(StockRule::Keep).expect("the table is good"));
    let log = run(&checkout, None);
    criterion.bench_function("plan::next in a new saga", |bencher| {
        let new = SagaLog::new(&checkout);
        bencher.iter(|| plan::next(black_box(&new)));
    });
    criterion.bench_function("plan::next after a recovery", |bencher| {
        let recovered = SagaLog::recovered(&checkout, row(&log, Direction::Compensating));
        bencher.iter(|| plan::next(black_box(&recovered)));
    });
}

fn row(log: &SagaLog, direction: Direction) -> Recovered {
    Recovered {
        outputs: log.outputs().clone(),
        started: Vec::new(),
        direction,
        cause: Some("503: Service purchases unavailable".to_owned()),
        status: log.status(),
        timeline: log.timeline(),
        left_by: LeftBy::Loss,
    }
}

fn rows(criterion: &mut Criterion) {
    let checkout = Arc::new(definition(StockRule::Keep).expect("the table is good"));
    let log = run(&checkout, None);
    criterion.bench_function("rebuild a log from its row", |bencher| {
        let rebuild = |row| SagaLog::recovered(&checkout, row);
        bencher.iter_batched(|| row(&log, Direction::Forward), rebuild, BatchSize::SmallInput);
    });
    criterion.bench_function("write a timeline", |bencher| {
        bencher.iter(|| row_text::of_steps(&black_box(&log).timeline()));
    });
    let text = row_text::of_steps(&log.timeline());
    criterion.bench_function("read a timeline", |bencher| {
        bencher.iter(|| row_text::to_steps(black_box(&text)));
    });
}

criterion_group!(benches, sagas, decisions, rows);
criterion_main!(benches);
