//! The changes of a saga that listeners get, each once and in order.

use super::*;
use crate::definition::Outputs;
use crate::definition::tests::four_steps;
use crate::log::{Event, OutputsInLog};
use crate::outcome::{Cause, Failure, Found, Sent};

struct Saga {
    log: SagaLog,
    unsent: Unsent,
}

impl Saga {
    fn new() -> Saga {
        let log = SagaLog::new(&four_steps());
        Saga { unsent: Unsent::new(&log), log }
    }

    fn apply(&mut self, event: Event) {
        self.log.apply(event, DateTime::UNIX_EPOCH).unwrap();
        self.unsent.note(&self.log, DateTime::UNIX_EPOCH);
    }

    fn charged() -> Saga {
        let mut saga = Saga::new();
        for event in [
            Event::ActionSent(0),
            Event::ActionDone(0, Outputs::one("product_id", "1")),
            Event::Begun { outputs: OutputsInLog::Complete },
            Event::ActionSent(1),
            Event::ActionDone(1, Outputs::one("payment_id", "1")),
        ] {
            saga.apply(event);
        }
        saga.unsent = Unsent::new(&saga.log);
        saga
    }

    fn ride(&mut self, change: &Change) -> Vec<String> {
        brief(self.unsent.ride(change, &self.log, DateTime::UNIX_EPOCH))
    }
}

const NOW: Duration = Duration::ZERO;

fn brief(changes: Vec<StateChange>) -> Vec<String> {
    let one = |change| match change {
        StateChange::Saga { status, ended: false, .. } => status.to_string(),
        StateChange::Saga { status, .. } => format!("{status}, ended"),
        StateChange::Step { step, state, attempts, error: None, .. } => format!("{step} {state} {attempts}"),
        StateChange::Step { step, state, attempts, error: Some(error), .. } => {
            format!("{step} {state} {attempts}: {error}")
        }
    };
    changes.into_iter().map(one).collect()
}

fn end(status: Status) -> Change {
    Change::End { status, error: None }
}

#[test]
fn every_change_of_a_step_is_told_also_where_its_name_stays() {
    let mut saga = Saga::charged();
    let refused = Failure::refused(409, "inventory", "none left");
    for event in [
        Event::ActionSent(2),
        Event::ActionFailed(2, "timeout".to_owned(), Sent::Maybe),
        Event::ActionSent(2),
        Event::ActionRefused(2, refused.clone()),
        Event::TurnedBack,
        Event::CompensationSent(1),
        Event::CompensationFailed(1, "503".to_owned()),
        Event::CompensationSent(1),
        Event::CompensationDone(1, Found::Done, Outputs::default()),
    ] {
        saga.apply(event);
    }
    let told = brief(saga.unsent.take(NOW));
    assert_eq!(
        told,
        [
            "decrease running 1",
            "decrease backing_off 1: timeout",
            "decrease running 2: timeout",
            &format!("decrease refused 2: {refused}"),
            "charge compensating 1",
            "charge compensating 1: 503",
            "charge compensating 2: 503",
            "charge compensated 2",
        ]
    );
}

