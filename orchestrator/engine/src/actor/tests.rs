//! Steps beside each other: called at once, up to a limit, and each undone on its own.

pub(super) mod running_saga;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::Instant;

use self::running_saga::{DURABLE, RunningActor, done, unavailable, undo, undone};
use super::*;
use crate::definition::tests::{READ, step, undone as compensable};
use crate::definition::{Definition, Effect, Start, Step};
use crate::outcome::{Failure, Retry, Unknown};
use crate::world::{Answer, Call};

const EIGHT: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn beside_each_other(names: &[&str], effect: &Effect, max_parallel: usize) -> Arc<Definition> {
    let steps = names.iter().map(|name| step(name, effect.clone()).after(&[])).collect();
    let mut definition = Definition::new("beside", 1, steps).unwrap();
    definition.max_parallel = max_parallel;
    Arc::new(definition)
}

fn refused() -> Outcome {
    Outcome::Refused(Failure::refused(409, "p", "no"))
}

fn come_back_later() -> Outcome {
    come_back_in(Duration::from_secs(20))
}

/// An outcome after which the call is repeated after this time at the earliest.
fn come_back_in(wait: Duration) -> Outcome {
    match unavailable() {
        Outcome::Unknown(unknown) => Outcome::Unknown(Unknown { retry: Retry::After(wait), ..unknown }),
        outcome => outcome,
    }
}

/// Lets the actor handle the messages that it has; no timer fires meanwhile.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

impl RunningActor {
    /// Returns the calls that are in flight, without answering them.
    async fn in_flight(&mut self) -> Vec<(Call, Answer<Outcome>)> {
        settle().await;
        let mut calls = Vec::new();
        while let Ok(call) = self.calls.try_recv() {
            calls.push(call);
        }
        calls
    }
}

fn names(calls: &[(Call, Answer<Outcome>)]) -> BTreeSet<&str> {
    calls.iter().map(|(call, _)| &*call.step).collect()
}

#[tokio::test(start_paused = true)]
async fn steps_that_do_not_wait_for_each_other_are_called_at_once_and_undone_at_once() {
    let mut saga = RunningActor::start(beside_each_other(&EIGHT, &compensable(), 16)).await;
    assert_eq!(saga.write(DURABLE).await, "begin");
    let calls = saga.in_flight().await;
    assert_eq!(names(&calls), BTreeSet::from(EIGHT));
    for (call, answer) in calls {
        answer.give(if call.step == "h" { refused() } else { done() });
    }
    assert_eq!(saga.write(DURABLE).await, "turn back");
    let undoing = saga.in_flight().await;
    assert_eq!(names(&undoing), BTreeSet::from(["a", "b", "c", "d", "e", "f", "g"]));
    undoing.into_iter().for_each(|(_, answer)| answer.give(undone()));
    assert_eq!(saga.write(DURABLE).await, "end");
}

