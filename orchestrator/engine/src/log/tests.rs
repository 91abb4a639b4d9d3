//! Every legal path through a saga, and the events that the log refuses at each point.

mod history;

use super::*;
use crate::definition::tests::{READ, four_steps, step, undone};
use crate::definition::{Definition, Start, Step};
use crate::outcome::{Failure, Found, Sent};
use crate::plan::{self, Decision};

const CHOOSE: usize = 0;
const CHARGE: usize = 1;
const DECREASE: usize = 2;
const CREATE: usize = 3;

fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn refusal() -> Failure {
    Failure::refused(409, "payments", "no")
}

fn done(step: usize) -> Event {
    Event::ActionDone(step, Outputs::one("product_id", "1"))
}

/// Returns a log after these events; each must be legal.
fn after(events: &[Event]) -> SagaLog {
    let mut log = SagaLog::new(&four_steps());
    for event in events {
        log.apply(event.clone(), at()).unwrap();
    }
    log
}

fn up_to(step: usize) -> Vec<Event> {
    let mut events = vec![Event::ActionSent(CHOOSE), done(CHOOSE), Event::Begun { outputs: OutputsInLog::Complete }];
    for step in CHARGE..=step {
        events.extend([Event::ActionSent(step), done(step)]);
    }
    events
}

#[test]
fn the_happy_path_is_planned_step_by_step() {
    let mut log = after(&[]);
    let path = [
        (Decision::Run(CHOOSE), vec![Event::ActionSent(CHOOSE), done(CHOOSE)]),
        (Decision::Begin, vec![Event::Begun { outputs: OutputsInLog::Complete }]),
        (Decision::Run(CHARGE), vec![Event::ActionSent(CHARGE), done(CHARGE)]),
        (Decision::Run(DECREASE), vec![Event::ActionSent(DECREASE), done(DECREASE)]),
        (Decision::Run(CREATE), vec![Event::ActionSent(CREATE), done(CREATE)]),
        (Decision::End(Status::Completed), vec![Event::Ended(Status::Completed)]),
    ];
    for (decision, events) in path {
        assert_eq!(plan::next(&log), [decision]);
        for event in events {
            log.apply(event, at()).unwrap();
        }
    }
    assert_eq!(log.status(), Status::Completed);
}

#[test]
fn a_refusal_turns_back_and_undoes_in_reverse_what_happened_or_may_have() {
    let mut events = up_to(DECREASE);
    events.extend([
        Event::ActionSent(CREATE),
        Event::ActionGivenUp(CREATE, Failure::timeout("purchases"), "no answer".into(), Sent::Maybe),
    ]);
    let mut log = after(&events);
    assert_eq!(plan::next(&log), [Decision::TurnBack]);
    assert_eq!(log.status(), Status::Pending, "the turn does not show before it is durable");
    log.apply(Event::TurnedBack, at()).unwrap();
    assert_eq!(log.status(), Status::Compensating);
    for step in [CREATE, CHARGE] {
        assert_eq!(plan::next(&log), [Decision::Compensate(step)]);
        log.apply(Event::CompensationSent(step), at()).unwrap();
        assert_eq!(plan::next(&log), []);
        log.apply(Event::CompensationDone(step, Found::Done, Outputs::default()), at()).unwrap();
    }
    assert_eq!(plan::next(&log), [Decision::End(Status::Compensated)]);
}

#[test]
fn a_saga_without_an_effect_ends_in_the_row_that_begins_it() {
    let log = after(&[Event::ActionSent(CHOOSE), Event::ActionRefused(CHOOSE, refusal())]);
    assert_eq!(plan::next(&log), [Decision::End(Status::Compensated)]);
    assert!(!log.is_begun());
}

#[test]
fn an_attempt_that_never_left_needs_no_undoing_and_one_that_may_have_does() {
    for (sent, decision) in [(Sent::Nothing, Decision::End(Status::Compensated)), (Sent::Maybe, Decision::TurnBack)] {
        let mut events = up_to(CHOOSE);
        let gave_up = Event::ActionGivenUp(CHARGE, Failure::unavailable("payments"), "refused".into(), sent);
        events.extend([Event::ActionSent(CHARGE), gave_up]);
        assert_eq!(plan::next(&after(&events)), [decision], "{sent:?}");
    }
}

#[test]
fn a_saga_turns_back_at_once_and_waits_for_its_call_before_it_undoes_it() {
    let failure = || Failure::timeout("payments");
    for (outcome, decision) in [
        (done(CHARGE), Decision::Compensate(CHARGE)),
        (Event::ActionRefused(CHARGE, refusal()), Decision::End(Status::Compensated)),
        (Event::ActionGivenUp(CHARGE, failure(), String::new(), Sent::Maybe), Decision::Compensate(CHARGE)),
        (Event::ActionGivenUp(CHARGE, failure(), String::new(), Sent::Nothing), Decision::End(Status::Compensated)),
    ] {
        let mut events = up_to(CHOOSE);
        events.extend([Event::ActionSent(CHARGE), Event::Interrupted(Cause::Cancelled)]);
        let mut log = after(&events);
        assert_eq!(plan::next(&log), [Decision::TurnBack]);
        assert!(log.apply(Event::Ended(Status::Compensated), at()).is_err(), "its effect may still come");
        log.apply(Event::TurnedBack, at()).unwrap();
        assert_eq!(plan::next(&log), [], "the call is in flight");
        assert!(log.apply(Event::CompensationSent(CHARGE), at()).is_err());
        log.apply(outcome.clone(), at()).unwrap();
        assert_eq!(plan::next(&log), [decision], "{outcome:?}");
    }
}

