//! Each invariant, on clean facts and on facts that violate only it.

mod any_saga;
mod kit;

use chrono::{DateTime, TimeDelta, Utc};

use self::any_saga::{named, trip};
use self::kit::*;
use super::*;
use crate::checkout::{self, StockRule};
use saga_engine::Status;
use saga_engine::log::{CompensationView, StepView};

#[test]
fn clean_facts_break_nothing_and_every_invariant_looks_at_something() {
    let report = judge(&clean(), Run::Over);
    assert_eq!(broken(&report), []);
    assert!(report.is_clean());
    let looked_at: Vec<u64> = report.verdicts.iter().map(|verdict| verdict.looked_at).collect();
    assert_eq!(looked_at, [5, 1, 3, 4, 4, 1, 5, 2, 4, 1, 4]);
    let money = MoneySums { captured_cents: 3 * CENTS, refunded_cents: 2 * CENTS, purchased_cents: CENTS };
    assert_eq!(report.money, money);
}

/// The case, the transaction it begins with, the damage, and the invariants that find it.
type Case = (&'static str, fn() -> Transaction, fn(&mut Transaction), &'static [&'static str]);

#[test]
fn each_violation_is_found_by_its_invariant_and_by_no_other() {
    const ENDS: &str = "every accepted saga ends";
    const COMPLETED: &str = "COMPLETED has one live payment, one decrement, one live purchase";
    const COMPENSATED: &str = "COMPENSATED has no live payment and no live purchase";
    const SAGALESS: &str = "no payment, purchase or decrement without its saga";
    const MONEY: &str = "money charged − refunded = purchases in force";
    const TWICE: &str = "nothing ran twice";
    const REVERSE: &str = "compensations run in reverse order";
    const END: &str = "the end of each saga agrees with its steps";
    let cases: [Case; 23] = [
        ("unfinished", completed, |transaction| transaction.saga = Some(saga(Status::Pending)), &[ENDS]),
        (
            "FAILED is no end",
            compensated,
            |transaction| transaction.saga = Some(Saga { ended_at: None, ..saga(Status::Failed) }),
            &[ENDS],
        ),
        (
            "FAILED by no person",
            compensated,
            |transaction| transaction.saga = Some(Saga { is_settled: false, ..saga(Status::Failed) }),
            &[END],
        ),
        (
            "decrement missing",
            completed,
            |transaction| {
                transaction.movements.clear();
                transaction.journal.remove(1);
            },
            &[COMPLETED],
        ),
        (
            "stock of a completed one given back",
            completed,
            |transaction| {
                transaction.movements.push(movement(MovementKind::Restore, 9));
                transaction.journal.push(entry(Participant::Inventory, OperationKind::Compensation, 9));
            },
            &[COMPLETED],
        ),
        (
            "nothing bought",
            completed,
            |transaction| *transaction = Transaction { saga: transaction.saga.take(), ..Transaction::default() },
            &[COMPLETED, MONEY],
        ),
        (
            "everything live",
            completed,
            |transaction| transaction.saga = Some(saga(Status::Compensated)),
            &[COMPENSATED],
        ),
        (
            "payment live",
            compensated,
            |transaction| {
                transaction.payments[0].status = PaymentStatus::Captured;
                transaction.journal.pop();
            },
            &[COMPENSATED, MONEY],
        ),
        (
            "purchase live",
            compensated,
            |transaction| {
                transaction.purchases[0].status = PurchaseStatus::Live;
                transaction.journal.remove(3);
            },
            &[COMPENSATED, MONEY],
        ),
        (
            "stock kept although it is owed",
            compensated,
            |transaction| transaction.saga.as_mut().unwrap().stock_rule = Some(StockRule::Restore),
            &[COMPENSATED],
        ),
        ("completed without a saga", completed, |transaction| transaction.saga = None, &[SAGALESS]),
        ("refused without a saga", refused, |transaction| transaction.saga = None, &[SAGALESS]),
        (
            "only a decrement, without a saga",
            completed,
            |transaction| {
                *transaction = Transaction {
                    movements: transaction.movements.clone(),
                    journal: vec![transaction.journal[1].clone()],
                    ..Transaction::default()
                };
            },
            &[SAGALESS],
        ),
        ("other amounts", completed, |transaction| transaction.payments[0].cents += 1, &[MONEY]),
        (
            "another amount than ordered",
            completed,
            |transaction| transaction.saga.as_mut().unwrap().cents = Some(CENTS + 1),
            &[MONEY],
        ),
        (
            "charged twice",
            completed,
            |transaction| transaction.payments.push(payment(PaymentStatus::Refunded)),
            &[TWICE],
        ),
        ("refused twice", refused, |transaction| transaction.journal.push(transaction.journal[0].clone()), &[TWICE]),
        (
            "decremented twice",
            compensated,
            |transaction| transaction.movements.push(movement(MovementKind::Decrement, 3)),
            &[TWICE],
        ),
        (
            "restored twice",
            compensated_with_stock,
            |transaction| transaction.movements.push(movement(MovementKind::Restore, 13)),
            &[TWICE],
        ),
        (
            "an effect without an entry in its journal",
            completed,
            |transaction| transaction.journal.truncate(2),
            &[TWICE],
        ),
        ("a decision without its effect", compensated, |transaction| transaction.movements.clear(), &[TWICE]),
        ("undone in the order of the steps", compensated, |transaction| transaction.journal[4].at = at(9), &[REVERSE]),
        (
            "stock given back before the purchase was cancelled",
            compensated_with_stock,
            |transaction| transaction.journal[5].at = at(9),
            &[REVERSE],
        ),
    ];
    for (name, transaction, harm, expected) in cases {
        let mut facts = clean();
        let mut harmed = transaction();
        // The history has its own test.
        harmed.saga.as_mut().unwrap().steps.clear();
        harm(&mut harmed);
        facts.transactions.insert("harmed".to_owned(), harmed);
        let report = judge(&facts, Run::Over);
        let expected: Vec<(&str, &str)> = expected.iter().map(|invariant| (*invariant, "harmed")).collect();
        assert_eq!(broken(&report), expected, "{name}");
        assert!(!report.is_clean(), "{name}");
    }
}

#[test]
fn a_history_that_the_journals_do_not_bear_out_is_found() {
    const HISTORY: &str = "the shown history agrees with the journals";
    let (payments, inventory, purchases) = (Participant::Payments, Participant::Inventory, Participant::Purchases);
    type Case = (&'static str, fn() -> Transaction, StepView, bool);
    let cases: [Case; 12] = [
        ("stock was taken", compensated, step(inventory, "pending", "pending", None), true),
        ("it is not known whether stock was taken", compensated, step(inventory, "unknown", "unknown", None), false),
        ("a step that never ran", refused, step(purchases, "compensated", "done", Some(true)), true),
        ("a step that was refused", refused, step(payments, "compensated", "done", Some(true)), true),
        ("money was taken", completed, step(payments, "pending", "pending", None), true),
        ("money was given back", compensated, step(payments, "done", "done", None), true),
        ("nothing was undone", completed, step(payments, "compensated", "done", Some(true)), true),
        ("nothing was refused", completed, step(payments, "refused", "refused", None), true),
        ("a tombstone refuses", refused, step(purchases, "refused", "refused", None), false),
        ("it is over", completed, step(payments, "running", "running", None), true),
        ("a precaution that was not confirmed", refused, step(inventory, "pending", "pending", Some(true)), true),
        ("by an earlier version", refused, step(purchases, "compensated", "unknown", Some(true)), false),
    ];
    for (name, transaction, shown, is_found) in cases {
        let mut facts = clean();
        let mut harmed = transaction();
        harmed.saga.as_mut().unwrap().steps = vec![shown];
        facts.transactions.insert("harmed".to_owned(), harmed);
        let report = judge(&facts, Run::Over);
        // Nor is a completed saga with a step that is not done a valid end.
        let found: Vec<_> = broken(&report).into_iter().filter(|(invariant, _)| *invariant == HISTORY).collect();
        let expected = if is_found { vec![(HISTORY, "harmed")] } else { Vec::new() };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn stock_that_its_movements_do_not_explain_is_found() {
    let harms: [fn(&mut StockLevel); 5] = [
        |level| level.initial += 1,
        |level| level.restocked += 1,
        |level| level.decremented += 1,
        |level| level.restored += 1,
        |level| level.quantity += 1,
    ];
    for harm in harms {
        let mut facts = clean();
        harm(&mut facts.stock[0]);
        let report = judge(&facts, Run::Over);
        assert_eq!(broken(&report), [("first stock + delivered − taken + put back = stock now", "7")]);
    }
}

#[test]
fn while_sagas_may_run_only_those_that_ended_are_judged() {
    let mut facts = clean();
    let mut running = completed();
    running.saga = Some(saga(Status::Compensating));
    running.purchases.clear();
    running.journal.pop();
    facts.transactions.insert("running".to_owned(), running);
    let report = judge(&facts, Run::Live);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(listed(&report, "sagas that run"), ["running"]);
    let report = judge(&facts, Run::Over);
    assert_eq!(broken(&report), [("every accepted saga ends", "running")]);
    assert_eq!(listed(&report, "sagas that run"), [""; 0]);
}

#[test]
fn what_a_hand_touched_is_listed_and_not_judged() {
    let mut facts = clean();
    // A person refunds a completed purchase.
    let mut refunded = completed();
    refunded.payments[0].status = PaymentStatus::Refunded;
    let by_hand =
        Entry { from_saga: false, epoch: None, ..entry(Participant::Payments, OperationKind::Compensation, 200) };
    refunded.journal.push(by_hand);
    facts.transactions.insert("refunded".to_owned(), refunded);
    let report = judge(&facts, Run::Over);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(listed(&report, "calls that did not come from the orchestrator"), ["outside", "refunded"]);
}

#[test]
fn what_came_late_or_was_settled_is_listed_and_not_judged() {
    let mut facts = clean();
    let mut late = compensated();
    late.movements[0].at = at(101);
    facts.transactions.insert("late".to_owned(), late);
    let mut settled = compensated();
    settled.saga = Some(Saga { attention: Some("charge is not undone".to_owned()), ..saga(Status::Failed) });
    settled.payments[0].status = PaymentStatus::Captured;
    settled.journal.pop();
    facts.transactions.insert("settled".to_owned(), settled);
    let report = judge(&facts, Run::Over);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(listed(&report, "decrements after the end of their saga"), ["late"]);
    assert_eq!(listed(&report, "sagas that a person settled"), ["settled"]);
    // Under the other definition such stock must be given back.
    facts.transactions.get_mut("late").unwrap().saga.as_mut().unwrap().stock_rule = Some(StockRule::Restore);
    assert!(!judge(&facts, Run::Over).is_clean());
}

#[test]
fn there_is_no_order_between_two_owners() {
    let mut facts = clean();
    let mut transaction = compensated();
    transaction.journal[4].at = at(9);
    transaction.journal[4].epoch = Some(2);
    facts.transactions.insert("two owners".to_owned(), transaction);
    assert!(judge(&facts, Run::Over).is_clean());
}

#[test]
fn parts_of_the_facts_judged_one_after_another_come_to_the_same() {
    let mut facts = clean();
    for number in 0..5 {
        let mut transaction = completed();
        transaction.payments.clear();
        facts.transactions.insert(format!("harmed {number}"), transaction);
    }
    let whole = judge(&facts, Run::Over);
    let part = |transactions| Facts { transactions, ..Facts::default() };
    let mut rest = facts.transactions.clone();
    let second = rest.split_off("harmed 2");
    let mut parts = judge(&Facts { stock: vec![level()], ..Facts::default() }, Run::Over);
    for transactions in [rest, second] {
        parts.absorb(judge(&part(transactions), Run::Over), 100);
    }
    assert_eq!(parts, whole);

    let mut few = judge(&facts, Run::Over);
    few.absorb(judge(&part(facts.transactions), Run::Over), 3);
    assert_eq!(few.verdicts[1].findings.len(), 3);
    assert_eq!(few.verdicts[1].offending, 10);
}

#[test]
fn the_participants_stand_in_the_order_of_the_steps() {
    let definition = checkout::definition(StockRule::Restore).unwrap();
    let steps: Vec<&str> =
        definition.steps().iter().filter(|step| !step.is_read_only()).map(|step| &*step.participant).collect();
    assert_eq!(steps, Participant::ALL.map(Participant::as_str));
    assert!(Participant::ALL.is_sorted());
}

fn listed<'a>(report: &'a Report, name: &str) -> Vec<&'a str> {
    let verdict = report.listed.iter().find(|verdict| verdict.name == name).unwrap();
    verdict.findings.iter().map(|finding| finding.id.as_str()).collect()
}

#[test]
fn times_of_two_servers_are_compared_with_the_allowance_of_their_clocks() {
    let mut facts = clean();
    let mut transaction = compensated();
    // The refund, by a clock that is behind by less than the allowance.
    let refund = transaction.journal.len() - 1;
    transaction.journal[refund].at = transaction.journal[refund - 1].at - TimeDelta::milliseconds(500);
    facts.transactions.insert("skewed".to_owned(), transaction);
    assert!(!judge(&facts, Run::Over).is_clean());
    facts.clock_allowance = TimeDelta::seconds(1);
    assert!(judge(&facts, Run::Over).is_clean());
    facts.clock_allowance = TimeDelta::milliseconds(499);
    assert!(!judge(&facts, Run::Over).is_clean());
}

/// A participant that no saga has reached may have an empty database.
#[test]
fn a_saga_that_ended_tells_which_participants_answered() {
    let answered = |status, steps| {
        let saga = Saga { steps, ..saga(status) };
        Participant::ALL.map(|participant| saga.was_answered_by(participant))
    };
    let cases = [
        (Status::Completed, Vec::new(), [true; 3]),
        (Status::Compensated, Vec::new(), [false; 3]),
        (
            Status::Compensated,
            vec![
                step(Participant::Payments, "refused", "refused", None),
                step(Participant::Inventory, "pending", "pending", None),
            ],
            [true, false, false],
        ),
        (
            Status::Compensated,
            vec![
                step(Participant::Payments, "compensated", "done", Some(true)),
                step(Participant::Inventory, "unknown", "unknown", None),
                step(Participant::Purchases, "unknown", "unknown", Some(true)),
            ],
            [true, false, true],
        ),
        (Status::Pending, vec![step(Participant::Payments, "done", "done", None)], [false; 3]),
    ];
    for (status, steps, expected) in cases {
        assert_eq!(answered(status, steps.clone()), expected, "{status} {steps:?}");
    }
}
