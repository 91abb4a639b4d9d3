//! The actor that carries a changed configuration file to the dice.
//!
//! ```text
//! notify --FileChanged--> [settle 100 ms] --Poll--> read and check (blocking thread) --Read--> dice.replace
//!                          every 1 s -----Poll--^
//! ```
//! Events of the file system are the quick way; the poll is the sure one, for folders where events do not arrive
//! (network and container mounts, a folder that was replaced). Only other contents count as a change, and a broken file
//! is logged once and changes nothing. The state is rebuilt from the files alone.

use std::{collections::BTreeSet, ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use chrono::{DateTime, SecondsFormat, Utc};
use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{error, info, warn};

use super::{Dice, FaultSettings};
use crate::{
    config::{ConfigErrors, ConfigSource},
    supervision::ActorCard,
};

/// How often the files are read without an event: half of the 2 s in which a change must be taken up.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long after an event the files are read: editors write in several steps, and half a file is a broken one.
const SETTLE: Duration = Duration::from_millis(100);

/// The actor.
pub struct FaultWatcher;

/// What the actor is started with.
pub struct FaultWatcherArgs {
    /// Where the settings come from; without a folder there is nothing to watch and the actor idles.
    pub source: ConfigSource,
    /// The dice to keep up to date.
    pub dice: Dice,
    /// Where the actor shows its state.
    pub card: Arc<ActorCard>,
}

/// The actor's messages.
pub enum FaultMsg {
    /// The file system says that a watched file changed.
    FileChanged,
    /// It is time to look at the files.
    Poll,
    /// The files were looked at.
    Read(FilesRead),
}

/// What a look at the files gave.
pub struct FilesRead(Option<Reading>);

struct Reading {
    hash: [u8; 32],
    /// `None`: the contents are those of the last look.
    loaded: Option<Result<FaultSettings, ConfigErrors>>,
}

/// The actor's state.
pub struct FaultWatcherState {
    source: ConfigSource,
    dice: Dice,
    card: Arc<ActorCard>,
    seen: Option<[u8; 32]>,
    phase: Phase,
    shown: Arc<ArcSwap<Shown>>,
    /// Ends the subscription when dropped.
    _subscription: Option<RecommendedWatcher>,
}

enum Phase {
    /// The next look comes with the timer.
    Waiting(JoinHandle<()>),
    /// An event came; the look comes as soon as the writer is likely done.
    Settling,
    /// A look is under way.
    Reading(Meanwhile),
}

#[derive(PartialEq)]
enum Meanwhile {
    Quiet,
    Changed,
}

/// What `/debug/actors` shows.
#[derive(Clone, Default)]
struct Shown {
    watching: Option<PathBuf>,
    profile: String,
    reloads: u64,
    last_reload_at: Option<DateTime<Utc>>,
    problems: Vec<String>,
}

impl Actor for FaultWatcher {
    type Msg = FaultMsg;
    type State = FaultWatcherState;
    type Arguments = FaultWatcherArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<FaultMsg>,
        args: FaultWatcherArgs,
    ) -> Result<FaultWatcherState, ActorProcessingErr> {
        let FaultWatcherArgs { source, dice, card } = args;
        let shown = Shown { watching: source.dir.clone(), profile: source.profile.clone(), ..Shown::default() };
        let shown = Arc::new(ArcSwap::from_pointee(shown));
        let to_show = shown.clone();
        card.set_state(move || to_show.load().json());

        let subscription = subscribe(&source, &myself);
        if source.dir.is_some() {
            // The first look comes at once: a file may have changed since the settings were loaded, or while this
            // actor was being restarted.
            let _ = myself.cast(FaultMsg::Poll);
        }
        let phase = Phase::Settling;
        Ok(FaultWatcherState { source, dice, card, seen: None, phase, shown, _subscription: subscription })
    }

    async fn handle(
        &self,
        myself: ActorRef<FaultMsg>,
        message: FaultMsg,
        state: &mut FaultWatcherState,
    ) -> Result<(), ActorProcessingErr> {
        state.card.handled();
        match message {
            FaultMsg::FileChanged => settle(&myself, state),
            FaultMsg::Poll => look(&myself, state),
            FaultMsg::Read(FilesRead(Some(reading))) => take_up(&myself, reading, state),
            FaultMsg::Read(FilesRead(None)) => {
                return Err("reading the configuration panicked".into());
            }
        }
        Ok(())
    }
}