#[test]
fn a_client_that_leaves_early_makes_begin_come_first_and_the_outputs_follow() {
    let mut log = after(&[Event::ActionSent(CHOOSE), Event::BeginWanted]);
    assert_eq!(plan::next(&log), [Decision::Begin]);
    log.apply(Event::Begun { outputs: OutputsInLog::Missing }, at()).unwrap();
    assert_eq!(plan::next(&log), []);
    log.apply(done(CHOOSE), at()).unwrap();
    assert_eq!(plan::next(&log), [Decision::WriteOutputs]);
    assert!(log.apply(Event::ActionSent(CHARGE), at()).is_err(), "no effect before the outputs are durable");
    log.apply(Event::OutputsWritten, at()).unwrap();
    assert_eq!(plan::next(&log), [Decision::Run(CHARGE)]);
}

#[test]
fn a_row_that_is_written_between_two_reads_holds_none_of_their_outputs() {
    let reads = vec![step("a", READ).after(&[]), step("b", READ).after(&[]), step("c", undone()).after(&["a", "b"])];
    let definition = Arc::new(Definition::new("two-reads", 1, reads).unwrap());
    let mut log = SagaLog::new(&definition);
    for event in [
        Event::ActionSent(0),
        Event::ActionSent(1),
        Event::ActionDone(0, Outputs::one("a", 1)),
        Event::BeginWanted,
        Event::Begun { outputs: OutputsInLog::Missing },
    ] {
        log.apply(event, at()).unwrap();
    }
    let row = Recovered {
        outputs: log.outputs_for_the_row(),
        started: Vec::new(),
        direction: Direction::Forward,
        cause: None,
        status: Status::Pending,
        timeline: log.timeline(),
        left_by: LeftBy::Loss,
    };
    let later = SagaLog::recovered(&definition, row);
    assert_eq!(plan::next(&later), [Decision::Run(0), Decision::Run(1)], "the output of b is not known");
}

#[test]
fn a_later_owner_asks_again_forward_and_undoes_everything_backward() {
    let row = |direction, cause: Option<&str>| Recovered {
        outputs: Outputs::one("product_id", "1"),
        started: Vec::new(),
        direction,
        cause: cause.map(str::to_owned),
        status: Status::Pending,
        timeline: Vec::new(),
        left_by: LeftBy::Loss,
    };
    let definition = four_steps();
    let forward = SagaLog::recovered(&definition, row(Direction::Forward, None));
    assert_eq!(plan::next(&forward), [Decision::Run(CHARGE)], "an output that is there is not asked for again");
    let back = SagaLog::recovered(&definition, row(Direction::Compensating, Some("408: Deadline passed")));
    assert_eq!(plan::next(&back), [Decision::Compensate(CREATE)], "a step may have happened although nobody knows");
    assert_eq!(back.cause().map(ToString::to_string).as_deref(), Some("408: Deadline passed"));
}

/// A read and two steps behind it, the first with a recorded start.
fn with_a_recorded_start(start: Start) -> Arc<Definition> {
    let steps = vec![step("read", READ), Step { start, ..step("a", undone()) }, step("b", undone())];
    let mut definition = Definition::new("d", 1, steps).unwrap();
    definition.reads_yield_outputs = true;
    Arc::new(definition)
}

fn turned_back(started: &[&str], outputs: Outputs) -> Recovered {
    Recovered {
        outputs,
        started: started.iter().map(SmolStr::new).collect(),
        direction: Direction::Compensating,
        cause: Some("408: Deadline passed".to_owned()),
        status: Status::Compensating,
        timeline: Vec::new(),
        left_by: LeftBy::Loss,
    }
}

#[test]
fn the_row_tells_which_steps_may_have_started_however_participants_are_judged_now() {
    use Start::{Assumed, Recorded};
    for (now, started, undone) in [
        // Begun while no start was recorded: each step may have started.
        (Assumed, [].as_slice(), [true, true]),
        (Recorded, &[], [true, true]),
        // Begun while starts were recorded: those that are named.
        (Recorded, &["b", "="], [false, true]),
        (Assumed, &["b", "="], [false, true]),
        (Assumed, &["a", "b", "="], [true, true]),
        (Recorded, &["="], [false, false]),
        // Begun by a version that named no step whose start is assumed.
        (Recorded, &["a"], [true, true]),
    ] {
        let log = SagaLog::recovered(&with_a_recorded_start(now), turned_back(started, Outputs::one("o", 1)));
        assert_eq!([1, 2].map(|step| log.step(step).needs_undo()), undone, "{now:?} {started:?}");
        let next = plan::started(&log);
        let later = SagaLog::recovered(
            &with_a_recorded_start(now),
            Recovered { started: next, ..turned_back(&[], Outputs::one("o", 1)) },
        );
        assert_eq!([1, 2].map(|step| later.step(step).needs_undo()), undone, "after a write: {now:?} {started:?}");
    }
}

