//! Clients that buy continuously, and the record of the answers they received.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream};
use parking_lot::Mutex;
use tests::{PATIENCE, http::Answer, wait_until};
use tokio_util::sync::CancellationToken;

use crate::system::System;

const CLIENTS: usize = 8;
/// Interval of requests, so that a client without answers does not spin.
const PACE: Duration = Duration::from_millis(20);

/// The answers that all clients received.
#[derive(Default)]
pub(crate) struct Answers {
    sagas: Mutex<BTreeMap<String, Story>>,
    /// Orders answered or failed.
    events: AtomicUsize,
    unanswered: AtomicUsize,
}

/// The answers about one saga.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// Whether an answer confirmed that it exists; otherwise it only may exist.
    accepted: bool,
    /// The final statuses received. More than one is a contradiction.
    ends: BTreeSet<String>,
    /// Whether its end was looked up and matches.
    confirmed: bool,
}

impl Answers {
    /// Records the answer to an order.
    pub(crate) fn hear(&self, answer: &Answer) {
        self.events.fetch_add(1, Ordering::Relaxed);
        let body = answer.json();
        let Some(id) = body["transaction_id"].as_str() else {
            assert_eq!(answer.status, 503, "an order was answered {}: {body}", answer.status);
            return;
        };
        let status = body["status"].as_str().unwrap_or_default();
        match (answer.status, status) {
            (200, "COMPLETED") | (409, "COMPENSATED") => self.told_of(id, true, Some(status)),
            (202, "PENDING" | "COMPENSATING") | (502, "FAILED") => self.told_of(id, true, None),
            (503, _) => self.told_of(id, false, None),
            _ => panic!("an order was answered {}: {body}", answer.status),
        }
    }

    fn told_of(&self, id: &str, accepted: bool, end: Option<&str>) {
        let mut sagas = self.sagas.lock();
        let story = sagas.entry(id.to_owned()).or_default();
        story.accepted |= accepted;
        story.ends.extend(end.map(str::to_owned));
        assert!(story.ends.len() <= 1, "{id} was answered with two outcomes: {story:?}");
    }

    fn not_answered(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until this many more orders are answered or have failed.
    pub(crate) async fn wait_for_more(&self, events: usize) {
        let wanted = self.events.load(Ordering::Relaxed) + events;
        wait_until("clients have made progress", PATIENCE, async || {
            (self.events.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until this many more orders are answered with an id.
    pub(crate) async fn wait_for_sagas(&self, sagas: usize) {
        let wanted = self.sagas.lock().len() + sagas;
        wait_until("clients have bought more", PATIENCE, async || (self.sagas.lock().len() >= wanted).then_some(()))
            .await;
    }

    /// Looks up every recorded saga that is not confirmed yet, at every running orchestrator. All sagas must have
    /// ended: an id missing now never existed.
    pub(crate) async fn confirm(&self, system: &System) {
        let open: Vec<String> =
            self.sagas.lock().iter().filter(|(_, story)| !story.confirmed).map(|(id, _)| id.clone()).collect();
        stream::iter(open).for_each_concurrent(CLIENTS, |id| self.confirm_one(system, id)).await;
    }

    async fn confirm_one(&self, system: &System, id: String) {
        for orchestrator in system.orchestrators.iter().filter(|process| process.is_running()) {
            let decided = format!("it is decided whether {id} exists");
            let view = wait_until(&decided, PATIENCE, async || match system.status(orchestrator, &id).await {
                Ok(view) => Some(view),
                Err(error) if error.contains("decided_by") => None,
                Err(error) => panic!("{id}: {error}"),
            })
            .await;
            match view {
                None => {
                    let accepted = self.sagas.lock()[&id].accepted;
                    assert!(!accepted, "{id} was accepted, but is unknown to {}", orchestrator.name);
                }
                Some(view) => {
                    let status = view["status"].as_str().unwrap_or_default();
                    assert!(matches!(status, "COMPLETED" | "COMPENSATED"), "{id} has not ended: {view}");
                    self.told_of(&id, true, Some(status));
                }
            }
        }
        self.sagas.lock().entry(id).or_default().confirmed = true;
    }

    /// Summarizes the answers, for people.
    pub(crate) fn summary(&self) -> String {
        let sagas = self.sagas.lock();
        let ended = |end: &str| sagas.values().filter(|story| story.ends.contains(end)).count();
        let (completed, compensated) = (ended("COMPLETED"), ended("COMPENSATED"));
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        format!(
            "{} sagas, {completed} completed, {compensated} compensated; {unanswered} orders unanswered",
            sagas.len()
        )
    }

    /// Returns the recorded ids, in the order in which the sagas began.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.sagas.lock().keys().cloned().collect()
    }
}

/// Runs clients that buy during `happening`; they complete requests already begun. Another client continuously requests
/// the status of the newest saga.
pub(crate) async fn under_load(system: &System, told: &Answers, happening: impl Future<Output = ()>) {
    let end = CancellationToken::new();
    let client = async |number: usize| {
        let mut pace = tokio::time::interval(PACE);
        while !end.is_cancelled() {
            pace.tick().await;
            match system.order_at(system.next_orchestrator(), &format!("client-{number}")).await {
                Ok(answer) => told.hear(&answer),
                Err(_) => told.not_answered(),
            }
        }
    };
    let watch = async {
        let mut pace = tokio::time::interval(PACE);
        while !end.is_cancelled() {
            pace.tick().await;
            let Some(id) = told.ids().pop() else { continue };
            if let Ok(Some(view)) = system.status(system.next_orchestrator(), &id).await
                && let Some(end @ ("COMPLETED" | "COMPENSATED")) = view["status"].as_str()
            {
                told.told_of(&id, true, Some(end));
            }
        }
    };
    let happening = async {
        happening.await;
        end.cancel();
    };
    futures::join!(join_all((0..CLIENTS).map(client)), watch, happening);
}
