//! The facts of transactions that violate no invariant, for tests to change.

use super::*;

pub(super) const CENTS: i64 = 1_250;

pub(super) fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

pub(super) fn saga(status: Status) -> Saga {
    let ended = !matches!(status, Status::Pending | Status::Compensating);
    Saga {
        status,
        ended_at: ended.then(|| at(100)),
        stock_rule: Some(StockRule::Keep),
        compensable: None,
        cents: Some(CENTS),
        is_settled: status == Status::Failed,
        attention: None,
        steps: Vec::new(),
    }
}

pub(super) fn entry(participant: Participant, kind: OperationKind, second: i64) -> Entry {
    Entry {
        participant,
        kind,
        decision: Decision::Done,
        tombstone: false,
        from_saga: true,
        attempt: Some(1),
        epoch: Some(1),
        at: at(second),
    }
}

pub(super) fn tombstone(participant: Participant, second: i64) -> Entry {
    Entry { decision: Decision::Refused, tombstone: true, ..entry(participant, OperationKind::Action, second) }
}

pub(super) fn payment(status: PaymentStatus) -> Payment {
    Payment { cents: CENTS, status }
}

pub(super) fn purchase(status: PurchaseStatus) -> Purchase {
    Purchase { cents: CENTS, status }
}

pub(super) fn movement(kind: MovementKind, second: i64) -> Movement {
    Movement { kind, at: at(second) }
}

/// A displayed step: its state, the state of its action, and whether its compensation is confirmed.
pub(super) fn step(
    participant: Participant,
    state: &'static str,
    action: &'static str,
    undone: Option<bool>,
) -> StepView {
    let compensation = undone.map(|is_confirmed| CompensationView {
        attempts: 1,
        started_at: Some(at(3)),
        finished_at: is_confirmed.then(|| at(4)),
        error: None,
    });
    StepView {
        step: "a step".into(),
        participant: participant.as_str().into(),
        state: state.into(),
        action: action.into(),
        attempts: 1,
        started_at: Some(at(1)),
        finished_at: Some(at(2)),
        error: None,
        compensation,
    }
}

pub(super) fn completed() -> Transaction {
    let steps = Participant::ALL.map(|participant| step(participant, "done", "done", None)).to_vec();
    Transaction {
        saga: Some(Saga { steps, ..saga(Status::Completed) }),
        payments: vec![payment(PaymentStatus::Captured)],
        purchases: vec![purchase(PurchaseStatus::Live)],
        movements: vec![movement(MovementKind::Decrement, 2)],
        journal: Participant::ALL
            .into_iter()
            .zip(1..)
            .map(|(who, second)| entry(who, OperationKind::Action, second))
            .collect(),
        named: BTreeMap::new(),
    }
}

/// Every step was done, then undone in reverse; the stock stays taken.
pub(super) fn compensated() -> Transaction {
    let mut transaction = completed();
    let steps = vec![
        step(Participant::Payments, "compensated", "done", Some(true)),
        step(Participant::Inventory, "done", "done", None),
        step(Participant::Purchases, "compensated", "done", Some(true)),
    ];
    transaction.saga = Some(Saga { steps, ..saga(Status::Compensated) });
    transaction.payments = vec![payment(PaymentStatus::Refunded)];
    transaction.purchases = vec![purchase(PurchaseStatus::Cancelled)];
    transaction.journal.push(entry(Participant::Purchases, OperationKind::Compensation, 10));
    transaction.journal.push(entry(Participant::Payments, OperationKind::Compensation, 11));
    transaction
}

/// The same under the definition that gives stock back.
pub(super) fn compensated_with_stock() -> Transaction {
    let mut transaction = compensated();
    transaction.saga = Some(Saga { stock_rule: Some(StockRule::Restore), ..saga(Status::Compensated) });
    transaction.movements.push(movement(MovementKind::Restore, 10));
    transaction.journal[4].at = at(12);
    transaction.journal.push(entry(Participant::Inventory, OperationKind::Compensation, 11));
    transaction
}

/// The payment was refused, the other steps never ran: the compensations found nothing.
pub(super) fn refused() -> Transaction {
    let steps = vec![
        step(Participant::Payments, "refused", "refused", Some(true)),
        step(Participant::Inventory, "pending", "pending", None),
        step(Participant::Purchases, "pending", "pending", Some(true)),
    ];
    Transaction {
        saga: Some(Saga { steps, ..saga(Status::Compensated) }),
        payments: vec![payment(PaymentStatus::Refused)],
        journal: vec![
            Entry { decision: Decision::Refused, ..entry(Participant::Payments, OperationKind::Action, 1) },
            // Compensations that found nothing have no order.
            entry(Participant::Payments, OperationKind::Compensation, 2),
            tombstone(Participant::Purchases, 3),
            entry(Participant::Purchases, OperationKind::Compensation, 3),
        ],
        ..Transaction::default()
    }
}

/// A payment by a direct client of the participant.
pub(super) fn from_outside() -> Transaction {
    let journal = vec![Entry {
        from_saga: false,
        attempt: None,
        epoch: None,
        ..entry(Participant::Payments, OperationKind::Action, 1)
    }];
    Transaction { payments: vec![payment(PaymentStatus::Captured)], journal, ..Transaction::default() }
}

pub(super) fn level() -> StockLevel {
    StockLevel { product_id: "7".to_owned(), initial: 100, restocked: 10, decremented: 4, restored: 1, quantity: 107 }
}

pub(super) fn clean() -> Facts {
    let pages = [
        ("completed", completed()),
        ("compensated", compensated()),
        ("compensated with stock", compensated_with_stock()),
        ("refused", refused()),
        ("outside", from_outside()),
        (
            "trip",
            trip(vec![
                named(OperationKind::Action, Decision::Done),
                named(OperationKind::Compensation, Decision::Done),
            ]),
        ),
    ];
    let transactions = pages.into_iter().map(|(id, transaction)| (id.to_owned(), transaction)).collect();
    Facts { transactions, stock: vec![level()], ..Facts::default() }
}

/// Returns the violated invariants, each with the id of the finding.
pub(super) fn broken(report: &Report) -> Vec<(&str, &str)> {
    let verdicts = report.verdicts.iter();
    verdicts.flat_map(|verdict| verdict.findings.iter().map(|finding| (verdict.name, finding.id.as_str()))).collect()
}