#[test]
fn a_row_names_all_steps_that_may_have_started_or_none() {
    let mut log = SagaLog::new(&with_a_recorded_start(Start::Recorded));
    for event in [Event::ActionSent(0), Event::ActionDone(0, Outputs::one("o", 1))] {
        log.apply(event, at()).unwrap();
    }
    assert_eq!(plan::started(&log), ["b", "a", "="], "b is assumed to start, and a starts next");
    assert_eq!(plan::started(&SagaLog::new(&with_a_recorded_start(Start::Assumed))), [""; 0]);
}

#[test]
fn no_step_has_started_while_the_outputs_of_the_reads_are_missing() {
    for (start, started) in [(Start::Assumed, [].as_slice()), (Start::Recorded, &["b", "="])] {
        let log = SagaLog::recovered(&with_a_recorded_start(start), turned_back(started, Outputs::default()));
        assert_eq!(plan::next(&log), [Decision::End(Status::Compensated)], "{start:?}");
    }
}

#[test]
fn a_later_owner_still_shows_which_step_was_refused() {
    let mut events = up_to(CHARGE);
    events.extend([Event::ActionSent(DECREASE), Event::ActionRefused(DECREASE, refusal()), Event::TurnedBack]);
    let row = Recovered {
        outputs: Outputs::one("product_id", "1"),
        started: Vec::new(),
        direction: Direction::Compensating,
        cause: Some("409: no".to_owned()),
        status: Status::Compensating,
        timeline: after(&events).timeline(),
        left_by: LeftBy::Loss,
    };
    let log = SagaLog::recovered(&four_steps(), row);
    let states: Vec<_> = log.timeline().into_iter().map(|step| step.state).collect();
    assert_eq!(states, ["done", "compensating", "refused", "pending"]);
}

#[test]
fn what_would_break_the_protocol_is_refused_and_changes_nothing() {
    let refused = |step: usize| vec![Event::ActionSent(step), Event::ActionRefused(step, refusal())];
    let with = |mut events: Vec<Event>, more: Vec<Event>| {
        events.extend(more);
        events
    };
    let turned = with(with(up_to(DECREASE), refused(CREATE)), vec![Event::TurnedBack]);
    let both = with(
        with(
            up_to(DECREASE),
            vec![
                Event::ActionSent(CREATE),
                Event::ActionGivenUp(CREATE, Failure::timeout("purchases"), String::new(), Sent::Maybe),
            ],
        ),
        vec![Event::TurnedBack],
    );
    let ended = with(up_to(CREATE), vec![Event::Ended(Status::Completed)]);
    let cases = [
        ("an effect before begin", vec![Event::ActionSent(CHOOSE), done(CHOOSE)], Event::ActionSent(CHARGE)),
        ("a step before the one above it", up_to(CHOOSE), Event::ActionSent(DECREASE)),
        ("a step twice", up_to(CHARGE), Event::ActionSent(CHARGE)),
        ("begin twice", up_to(CHOOSE), Event::Begun { outputs: OutputsInLog::Complete }),
        ("an answer that nobody asked for", up_to(CHOOSE), done(CHARGE)),
        ("a turn without a cause", up_to(CHARGE), Event::TurnedBack),
        (
            "a compensation before the turn is durable",
            with(up_to(DECREASE), refused(CREATE)),
            Event::CompensationSent(CHARGE),
        ),
        ("a step after the turn", turned.clone(), Event::ActionSent(CREATE)),
        ("a compensation out of order", both, Event::CompensationSent(CHARGE)),
        ("a compensation of what has none", turned.clone(), Event::CompensationSent(DECREASE)),
        ("compensated with an effect left", turned.clone(), Event::Ended(Status::Compensated)),
        ("completed after the turn", turned.clone(), Event::Ended(Status::Completed)),
        ("completed with a step to do", up_to(DECREASE), Event::Ended(Status::Completed)),
        ("failed without the mark", turned.clone(), Event::Ended(Status::Failed)),
        ("an end that is none", turned.clone(), Event::Ended(Status::Compensating)),
        ("a deadline after the last step", up_to(CREATE), Event::Interrupted(Cause::DeadlinePassed)),
        ("a cancel of a compensation", turned, Event::Interrupted(Cause::Cancelled)),
        ("anything after the end", ended, Event::MarkedFailed),
    ];
    for (name, events, event) in cases {
        let mut log = after(&events);
        let before = format!("{log:?}");
        assert!(log.apply(event, at()).is_err(), "{name}");
        assert_eq!(format!("{log:?}"), before, "{name}");
    }
}
