//! Each mistake that a participant can make is found, under the names of the rules that it breaks.

use std::collections::BTreeSet;

use ecommerce::conformance::{Outcome, Report, Rule};
use futures::{FutureExt, StreamExt, stream};
use tests::foreign_participant::{Fault, ForeignParticipant};

use crate::{assert_conforms, conform, names, violations};

/// The rules that a fault breaks for sure. It may break others too, where callers race.
fn broken_by(fault: Fault) -> &'static [&'static str] {
    match fault {
        Fault::AnswersBeforeItDecides => &["first-answer"],
        Fault::BooksAgain | Fault::OtherAnswer => {
            &["repeated-answer", "concurrent-repeats", "other-contents", "slow-client", "cut-client", "restart"]
        }
        Fault::SlowLock => &["concurrent-repeats", "repeated-refusal"],
        Fault::IgnoresContents => &["other-contents", "restart"],
        Fault::KeepsBooking => {
            &["compensation", "repeated-compensation", "action-after-compensation", "cut-client", "restart"]
        }
        Fault::ForgetsCompensation => {
            &["repeated-compensation", "tombstone", "undo-of-refused", "cut-client", "restart"]
        }
        Fault::RepeatsUndoneAction => &["action-after-compensation", "cut-client", "restart"],
        Fault::NoTombstone => &["tombstone", "restart"],
        Fault::LooksBeforeItLocks => &["race"],
        Fault::NoDecision => &[
            "action-after-compensation",
            "tombstone",
            "race",
            "refusal",
            "repeated-refusal",
            "undo-of-refused",
            "cut-client",
            "restart",
        ],
        Fault::DecidesAgain => &["repeated-refusal"],
        Fault::RefusesUndo => &["undo-of-refused"],
        Fault::ReadsUnderLock => &["slow-client"],
        Fault::BooksBeforeJournal => &["cut-client"],
        Fault::JournalInMemory => &["restart"],
    }
}

/// Rules that a fault breaks in some runs only, or not at all, depending on who comes first.
fn may_break(fault: Fault) -> &'static [&'static str] {
    match fault {
        Fault::KeepsBooking | Fault::RepeatsUndoneAction | Fault::NoTombstone => &["race"],
        Fault::DecidesAgain => &["restart"],
        Fault::LooksBeforeItLocks => &["tombstone"],
        _ => &[],
    }
}

async fn report_of(fault: Option<Fault>) -> Report {
    let participant = ForeignParticipant::start(fault).await;
    let restart = || async { participant.restart().await }.map(Ok).boxed_local();
    conform(&participant.plan(), &restart).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_without_a_fault_keeps_every_rule() {
    assert_conforms("the participant", &report_of(None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_breaks_the_rules_that_it_should_and_every_rule_is_broken_by_one() {
    let reports: Vec<(Fault, Report)> =
        stream::iter(Fault::ALL).map(async |fault| (fault, report_of(Some(fault)).await)).buffered(8).collect().await;
    let mut broken = BTreeSet::new();
    for (fault, report) in &reports {
        let violated = names(report, Outcome::Violated);
        for rule in broken_by(*fault) {
            assert!(violated.contains(rule), "{fault:?} does not break {rule}, but {violated:?}");
        }
        for rule in &violated {
            let is_expected = broken_by(*fault).contains(rule) || may_break(*fault).contains(rule);
            assert!(is_expected, "{fault:?} breaks {rule}: {:#?}", violations(report));
        }
        broken.extend(broken_by(*fault));
    }
    assert_eq!(broken, Rule::ALL.map(Rule::name).into(), "each rule is broken by a fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_violated_first_answer_the_other_rules_are_not_judged() {
    let report = report_of(Some(Fault::AnswersBeforeItDecides)).await;
    assert_eq!(names(&report, Outcome::Violated), ["first-answer"]);
    assert_eq!(names(&report, Outcome::Skipped).len(), Rule::ALL.len() - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_count_of_effects_a_second_one_shows_by_its_id() {
    let participant = ForeignParticipant::start(Some(Fault::OtherAnswer)).await;
    let plan = participant.plan();
    let (without_effects, _) = plan.split_once("[effects]").unwrap();
    let restart = || async { Ok(()) }.boxed_local();
    let report = conform(without_effects, &restart).await;
    assert!(names(&report, Outcome::Violated).contains(&"repeated-answer"), "{:?}", violations(&report));
    let participant = ForeignParticipant::start(None).await;
    let plan = participant.plan();
    let (without_effects, _) = plan.split_once("[effects]").unwrap();
    assert_conforms("the participant", &conform(without_effects, &restart).await);
}