#[test]
fn an_interruption_is_told_of_a_step_that_waits_and_later_of_one_whose_call_is_in_flight() {
    let failure = Failure::timeout("inventory");
    let given_up = Event::ActionGivenUp(2, failure, "no answer".to_owned(), Sent::Maybe);
    let failed = Event::ActionFailed(2, "timeout".to_owned(), Sent::Maybe);
    for (events, expected) in [
        (
            vec![failed, Event::Interrupted(Cause::Cancelled)],
            ["backing_off 1: timeout", "unknown 1: timeout"].as_slice(),
        ),
        (vec![Event::Interrupted(Cause::Cancelled), given_up], ["unknown 1: no answer"].as_slice()),
    ] {
        let mut saga = Saga::charged();
        saga.apply(Event::ActionSent(2));
        for event in events {
            saga.apply(event);
        }
        let told = brief(saga.unsent.take(NOW));
        assert_eq!(told[0], "decrease running 1");
        assert_eq!(told[1..].iter().map(|one| one.replacen("decrease ", "", 1)).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn every_write_that_changes_the_status_tells_it_and_no_other_one_does() {
    let begin = |ended| {
        let saga = crate::record::NewSaga {
            definition: "checkout".into(),
            definition_version: 1,
            input: crate::definition::Input::default(),
            key: None,
            secret: None,
            nonce: uuid::Uuid::nil(),
            deadline: std::time::Duration::ZERO,
            age: std::time::Duration::ZERO,
            decided_by: DateTime::UNIX_EPOCH,
        };
        Change::Begin { saga: Box::new(saga), ended }
    };
    let failed = Change::MarkFailed { wake_in: std::time::Duration::ZERO, marks: 1, waits_for: None };
    let mut saga = Saga::new();
    saga.apply(Event::ActionSent(0));
    assert_eq!(saga.ride(&begin(None)), Vec::<String>::new(), "the log tells PENDING, and changes of steps wait");
    saga.unsent.landed(&[]);
    assert_eq!(saga.ride(&begin(Some("no".to_owned()))), ["choose running 1", "COMPENSATED, ended"]);
    let mut saga = Saga::charged();
    assert_eq!(saga.ride(&Change::Outputs), Vec::<String>::new());
    assert_eq!(saga.ride(&Change::TurnBack { cause: "c".to_owned() }), ["COMPENSATING"]);
    assert_eq!(saga.ride(&end(Status::Completed)), ["COMPLETED, ended"]);
    assert_eq!(saga.ride(&end(Status::Compensated)), ["COMPENSATED, ended"]);
    assert_eq!(saga.ride(&failed), ["FAILED"]);
    saga.apply(Event::Interrupted(Cause::Cancelled));
    saga.apply(Event::TurnedBack);
    saga.apply(Event::MarkedFailed);
    assert_eq!(saga.ride(&failed), Vec::<String>::new());
}

#[test]
fn what_a_write_carries_is_sent_once_and_kept_when_the_write_fails() {
    let mut saga = Saga::charged();
    saga.apply(Event::ActionSent(2));
    let running = ["decrease running 1"];
    assert_eq!(saga.ride(&Change::Outputs), running);
    assert_eq!(saga.unsent.take(NOW), [], "the outbox leaves alone what a write carries");
    saga.unsent.stayed();
    assert_eq!(saga.ride(&Change::Outputs), running);
    // A change during the write stays for the next one.
    saga.apply(Event::ActionDone(2, Outputs::default()));
    saga.unsent.landed(&[]);
    assert_eq!(brief(saga.unsent.take(NOW)), ["decrease done 1"]);
    assert_eq!(saga.unsent.take(NOW), []);
}

#[test]
fn what_a_flush_could_not_send_comes_before_all_that_is_later() {
    let mut saga = Saga::charged();
    saga.apply(Event::ActionSent(2));
    let taken = saga.unsent.take(NOW);
    saga.apply(Event::ActionDone(2, Outputs::default()));
    assert_eq!(saga.ride(&Change::Outputs), ["decrease done 1"]);
    saga.unsent.put_back(taken);
    // If the write is repeated, it carries both changes; if it is durable, the other change still waits.
    let mut repeated = Saga {
        log: saga.log.clone(),
        unsent: Unsent { waiting: saga.unsent.waiting.clone(), ..Unsent::new(&saga.log) },
    };
    assert_eq!(repeated.ride(&Change::Outputs), ["decrease running 1", "decrease done 1"]);
    saga.unsent.landed(&[]);
    assert_eq!(brief(saga.unsent.take(NOW)), ["decrease running 1"]);
}

#[tokio::test(start_paused = true)]
async fn the_outbox_takes_changes_once_the_first_of_them_has_waited() {
    const WAIT: Duration = Duration::from_millis(100);
    let mut saga = Saga::charged();
    saga.apply(Event::ActionSent(2));
    tokio::time::advance(WAIT / 2).await;
    saga.apply(Event::ActionDone(2, Outputs::default()));
    assert_eq!(saga.unsent.take(WAIT), []);
    tokio::time::advance(WAIT / 2).await;
    assert_eq!(brief(saga.unsent.take(WAIT)), ["decrease running 1", "decrease done 1"]);
    saga.apply(Event::ActionSent(3));
    assert_eq!(saga.unsent.take(WAIT), [], "a later change waits anew");
}

#[test]
fn the_begin_counts_as_told_once_a_change_is_known_to_be_written() {
    let mut saga = Saga::new();
    saga.apply(Event::ActionSent(0));
    saga.ride(&Change::Outputs);
    saga.unsent.landed(&[]);
    assert_eq!(saga.unsent.begin_told(), BeginTold::No, "that write carried nothing");
    saga.apply(Event::ActionDone(0, Outputs::one("product_id", "1")));
    let taken = saga.unsent.take(NOW);
    saga.unsent.put_back(taken);
    assert_eq!(saga.unsent.begin_told(), BeginTold::Maybe);
    let taken = saga.unsent.take(NOW);
    saga.unsent.sent();
    assert_eq!((taken.len(), saga.unsent.begin_told()), (1, BeginTold::Yes));
    assert_eq!(Saga::charged().unsent.begin_told(), BeginTold::Yes, "the claim of a saga tells it");
}
