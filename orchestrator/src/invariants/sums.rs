//! Invariants on sums of money and stock.

use std::fmt;
use std::ops::AddAssign;

use serde::Serialize;

use super::{Books, PaymentStatus, PurchaseStatus, Saga, Transaction, Verdict};
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
pub(super) fn money(books: &Books) -> MoneySums {
    let mut sums = MoneySums::default();
    for (_, (_, page)) in ended(books) {
        sums += money_of(page);
    }
    sums
}

/// Money charged − refunded = purchases in force, for each saga, so that two errors cannot cancel out; and a completed saga cost
/// the ordered amount.
pub(super) fn money_agrees(books: &Books) -> Verdict {
    Verdict::over("money charged − refunded = purchases in force", "ended purchases", ended(books), |(saga, page)| {
        let MoneySums { captured_cents, refunded_cents, purchased_cents } = money_of(page);
        let kept = captured_cents - refunded_cents;
        if kept != purchased_cents {
            return Some(format!("{} kept for purchases of {}", amount(kept), amount(purchased_cents)));
        }
        let ordered = saga.cents.filter(|ordered| saga.status == Status::Completed && kept != *ordered);
        ordered.map(|ordered| format!("{} kept, {} ordered", amount(kept), amount(ordered)))
    })
}

/// First stock + delivered − taken + put back = stock now, for every product, including movements without a saga.
pub(super) fn stock_adds_up(books: &Books) -> Verdict {
    let shelves = books.shelves.iter().map(|shelf| (shelf.product_id.as_str(), shelf));
    Verdict::over("first stock + delivered − taken + put back = stock now", "products", shelves, |shelf| {
        let expected = shelf.initial + shelf.restocked - shelf.decremented + shelf.restored;
        (expected != shelf.quantity).then(|| format!("{} in stock, {expected} expected", shelf.quantity))
    })
}

fn ended(books: &Books) -> impl Iterator<Item = (&str, (&Saga, &Transaction))> {
    books.ended_as(Status::Completed).chain(books.ended_as(Status::Compensated))
}

fn money_of(page: &Transaction) -> MoneySums {
    let paid = |wanted: &[PaymentStatus]| {
        page.payments.iter().filter(|payment| wanted.contains(&payment.status)).map(|payment| payment.cents).sum()
    };
    let live = page.purchases.iter().filter(|purchase| purchase.status == PurchaseStatus::Live);
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