#[tokio::test(start_paused = true)]
async fn each_outcome_makes_room_for_the_next_call_in_either_direction() {
    let mut saga = RunningActor::start(beside_each_other(&EIGHT, &compensable(), 3)).await;
    assert_eq!(saga.write(DURABLE).await, "begin");
    let mut calls = saga.in_flight().await;
    assert_eq!(names(&calls), BTreeSet::from(["a", "b", "c"]));
    calls.pop().unwrap().1.give(done());
    calls.extend(saga.in_flight().await);
    assert_eq!(names(&calls), BTreeSet::from(["a", "b", "d"]));
    calls.pop().unwrap().1.give(refused());
    assert_eq!(saga.write(DURABLE).await, "turn back");
    // Two actions are in flight: there is room for one compensation.
    let undoing = saga.in_flight().await;
    assert_eq!(names(&undoing), BTreeSet::from(["c"]));
    calls.into_iter().for_each(|(_, answer)| answer.give(done()));
    assert_eq!(names(&saga.in_flight().await), BTreeSet::from(["a", "b"]));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_waits_until_there_is_room() {
    let mut saga = RunningActor::start(beside_each_other(&["a", "b"], &compensable(), 1)).await;
    assert_eq!(saga.write(DURABLE).await, "begin");
    assert_eq!(saga.call(unavailable()).await.1, "a");
    let mut calls = saga.in_flight().await;
    assert_eq!(names(&calls), BTreeSet::from(["b"]), "a call between two attempts holds no place");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(saga.in_flight().await.is_empty(), "the repeat is due, and b is in flight");
    calls.remove(0).1.give(done());
    assert_eq!(saga.call(done()).await.1, "a");
    assert_eq!(saga.write(DURABLE).await, "end");
}

/// Turns a saga of two steps and a refused one back, and returns it with its two compensations in flight.
async fn turned_back(max_parallel: usize) -> (RunningActor, Vec<(Call, Answer<Outcome>)>) {
    let mut saga = RunningActor::start(beside_each_other(&["a", "b", "refused"], &compensable(), max_parallel)).await;
    assert_eq!(saga.write(DURABLE).await, "begin");
    for (name, outcome) in [("a", done()), ("b", done()), ("refused", refused())] {
        assert_eq!(saga.call(outcome).await.1, name);
    }
    assert_eq!(saga.write(DURABLE).await, "turn back");
    let undoing = saga.in_flight().await;
    (saga, undoing)
}

#[tokio::test(start_paused = true)]
async fn a_saga_is_marked_failed_once_no_other_branch_can_go_on() {
    // The other compensation is confirmed at its first attempt, or at its second one.
    for fails_first in [false, true] {
        let (mut saga, mut undoing) = turned_back(16).await;
        assert_eq!(names(&undoing), BTreeSet::from(["a", "b"]));
        let at_b = undoing.remove(0);
        assert_eq!(at_b.0.step, "b");
        undoing.remove(0).1.give(unavailable());
        for _ in 0..4 {
            assert_eq!(saga.call(unavailable()).await, undo("a"));
        }
        settle().await;
        assert!(saga.writes.try_recv().is_err(), "a is stuck, and b is in flight");
        if fails_first {
            at_b.1.give(come_back_later());
            settle().await;
            assert!(saga.writes.try_recv().is_err(), "a is stuck, and b is tried again");
            assert_eq!(saga.call(undone()).await, undo("b"));
        } else {
            at_b.1.give(undone());
        }
        assert_eq!(saga.write(DURABLE).await, "mark failed");
        assert!(matches!(saga.told.await, Ok(StartAnswer::Settled(Standing { status: Status::Failed, .. }))));
        saga.ended.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_branch_holds_no_other_up_where_there_is_room_for_one_call() {
    let (mut saga, mut undoing) = turned_back(1).await;
    assert_eq!(names(&undoing), BTreeSet::from(["b"]));
    undoing.remove(0).1.give(unavailable());
    let mut others = saga.in_flight().await;
    assert_eq!(names(&others), BTreeSet::from(["a"]), "b waits for its next attempt");
    others.remove(0).1.give(undone());
    for _ in 0..4 {
        assert_eq!(saga.call(unavailable()).await, undo("b"));
    }
    assert_eq!(saga.write(DURABLE).await, "mark failed");
}

#[tokio::test(start_paused = true)]
async fn a_requested_retry_ends_every_wait() {
    let mut saga = RunningActor::start(beside_each_other(&["a", "b"], &compensable(), 16)).await;
    assert_eq!(saga.write(DURABLE).await, "begin");
    for _ in 0..2 {
        saga.call(come_back_later()).await;
    }
    settle().await;
    let before = Instant::now();
    saga.actor.cast(SagaMsg::RetryNow).unwrap();
    assert_eq!(names(&saga.in_flight().await), BTreeSet::from(["a", "b"]));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

/// Starts a saga with a deadline of 2 s whose only step has a timeout of 30 s.
async fn with_a_slow_step(start: Start) -> RunningActor {
    let slow = Step { start, timeout: Some(Duration::from_secs(30)), ..step("slow", compensable()) };
    let mut definition = Definition::new("slow", 1, vec![slow]).unwrap();
    definition.deadline = Some(Duration::from_secs(2));
    let mut saga = RunningActor::start(Arc::new(definition)).await;
    assert_eq!(saga.write(DURABLE).await, "begin");
    saga
}

/// Without a tombstone an action that arrives after its compensation takes effect.
#[tokio::test(start_paused = true)]
async fn a_call_without_tombstone_in_flight_at_the_deadline_is_waited_for_before_it_is_undone() {
    let mut saga = with_a_slow_step(Start::Recorded).await;
    let (call, answer) = saga.calls.recv().await.unwrap();
    assert_eq!(call.timeout, Duration::from_secs(30));
    let sent_at = Instant::now();
    assert_eq!(saga.write(DURABLE).await, "turn back");
    assert!(sent_at.elapsed() < Duration::from_secs(3), "it turns back at the deadline");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(saga.in_flight().await.is_empty(), "the call may still take effect");
    answer.give(done());
    assert_eq!(saga.call(undone()).await, undo("slow"));
    assert_eq!(saga.write(DURABLE).await, "end");
}

#[tokio::test(start_paused = true)]
async fn a_call_with_tombstone_is_given_up_at_the_deadline() {
    let mut saga = with_a_slow_step(Start::Assumed).await;
    let (call, _) = saga.calls.recv().await.unwrap();
    assert_eq!(call.timeout, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_requested_retry_repeats_a_stuck_compensation_while_another_branch_goes_on() {
    let (mut saga, mut undoing) = turned_back(16).await;
    let at_b = undoing.remove(0);
    undoing.remove(0).1.give(unavailable());
    for _ in 0..4 {
        assert_eq!(saga.call(unavailable()).await, undo("a"));
    }
    assert_eq!(saga.in_flight().await.len(), 0, "a is stuck");
    saga.actor.cast(SagaMsg::RetryNow).unwrap();
    assert_eq!(saga.call(undone()).await, undo("a"));
    at_b.1.give(undone());
    assert_eq!(saga.write(DURABLE).await, "end");
}

#[tokio::test(start_paused = true)]
async fn a_saga_with_several_stuck_compensations_sleeps_as_long_as_any_participant_asked() {
    let (mut saga, mut undoing) = turned_back(16).await;
    let at_b = undoing.remove(0);
    undoing.remove(0).1.give(unavailable());
    let longest = Duration::from_secs(120);
    for outcome in [unavailable(), unavailable(), unavailable(), come_back_in(longest)] {
        assert_eq!(saga.call(outcome).await, undo("a"));
    }
    at_b.1.give(unavailable());
    for _ in 0..4 {
        assert_eq!(saga.call(unavailable()).await, undo("b"));
    }
    let (write, _) = saga.writes.recv().await.unwrap();
    assert!(matches!(&write.change, Change::MarkFailed { wake_in, .. } if *wake_in == longest), "{:?}", write.change);
}

#[tokio::test(start_paused = true)]
async fn a_write_in_flight_delays_decisions_and_outcomes_are_noted() {
    let steps =
        vec![step("a", READ).after(&[]), step("b", READ).after(&[]), step("c", compensable()).after(&["a", "b"])];
    let mut saga = RunningActor::start(Arc::new(Definition::new("reads", 1, steps).unwrap())).await;
    let (leaver, _accepted) = oneshot::channel();
    saga.actor.cast(SagaMsg::Detach(leaver)).unwrap();
    let (begin, report) = saga.writes.recv().await.unwrap();
    assert_eq!(begin.change.name(), "begin");
    assert_eq!(saga.call(done()).await.1, "a");
    assert_eq!(saga.call(unavailable()).await.1, "b");
    // The wait of b is over long before the write is durable.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(saga.in_flight().await.is_empty(), "no call during the write");
    let states: Vec<_> = saga.saga.progress().log.timeline().into_iter().map(|step| step.state).collect();
    assert_eq!(states, ["done", "backing_off", "pending"]);
    report.give(DURABLE);
    assert_eq!(saga.call(done()).await.1, "b");
    assert_eq!(saga.write(DURABLE).await, "outputs");
    assert_eq!(saga.call(done()).await.1, "c");
    assert_eq!(saga.write(DURABLE).await, "end");
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_read_after_the_turn_changes_nothing() {
    let steps = vec![step("a", READ).after(&[]), step("b", READ).after(&[])];
    let mut saga = RunningActor::start(Arc::new(Definition::new("reads", 1, steps).unwrap())).await;
    let mut reads = saga.in_flight().await;
    reads.remove(0).1.give(refused());
    let (end, report) = saga.writes.recv().await.unwrap();
    assert_eq!(end.change.name(), "begin and end");
    let states: Vec<_> = end.timeline.iter().map(|step| &*step.state).collect();
    assert_eq!(states, ["refused", "unknown"]);
    reads.remove(0).1.give(done());
    settle().await;
    report.give(DURABLE);
    assert!(matches!(saga.told.await, Ok(StartAnswer::Settled(Standing { status: Status::Compensated, .. }))));
}

/// Its successor may have turned the saga back already; what a compensation finds, any number of them may find.
#[tokio::test(start_paused = true)]
async fn without_a_lease_compensations_are_called_but_no_action_and_that_is_no_attempt() {
    let mut saga = RunningActor::start(beside_each_other(&["a", "b"], &compensable(), 16)).await;
    assert_eq!(saga.write(DURABLE).await, "begin");
    let calls = saga.in_flight().await;
    assert_eq!(names(&calls), BTreeSet::from(["a", "b"]));
    saga.has_lease.store(false, Ordering::Relaxed);
    for (call, answer) in calls {
        answer.give(if call.step == "a" { done() } else { unavailable() });
    }
    for _ in 0..20 {
        assert_eq!(saga.in_flight().await.len(), 0);
        tokio::time::advance(Duration::from_millis(500)).await;
    }
    saga.has_lease.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut calls = saga.in_flight().await;
    let (call, answer) = calls.pop().expect("it is called again");
    assert_eq!((&*call.step, call.attempt), ("b", 2));
    saga.has_lease.store(false, Ordering::Relaxed);
    answer.give(refused());
    assert_eq!(saga.write(DURABLE).await, "turn back");
    let undoing = saga.in_flight().await;
    // The first attempt at b may have taken place.
    assert_eq!(names(&undoing), BTreeSet::from(["a", "b"]));
    undoing.into_iter().for_each(|(_, answer)| answer.give(undone()));
    assert_eq!(saga.write(DURABLE).await, "end");
}
