//! Invariants on sums of money and stock.

use std::fmt;
use std::ops::AddAssign;

use serde::Serialize;

use super::{Facts, PaymentStatus, PurchaseStatus, Saga, Transaction, Verdict};
use saga_engine::Status;

/// The money of the sagas that were judged, in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MoneySums {
    /// Money taken, refunded money included.
    pub captured_cents: i64,
    /// Money given back.
    pub refunded_cents: i64,
    /// Cost of the live purchases.
    pub purchased_cents: i64,
}

impl AddAssign for MoneySums {
    fn add_assign(&mut self, other: Self) {
        self.captured_cents = self.captured_cents.saturating_add(other.captured_cents);
        self.refunded_cents = self.refunded_cents.saturating_add(other.refunded_cents);
        self.purchased_cents = self.purchased_cents.saturating_add(other.purchased_cents);
    }
}

impl fmt::Display for MoneySums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [captured, refunded, purchased] =
            [self.captured_cents, self.refunded_cents, self.purchased_cents].map(amount);
        write!(f, "{captured} charged, {refunded} refunded, {purchased} in purchases in force")
    }
}

/// Returns the sums over all sagas that have ended.
pub(super) fn money(facts: &Facts) -> MoneySums {
    let mut sums = MoneySums::default();
    for (_, (_, transaction)) in ended(facts) {
        sums += money_of(transaction);
    }
    sums
}

/// Money charged − refunded = purchases in force, for each saga, so that two errors cannot cancel out; and a completed saga cost
/// the ordered amount.
pub(super) fn money_agrees(facts: &Facts) -> Verdict {
    Verdict::over(
        "money charged − refunded = purchases in force",
        "ended purchases",
        ended(facts),
        |(saga, transaction)| {
            let MoneySums { captured_cents, refunded_cents, purchased_cents } = money_of(transaction);
            let kept = captured_cents - refunded_cents;
            if kept != purchased_cents {
                return Some(format!("{} kept for purchases of {}", amount(kept), amount(purchased_cents)));
            }
            let ordered = saga.cents.filter(|ordered| saga.status == Status::Completed && kept != *ordered);
            ordered.map(|ordered| format!("{} kept, {} ordered", amount(kept), amount(ordered)))
        },
    )
}

/// First stock + delivered − taken + put back = stock now, for every product, including movements without a saga.
pub(super) fn stock_adds_up(facts: &Facts) -> Verdict {
    let stock = facts.stock.iter().map(|level| (level.product_id.as_str(), level));
    Verdict::over("first stock + delivered − taken + put back = stock now", "products", stock, |level| {
        let expected = level.initial + level.restocked - level.decremented + level.restored;
        (expected != level.quantity).then(|| format!("{} in stock, {expected} expected", level.quantity))
    })
}

fn ended(facts: &Facts) -> impl Iterator<Item = (&str, (&Saga, &Transaction))> {
    facts.ended_as(Status::Completed).chain(facts.ended_as(Status::Compensated))
}

fn money_of(transaction: &Transaction) -> MoneySums {
    let paid = |wanted: &[PaymentStatus]| {
        transaction
            .payments
            .iter()
            .filter(|payment| wanted.contains(&payment.status))
            .map(|payment| payment.cents)
            .sum()
    };
    let live = transaction.purchases.iter().filter(|purchase| purchase.status == PurchaseStatus::Live);
    MoneySums {
        captured_cents: paid(&[PaymentStatus::Captured, PaymentStatus::Refunded]),
        refunded_cents: paid(&[PaymentStatus::Refunded]),
        purchased_cents: live.map(|purchase| purchase.cents).sum(),
    }
}

/// Shows cents as an amount.
fn amount(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}
