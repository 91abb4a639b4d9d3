//! Buyers with an `Idempotency-Key` each, who ask until they get an answer, and remember it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::json;
use tests::{
    PATIENCE, Stack,
    http::try_send,
    stack::{ORCHESTRATOR, with_json},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const BUYERS: usize = 16;

/// A buyer without an answer asks again after this time.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Between two purchases of a buyer, so that a test leaves a busy machine some room.
const REST: Duration = Duration::from_millis(50);

/// The answers to all purchases so far.
#[derive(Default)]
pub(crate) struct Answers(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    /// By saga: its end, or nothing if the purchase was only accepted.
    answers: BTreeMap<String, Option<String>>,
    completions: Vec<Instant>,
}

impl Answers {
    fn note(&self, id: &str, end: Option<&str>) {
        let mut notes = self.0.lock();
        if end == Some("COMPLETED") {
            notes.completions.push(Instant::now());
        }
        let before = notes.answers.insert(id.to_owned(), end.map(str::to_owned));
        assert!(before.is_none_or(|before| before.is_none()), "{id} was told to two buyers");
    }

    /// Returns the answers: the end of each saga, or nothing if it was only accepted.
    pub(crate) fn answers(&self) -> BTreeMap<String, Option<String>> {
        self.0.lock().answers.clone()
    }

    /// Returns the number of completed purchases.
    pub(crate) fn completed(&self) -> usize {
        self.0.lock().completions.len()
    }

    /// Returns the longest time without a completed purchase since a moment.
    pub(crate) fn longest_pause(&self, since: Instant) -> Duration {
        let notes = self.0.lock();
        let mut last = since;
        let mut longest = Duration::ZERO;
        for &completion in notes.completions.iter().filter(|completion| **completion >= since) {
            longest = longest.max(completion - last);
            last = completion;
        }
        longest.max(last.elapsed())
    }
}

/// Buys until the token is cancelled; then each buyer asks on until the last purchase is told.
pub(crate) async fn buy(stack: &Stack, told: &Answers, stop: &CancellationToken) {
    join_all((0..BUYERS).map(|buyer| async move {
        while !stop.is_cancelled() {
            buy_one(stack, told, buyer).await;
            sleep(REST).await;
        }
    }))
    .await;
}

async fn buy_one(stack: &Stack, told: &Answers, buyer: usize) {
    let key = Uuid::new_v4().to_string();
    // Every fourth buyer does not wait for the end.
    let waits = !buyer.is_multiple_of(4);
    let order = json!({ "user_id": format!("buyer-{buyer}"), "product_id": 1 + buyer, "amount": 5 });
    let since = Instant::now();
    let mut reasons = Vec::new();
    loop {
        let request = with_json(stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"), &order)
            .header("idempotency-key", &key)
            .header("prefer", if waits { "wait=5" } else { "respond-async" })
            .timeout(Duration::from_secs(15));
        match try_send(request).await {
            Ok(answer) if matches!(answer.status, 200 | 202 | 409) => {
                let told_now = answer.json();
                let id = told_now["transaction_id"].as_str().unwrap_or_else(|| panic!("no id: {answer:?}"));
                return told.note(id, (answer.status != 202).then(|| told_now["status"].as_str()).flatten());
            }
            Ok(answer) => reasons.push(format!("{}: {}", answer.status, answer.text)),
            Err(error) => reasons.push(error.to_string()),
        }
        assert!(since.elapsed() < PATIENCE * 2, "buyer {buyer} was never told: {reasons:#?}");
        sleep(ASK_AGAIN).await;
    }
}
