//! States of a saga's steps in the status endpoint after the owner died, for every point at which it can die.

use super::*;

fn row(events: &[Event], direction: Direction, left_by: LeftBy) -> Recovered {
    row_of(&after(events), direction, left_by)
}

fn row_of(log: &SagaLog, direction: Direction, left_by: LeftBy) -> Recovered {
    Recovered {
        outputs: Outputs::one("product_id", "1"),
        started: Vec::new(),
        direction,
        cause: (direction == Direction::Compensating).then(|| "409: no".to_owned()),
        status: log.status(),
        timeline: log.timeline(),
        left_by,
    }
}

fn recovered(row: Recovered) -> SagaLog {
    SagaLog::recovered(&four_steps(), row)
}

fn with(mut events: Vec<Event>, more: &[Event]) -> Vec<Event> {
    events.extend_from_slice(more);
    events
}

fn refused(step: usize) -> Vec<Event> {
    with(up_to(step - 1), &[Event::ActionSent(step), Event::ActionRefused(step, refusal()), Event::TurnedBack])
}

fn given_up(step: usize) -> Vec<Event> {
    let gave_up = Event::ActionGivenUp(step, Failure::timeout("a service"), "no answer".into(), Sent::Maybe);
    with(up_to(step - 1), &[Event::ActionSent(step), gave_up, Event::TurnedBack])
}

/// Undoes a step; its compensation finds `found`.
fn undo(log: &mut SagaLog, step: usize, found: Found) {
    assert_eq!(plan::next(log), [Decision::Compensate(step)], "decisions assume the worst");
    log.apply(Event::CompensationSent(step), at()).unwrap();
    log.apply(Event::CompensationDone(step, found, Outputs::default()), at()).unwrap();
}

fn states(log: &SagaLog) -> Vec<String> {
    log.timeline().into_iter().map(|step| step.state.into_owned()).collect()
}

#[test]
fn an_effect_that_the_dead_owner_may_have_asked_for_is_not_known_until_it_is_asked_again() {
    let mut log = recovered(row(&up_to(CHOOSE), Direction::Forward, LeftBy::Loss));
    assert_eq!(states(&log), ["done", "unknown", "unknown", "unknown"]);
    log.apply(Event::ActionSent(CHARGE), at()).unwrap();
    assert_eq!(states(&log), ["done", "running", "unknown", "unknown"]);
    log.apply(done(CHARGE), at()).unwrap();
    assert_eq!(states(&log), ["done", "done", "unknown", "unknown"]);
    // No owner goes beyond a refused step.
    log.apply(Event::ActionSent(DECREASE), at()).unwrap();
    log.apply(Event::ActionRefused(DECREASE, refusal()), at()).unwrap();
    assert_eq!(states(&log), ["done", "done", "refused", "pending"]);
}

#[test]
fn what_a_dead_owner_knew_when_it_turned_back_is_kept() {
    let cases: [(&str, Vec<Event>, [&str; 4]); 6] = [
        ("the charge refused", refused(CHARGE), ["done", "refused", "pending", "pending"]),
        ("the stock refused", refused(DECREASE), ["done", "compensating", "refused", "pending"]),
        ("the purchase refused", refused(CREATE), ["done", "compensating", "done", "refused"]),
        ("no answer to the charge", given_up(CHARGE), ["done", "compensating", "pending", "pending"]),
        ("no answer of the stock", given_up(DECREASE), ["done", "compensating", "unknown", "pending"]),
        ("no answer to the purchase", given_up(CREATE), ["done", "compensating", "done", "compensating"]),
    ];
    for (name, events, expected) in cases {
        let log = recovered(row(&events, Direction::Compensating, LeftBy::Loss));
        assert_eq!(states(&log), expected, "{name}");
        assert_eq!(plan::next(&log), [Decision::Compensate(CREATE)], "{name}: decisions assume the worst");
    }
}

#[test]
fn a_step_that_never_ran_or_was_refused_is_undone_as_a_precaution_and_shows_as_it_was() {
    let mut log = recovered(row(&refused(CHARGE), Direction::Compensating, LeftBy::Loss));
    undo(&mut log, CREATE, Found::Nothing);
    undo(&mut log, CHARGE, Found::Refused);
    assert_eq!(states(&log), ["done", "refused", "pending", "pending"]);
    let undone: Vec<_> = log.timeline().into_iter().map(|step| step.compensation.map(|undo| undo.attempts)).collect();
    assert_eq!(undone, [None, Some(1), None, Some(1)], "that it was asked for is shown all the same");
}

