//! Sagas of other definitions, and the journals of named participants.

use super::*;

/// A saga of another definition: other steps in another order, of which some are calls to our participants.
fn of_another_definition(status: Status, steps: Vec<StepView>) -> Transaction {
    Transaction { saga: Some(Saga { cents: None, stock_rule: None, steps, ..saga(status) }), ..Transaction::default() }
}

#[test]
fn a_saga_of_another_definition_is_judged_by_its_steps_and_not_as_a_purchase() {
    const STEPS: &str = "the end of each saga agrees with its steps";
    let of = |status, steps| {
        let mut facts = Facts::default();
        *facts.transaction("another") = of_another_definition(status, steps);
        judge(&facts, Run::Over)
    };
    let elsewhere = |state, action, undone| StepView {
        participant: "flights".into(),
        ..step(Participant::Payments, state, action, undone)
    };
    let cases = [
        (Status::Completed, vec![elsewhere("done", "done", None)], false),
        (Status::Completed, vec![elsewhere("done", "done", None), elsewhere("unknown", "unknown", None)], true),
        (
            Status::Compensated,
            vec![elsewhere("compensated", "done", Some(true)), elsewhere("pending", "pending", None)],
            false,
        ),
        (Status::Compensated, vec![elsewhere("compensating", "done", Some(false))], true),
        (Status::Compensated, vec![elsewhere("refused", "refused", None)], false),
        (Status::Failed, vec![elsewhere("compensating", "done", Some(false))], false),
        (Status::Completed, Vec::new(), false),
    ];
    for (status, steps, is_broken) in cases {
        let expected = if is_broken { vec![(STEPS, "another")] } else { Vec::new() };
        assert_eq!(broken(&of(status, steps.clone())), expected, "{status} {steps:?}");
    }
    // The order of compensations is that of its definition.
    let mut facts = Facts::default();
    let mut transaction = of_another_definition(Status::Compensated, Vec::new());
    for (participant, second) in [(Participant::Payments, 10), (Participant::Purchases, 11)] {
        transaction.journal.push(entry(participant, OperationKind::Action, 1));
        transaction.journal.push(entry(participant, OperationKind::Compensation, second));
    }
    transaction.payments = vec![payment(PaymentStatus::Refunded)];
    transaction.purchases = vec![purchase(PurchaseStatus::Cancelled)];
    *facts.transaction("another") = transaction;
    assert_eq!(broken(&judge(&facts, Run::Over)), []);
}

const LEFT: &str = "COMPENSATED has no action without its compensation";

pub(super) fn named(kind: OperationKind, decision: Decision) -> NamedEntry {
    NamedEntry { step: None, kind, decision, tombstone: false, from_saga: true }
}

/// A COMPENSATED saga with a flight that was undone, and its journal.
pub(super) fn trip(entries: Vec<NamedEntry>) -> Transaction {
    let flight = StepView {
        step: "flight".into(),
        participant: "flights".into(),
        ..step(Participant::Payments, "compensated", "done", Some(true))
    };
    let mut transaction = of_another_definition(Status::Compensated, vec![flight]);
    transaction.saga.as_mut().unwrap().compensable = Some(["flight".into()].into());
    transaction.named.insert("flights".into(), NamedJournal::Read(entries));
    transaction
}