fn settle(myself: &ActorRef<FaultMsg>, state: &mut FaultWatcherState) {
    match &mut state.phase {
        Phase::Waiting(timer) => {
            timer.abort();
            myself.send_after(SETTLE, || FaultMsg::Poll);
            state.phase = Phase::Settling;
        }
        // The look to come will see this change too.
        Phase::Settling => {}
        Phase::Reading(meanwhile) => *meanwhile = Meanwhile::Changed,
    }
}

fn look(myself: &ActorRef<FaultMsg>, state: &mut FaultWatcherState) {
    if let Phase::Reading(_) = state.phase {
        return;
    }
    state.phase = Phase::Reading(Meanwhile::Quiet);
    let (source, seen, myself) = (state.source.clone(), state.seen, myself.clone());
    let reading = spawn_blocking(move || read(&source, seen));
    tokio::spawn(async move {
        // Fails only when this actor is gone.
        let _ = myself.cast(FaultMsg::Read(FilesRead(reading.await.ok())));
    });
}

fn read(source: &ConfigSource, seen: Option<[u8; 32]>) -> Reading {
    let files = source.read_files();
    let hash = files.hash();
    let loaded = (seen != Some(hash)).then(|| source.load_from(files).map(|settings| settings.faults));
    Reading { hash, loaded }
}

fn take_up(myself: &ActorRef<FaultMsg>, reading: Reading, state: &mut FaultWatcherState) {
    let is_first = state.seen.replace(reading.hash).is_none();
    match reading.loaded {
        None => {}
        // At a start the dice may hold a change made through /debug/faults; only a file that says something else than
        // it said last ends that.
        Some(Ok(faults)) if is_first && !state.dice.is_news(&faults) => {}
        Some(Ok(faults)) => {
            state.dice.replace(faults);
            info!(service = state.dice.service(), source = %state.source, "failure settings taken up");
            state.show(|shown| {
                shown.reloads += 1;
                shown.last_reload_at = Some(Utc::now());
                shown.problems.clear();
            });
        }
        Some(Err(errors)) => {
            let problems: Vec<String> = errors.problems().iter().map(ToString::to_string).collect();
            error!(
                service = state.dice.service(),
                problems = problems.join("; "),
                "the configuration is broken, the old failure settings stay"
            );
            state.show(|shown| shown.problems.clone_from(&problems));
        }
    }
    state.phase = match state.phase {
        Phase::Reading(Meanwhile::Changed) => {
            myself.send_after(SETTLE, || FaultMsg::Poll);
            Phase::Settling
        }
        _ => Phase::Waiting(tokio::spawn(poll_later(myself.clone()))),
    };
}

async fn poll_later(myself: ActorRef<FaultMsg>) {
    tokio::time::sleep(POLL_INTERVAL).await;
    // Fails only when the actor is gone, and then nobody waits for it.
    let _ = myself.cast(FaultMsg::Poll);
}

/// Asks the file system for events of the folder (of the folder, because editors replace files by renaming). Without
/// events the poll remains.
fn subscribe(source: &ConfigSource, myself: &ActorRef<FaultMsg>) -> Option<RecommendedWatcher> {
    let dir = source.dir.as_ref()?;
    let names: BTreeSet<OsString> =
        source.paths().iter().filter_map(|path| path.file_name()).map(ToOwned::to_owned).collect();
    let myself = myself.clone();
    let on_event = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| may_change(&event, &names)) {
            let _ = myself.cast(FaultMsg::FileChanged);
        }
    };
    let subscription = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    subscription
        .inspect_err(|error| warn!(dir = %dir.display(), %error, "no file events, the files are polled instead"))
        .ok()
}

/// Reading a file is an event too; without this filter the actor would answer itself for ever.
fn may_change(event: &notify::Event, names: &BTreeSet<OsString>) -> bool {
    let writes = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    writes && event.paths.iter().filter_map(|path| path.file_name()).any(|name| names.contains(name))
}

impl FaultWatcherState {
    fn show(&self, change: impl FnOnce(&mut Shown)) {
        let mut next = (**self.shown.load()).clone();
        change(&mut next);
        self.shown.store(Arc::new(next));
    }
}

impl Shown {
    fn json(&self) -> Value {
        let last_reload_at = self.last_reload_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
        let mode = match &self.watching {
            Some(_) => "watching",
            None => "idle: built-in settings, nothing to watch",
        };
        json!({
            "mode": mode,
            "dir": self.watching,
            "profile": self.profile,
            "reloads": self.reloads,
            "last_reload_at": last_reload_at,
            "problems": self.problems,
        })
    }
}

#[cfg(test)]
mod tests;
