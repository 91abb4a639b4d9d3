//! Actors that die in every way, and a diary of the events.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use ractor::ActorProcessingErr;

use crate::supervision::*;

/// The events, in order.
#[derive(Clone, Default)]
pub(super) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(super) fn note(&self, entry: impl Into<String>) {
        self.0.lock().push(entry.into());
    }

    pub(super) fn entries(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

/// An actor that follows the test's orders, above all to die.
pub(super) struct Mortal;

#[derive(Clone)]
pub(super) struct MortalArguments {
    pub(super) name: &'static str,
    pub(super) diary: Diary,
    pub(super) start: Arc<Mutex<Start>>,
    pub(super) entry: Arc<ActorEntry>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Start {
    Works,
    Fails,
    Panics,
    Hangs,
}

pub(super) enum MortalMsg {
    Note(&'static str),
    Rest,
    Panic,
    Fail,
    End,
    Hang,
}

impl Actor for Mortal {
    type Msg = MortalMsg;
    type State = MortalArguments;
    type Arguments = MortalArguments;

    async fn pre_start(
        &self,
        _: ActorRef<MortalMsg>,
        arguments: MortalArguments,
    ) -> Result<MortalArguments, ActorProcessingErr> {
        let start = *arguments.start.lock();
        match start {
            Start::Works => arguments.diary.note(format!("{} started", arguments.name)),
            Start::Fails => return Err("cannot start".into()),
            Start::Panics => panic!("panics at its start"),
            Start::Hangs => std::future::pending().await,
        }
        Ok(arguments)
    }

    async fn handle(
        &self,
        myself: ActorRef<MortalMsg>,
        message: MortalMsg,
        state: &mut MortalArguments,
    ) -> Result<(), ActorProcessingErr> {
        state.entry.handled();
        match message {
            MortalMsg::Note(text) => state.diary.note(format!("{} {text}", state.name)),
            MortalMsg::Rest => tokio::time::sleep(Duration::from_millis(100)).await,
            MortalMsg::Panic => panic!("told to panic"),
            MortalMsg::Fail => return Err("told to fail".into()),
            MortalMsg::End => myself.stop(None),
            MortalMsg::Hang => std::future::pending().await,
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<MortalMsg>, state: &mut MortalArguments) -> Result<(), ActorProcessingErr> {
        state.diary.note(format!("{} stopped", state.name));
        Ok(())
    }
}

/// A mortal in a tree.
pub(super) struct Subject {
    pub(super) handle: Handle<MortalMsg>,
    pub(super) start: Arc<Mutex<Start>>,
    pub(super) entry: Arc<ActorEntry>,
    pub(super) spec: ChildSpec,
}

pub(super) fn stack() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("supervision-test-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn mortal(stack: &str, name: &'static str, diary: &Diary) -> Subject {
    let (handle, start) = (Handle::new(), Arc::new(Mutex::new(Start::Works)));
    let entry = ActorEntry::new(format!("{stack}/service/{name}"), "mortal");
    let arguments = MortalArguments { name, diary: diary.clone(), start: start.clone(), entry: entry.clone() };
    let spec = child(entry.clone(), handle.clone(), move || (Mortal, arguments.clone()));
    Subject { handle, start, entry, spec }
}

pub(super) fn spec(name: String, max_restarts: u32, children: &[&Subject]) -> SupervisorSpec {
    SupervisorSpec {
        entry: ActorEntry::new(name, "supervisor"),
        budget: Budget { max_restarts, within: Duration::from_secs(10) },
        backoff: Backoff { min: Duration::from_millis(50), max: Duration::from_millis(150) },
        children: children.iter().map(|subject| subject.spec.clone()).collect(),
    }
}

/// Waits for a condition; under a paused clock time advances by itself.
pub(super) async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what} did not happen in time");
}

pub(super) async fn wait_for_restart(subject: &Subject, restarts: u32) {
    wait_until("the restart", || subject.entry.restarts() == restarts && subject.entry.view().status == "running")
        .await;
}