#[test]
fn a_step_is_compared_with_its_own_entries_in_the_journal_of_a_named_participant() {
    const SHOWN: &str = "the shown history agrees with the journals";
    let done = || named(OperationKind::Action, Decision::Done);
    let undone = || named(OperationKind::Compensation, Decision::Done);
    let of = |step: &str, entry| NamedEntry { step: Some(step.to_owned()), ..entry };
    let tombstone = NamedEntry { tombstone: true, ..named(OperationKind::Action, Decision::Refused) };
    let failed = named(OperationKind::Compensation, Decision::Refused);
    let cases = [
        (vec![done(), undone()], vec![]),
        (vec![of("flight", done()), of("flight", undone())], vec![]),
        (vec![], vec![SHOWN]),
        (vec![done()], vec![SHOWN, LEFT]),
        (vec![done(), failed], vec![SHOWN, LEFT]),
        (vec![of("flight", done()), of("hotel", undone())], vec![SHOWN, LEFT]),
        (vec![of("hotel", done()), of("hotel", undone())], vec![SHOWN]),
        (vec![tombstone, undone()], vec![SHOWN]),
    ];
    for (entries, expected) in cases {
        let mut facts = Facts::default();
        *facts.transaction("trip") = trip(entries.clone());
        let expected: Vec<_> = expected.into_iter().map(|invariant| (invariant, "trip")).collect();
        assert_eq!(broken(&judge(&facts, Run::Live)), expected, "{entries:?}");
    }
    // The effects of a definition without compensations stay.
    let mut facts = Facts::default();
    let transaction = facts.transaction("trip");
    *transaction = trip(vec![done()]);
    let saga = transaction.saga.as_mut().unwrap();
    saga.compensable = Some([].into());
    saga.steps[0] = StepView { state: "done".into(), compensation: None, ..saga.steps[0].clone() };
    assert_eq!(broken(&judge(&facts, Run::Live)), []);
    // The same step left done by mistake is.
    facts.transaction("trip").saga.as_mut().unwrap().compensable = Some(["flight".into()].into());
    assert_eq!(broken(&judge(&facts, Run::Live)), [(LEFT, "trip")]);
}

#[test]
fn the_effects_of_a_step_may_have_its_key_for_their_transaction() {
    let mut facts = Facts::default();
    let taken = StepView { step: "first".into(), ..step(Participant::Payments, "compensated", "done", Some(true)) };
    let refused = StepView { step: "second".into(), ..step(Participant::Payments, "refused", "refused", None) };
    *facts.transaction("trip") = of_another_definition(Status::Compensated, vec![taken, refused]);
    let first = facts.transaction("trip:first");
    first.payments = vec![payment(PaymentStatus::Refunded)];
    first.journal.push(entry(Participant::Payments, OperationKind::Action, 1));
    first.journal.push(entry(Participant::Payments, OperationKind::Compensation, 2));
    let refusal = Entry { decision: Decision::Refused, ..entry(Participant::Payments, OperationKind::Action, 1) };
    facts.transaction("trip:second").journal.push(refusal);
    assert_eq!(broken(&judge(&facts, Run::Over)), []);
    facts.transaction("trip:second").journal.clear();
    assert_eq!(broken(&judge(&facts, Run::Over)), [("the shown history agrees with the journals", "trip")]);
    facts.transactions.get_mut("trip").unwrap().saga = None;
    assert_eq!(
        broken(&judge(&facts, Run::Over)),
        [("no payment, purchase or decrement without its saga", "trip:first")]
    );
}

#[test]
fn a_journal_that_was_not_read_is_counted_and_agrees_with_nothing() {
    let mut facts = Facts::default();
    let failed = NamedJournal::Failed("answered 503".to_owned());
    for (id, journal) in [("failed", Some(failed)), ("skipped", Some(NamedJournal::Skipped)), ("none", None)] {
        let transaction = facts.transaction(id);
        *transaction = trip(Vec::new());
        transaction.named = journal.map(|journal| ("flights".into(), journal)).into_iter().collect();
    }
    let report = judge(&facts, Run::Live);
    assert_eq!((report.is_clean(), report.is_complete()), (true, false));
    let covered = JournalCoverage {
        failed: 1,
        reason: Some("answered 503".to_owned()),
        skipped: 1,
        without_journal: 1,
        ..JournalCoverage::default()
    };
    assert_eq!(report.journals, BTreeMap::from([("flights".into(), covered)]));
    assert!(report.verdicts.iter().all(|verdict| verdict.name != LEFT || verdict.looked_at == 0));
}
