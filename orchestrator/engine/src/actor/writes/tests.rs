//! A write in doubt is repeated unchanged: listeners get the changes of the attempt that came through, and would miss a
//! change that was added to a repeat. A saga whose row is missing is undone without one.

use tokio::sync::oneshot;

use super::*;
use crate::actor::tests::running_saga::{DURABLE, RunningActor, done, unavailable, undo, undone};
use crate::change::StateChange;
use crate::definition::Outputs;
use crate::definition::tests::four_steps;
use crate::outcome::{Failure, Outcome};

fn brief(changes: &[StateChange]) -> Vec<String> {
    let one = |change: &StateChange| match change {
        StateChange::Saga { status, .. } => status.to_string(),
        StateChange::Step { step, state, .. } => format!("{step} {state}"),
    };
    changes.iter().map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn the_effects_of_a_saga_whose_row_is_gone_are_undone_without_a_log() {
    let mut saga = RunningActor::start(four_steps()).await;
    assert_eq!(saga.call(done()).await.1, "choose");
    assert_eq!(saga.write(DURABLE).await, "begin");
    for step in ["charge", "decrease", "create"] {
        assert_eq!(saga.call(done()).await.1, step);
    }
    assert_eq!(saga.write(WriteReport::RowGone).await, "end");
    assert!(matches!((&mut saga.told).await, Ok(StartAnswer::RowGone(_))));
    // More often than any attempt would be made before a person is asked, who would find no row.
    for _ in 0..20 {
        assert_eq!(saga.call(unavailable()).await, undo("create"));
    }
    assert_eq!(saga.call(undone()).await, undo("create"));
    assert_eq!(saga.call(undone()).await, undo("charge"));
    saga.ended.await.unwrap();
    assert!(saga.writes.try_recv().is_err(), "there is nothing to write to");
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_was_to_be_marked_failed_is_undone_too_if_its_row_is_gone() {
    let mut saga = RunningActor::start(four_steps()).await;
    saga.call(done()).await;
    saga.write(DURABLE).await;
    assert_eq!(saga.call(done()).await.1, "charge");
    let refused = Outcome::Refused(Failure::refused(409, "p", "no"));
    assert_eq!(saga.call(refused).await.1, "decrease");
    assert_eq!(saga.write(DURABLE).await, "turn back");
    for _ in 0..5 {
        assert_eq!(saga.call(unavailable()).await, undo("charge"));
    }
    assert_eq!(saga.write(WriteReport::RowGone).await, "mark failed");
    assert_eq!(saga.call(undone()).await, undo("charge"));
    saga.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_repeated_carries_the_changes_of_its_first_attempt_and_later_ones_go_with_the_next() {
    let RunningActor { actor, ended, writes: mut asked_to_write, calls: mut asked_to_call, .. } =
        RunningActor::start(four_steps()).await;

    // The client detaches during the first call, so the call's reply comes while the begin is being written.
    let (_, chosen) = asked_to_call.recv().await.unwrap();
    let (leaver, _accepted) = oneshot::channel();
    actor.cast(SagaMsg::Detach(leaver)).unwrap();
    let (first, in_doubt) = asked_to_write.recv().await.unwrap();
    chosen.give(Outcome::Done(Outputs::one("product_id", "1")));
    in_doubt.give(WriteReport::InDoubt("its reply was lost".to_owned()));
    let (repeated, durable) = asked_to_write.recv().await.unwrap();
    assert_eq!((brief(&first.changes), brief(&repeated.changes)), (vec![], vec![]), "a begin carries none");
    durable.give(WriteReport::Durable { cancel_requested: false, at: DateTime::UNIX_EPOCH });
    let (outputs, in_doubt) = asked_to_write.recv().await.unwrap();
    let told = ["choose running", "choose done"].map(str::to_owned).to_vec();
    assert_eq!((outputs.change.name(), brief(&outputs.changes)), ("outputs", told));
    in_doubt.give(WriteReport::InDoubt("its reply was lost".to_owned()));
    let (repeated, durable) = asked_to_write.recv().await.unwrap();
    assert_eq!(brief(&repeated.changes), brief(&outputs.changes), "a repeat tells what the first attempt told");
    durable.give(WriteReport::Durable { cancel_requested: false, at: DateTime::UNIX_EPOCH });
    let (_, charged) = asked_to_call.recv().await.unwrap();
    charged.give(Outcome::Refused(Failure::refused(409, "p", "no")));
    let (next, _) = asked_to_write.recv().await.unwrap();
    assert_eq!(brief(&next.changes)[..2], ["charge running", "charge refused"], "later changes go with the next write");

    actor.stop(None);
    ended.await.unwrap();
}