#[test]
fn a_compensation_tells_what_became_of_its_action_and_of_those_around_it() {
    let cases = [
        ("nothing ever ran", [Found::Nothing, Found::Nothing], ["done", "pending", "pending", "pending"]),
        ("the charge was refused", [Found::Nothing, Found::Refused], ["done", "refused", "pending", "pending"]),
        ("only the charge is known", [Found::Nothing, Found::Done], ["done", "compensated", "unknown", "pending"]),
        ("the purchase was refused", [Found::Refused, Found::Done], ["done", "compensated", "done", "refused"]),
        ("everything was done", [Found::Done, Found::Done], ["done", "compensated", "done", "compensated"]),
        ("no participant says", [Found::NotSaid, Found::NotSaid], ["done", "unknown", "unknown", "unknown"]),
    ];
    for (name, [create, charge], expected) in cases {
        // Taken over while it ran forward, then turned back at once.
        let mut log = recovered(row(&up_to(CHOOSE), Direction::Forward, LeftBy::Loss));
        log.apply(Event::Interrupted(Cause::DeadlinePassed), at()).unwrap();
        log.apply(Event::TurnedBack, at()).unwrap();
        undo(&mut log, CREATE, create);
        undo(&mut log, CHARGE, charge);
        assert_eq!(states(&log), expected, "{name}");
        assert_eq!(plan::next(&log), [Decision::End(Status::Compensated)], "{name}");
    }
}

#[test]
fn an_undo_that_is_repeated_is_a_further_attempt_and_no_new_compensation() {
    let mut first = after(&given_up(CREATE));
    undo(&mut first, CREATE, Found::Done);
    first.apply(Event::CompensationSent(CHARGE), at()).unwrap();
    first.apply(Event::CompensationFailed(CHARGE, "503".to_owned()), at()).unwrap();
    first.apply(Event::MarkedFailed, at()).unwrap();
    assert_eq!(stuck_because(&first.timeline()).as_deref(), Some("charge is not undone: 503"));
    let later = at() + chrono::TimeDelta::seconds(60);
    let mut second = recovered(row_of(&first, Direction::Compensating, LeftBy::Sleep));
    assert_eq!(states(&second), ["done", "compensating", "done", "compensated"]);
    second.apply(Event::CompensationSent(CREATE), later).unwrap();
    second.apply(Event::CompensationFailed(CREATE, "504".to_owned()), later).unwrap();
    assert_eq!(states(&second), ["done", "compensating", "done", "compensated"]);
    assert_eq!(stuck_because(&second.timeline()).as_deref(), Some("create is not undone: 504"));
    second.apply(Event::CompensationSent(CREATE), later).unwrap();
    second.apply(Event::CompensationDone(CREATE, Found::Done, Outputs::default()), later).unwrap();
    let undone = second.timeline().remove(CREATE).compensation.unwrap();
    assert_eq!((undone.attempts, undone.finished_at, undone.error), (3, Some(at()), None));
}

#[test]
fn a_saga_that_only_slept_is_known_as_far_as_its_last_write() {
    let mut log = after(&refused(CREATE));
    log.apply(Event::MarkedFailed, at()).unwrap();
    let slept = recovered(row_of(&log, Direction::Compensating, LeftBy::Sleep));
    assert_eq!(states(&slept), ["done", "done", "done", "refused"], "the money is still taken");
    // An owner that woke the saga may have refunded before it was lost.
    let lost = recovered(row_of(&log, Direction::Compensating, LeftBy::Loss));
    assert_eq!(states(&lost), ["done", "compensating", "done", "refused"]);
}

#[test]
fn the_outcome_of_a_call_in_flight_is_known_although_the_saga_turned_back() {
    let interrupted =
        with(up_to(CHARGE), &[Event::ActionSent(DECREASE), Event::Interrupted(Cause::Cancelled), Event::TurnedBack]);
    let after_outcome = |event: Event| states(&after(&with(interrupted.clone(), &[event])));
    assert_eq!(states(&after(&interrupted)), ["done", "done", "running", "pending"]);
    assert_eq!(after_outcome(done(DECREASE)), ["done", "done", "done", "pending"]);
    assert_eq!(after_outcome(Event::ActionRefused(DECREASE, refusal())), ["done", "done", "refused", "pending"]);
}

#[test]
fn a_read_in_flight_is_given_up_when_its_saga_turns_back() {
    let log = after(&[Event::ActionSent(CHOOSE), Event::Interrupted(Cause::Cancelled)]);
    assert_eq!(plan::next(&log), [Decision::End(Status::Compensated)]);
    assert_eq!(states(&log), ["unknown", "pending", "pending", "pending"], "an ended saga shows no running step");
}

#[test]
fn an_attempt_that_never_left_did_not_happen() {
    let gave_up = Event::ActionGivenUp(CHARGE, Failure::unavailable("payments"), "refused".into(), Sent::Nothing);
    let log = after(&with(up_to(CHOOSE), &[Event::ActionSent(CHARGE), gave_up]));
    assert_eq!(states(&log), ["done", "pending", "pending", "pending"]);
}
