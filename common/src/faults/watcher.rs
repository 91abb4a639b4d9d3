//! The actor that applies a changed configuration file to the sampler.
//!
//! ```text
//! notify --FileChanged--> [settle 100 ms] --Poll--> read and check (blocking thread) --Read--> sampler.replace
//!                          every 1 s -----Poll--^
//! ```
//! File system events are fast; the poll is reliable, for folders without events (network and container mounts, a
//! replaced folder). Only different contents count as a change. A broken file is logged once and changes nothing. The
//! state is rebuilt from the files alone.

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

use super::{FaultSampler, FaultSettings};
use crate::{
    config::{ConfigErrors, ConfigSource},
    supervision::ActorEntry,
};

/// Interval at which files are read without an event: half of the 2 s in which a change must take effect.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Delay between an event and reading the files: editors write in several steps, and half a file looks broken.
const SETTLE: Duration = Duration::from_millis(100);

/// Watches the configuration files of one service's failure settings.
pub struct FaultWatcher;

/// Arguments to start the actor.
pub struct FaultWatcherArgs {
    /// Source of the settings; without a folder there is nothing to watch and the actor idles.
    pub source: ConfigSource,
    /// The sampler to keep up to date.
    pub sampler: FaultSampler,
    /// The entry for the actor's state.
    pub entry: Arc<ActorEntry>,
}

/// The actor's messages.
pub enum FaultMsg {
    /// The file system reported a change of a watched file.
    FileChanged,
    /// The files are due to be read.
    Poll,
    /// The files were read.
    Read(FilesRead),
}

/// The result of reading the files; empty if the read panicked.
pub struct FilesRead(Option<Reading>);

struct Reading {
    hash: [u8; 32],
    /// `None`: the contents are the same as in the previous read.
    loaded: Option<Result<FaultSettings, ConfigErrors>>,
}

/// The actor's state.
pub struct FaultWatcherState {
    source: ConfigSource,
    sampler: FaultSampler,
    entry: Arc<ActorEntry>,
    seen: Option<[u8; 32]>,
    phase: Phase,
    shown: Arc<ArcSwap<Shown>>,
    /// The file system subscription, which ends on drop.
    _subscription: Option<RecommendedWatcher>,
}

enum Phase {
    /// The timer triggers the next read.
    Waiting(JoinHandle<()>),
    /// An event came; the read follows when the writer is likely done.
    Settling,
    /// A read is under way.
    Reading(DuringRead),
}

#[derive(PartialEq)]
enum DuringRead {
    Quiet,
    Changed,
}

/// The state for `/debug/actors`.
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
        let FaultWatcherArgs { source, sampler, entry } = args;
        let shown = Shown { watching: source.dir.clone(), profile: source.profile.clone(), ..Shown::default() };
        let shown = Arc::new(ArcSwap::from_pointee(shown));
        let to_show = shown.clone();
        entry.set_state(move || to_show.load().json());

        let subscription = subscribe(&source, &myself);
        if source.dir.is_some() {
            // Read at once: a file may have changed since the settings were loaded, or while this actor was being
            // restarted.
            let _ = myself.cast(FaultMsg::Poll);
        }
        let phase = Phase::Settling;
        Ok(FaultWatcherState { source, sampler, entry, seen: None, phase, shown, _subscription: subscription })
    }

    async fn handle(
        &self,
        myself: ActorRef<FaultMsg>,
        message: FaultMsg,
        state: &mut FaultWatcherState,
    ) -> Result<(), ActorProcessingErr> {
        state.entry.handled();
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
        // The coming read will see this change too.
        Phase::Settling => {}
        Phase::Reading(meanwhile) => *meanwhile = DuringRead::Changed,
    }
}

fn look(myself: &ActorRef<FaultMsg>, state: &mut FaultWatcherState) {
    if let Phase::Reading(_) = state.phase {
        return;
    }
    state.phase = Phase::Reading(DuringRead::Quiet);
    let (source, seen, myself) = (state.source.clone(), state.seen, myself.clone());
    let reading = spawn_blocking(move || read(&source, seen));
    tokio::spawn(async move {
        // Fails only if this actor has ended.
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
        // At start the sampler may hold a change made through `/debug/faults`. Only a file with other settings than before
        // ends that change.
        Some(Ok(faults)) if is_first && !state.sampler.is_news(&faults) => {}
        Some(Ok(faults)) => {
            state.sampler.replace(faults);
            info!(service = state.sampler.service(), source = %state.source, "failure settings applied");
            state.show(|shown| {
                shown.reloads += 1;
                shown.last_reload_at = Some(Utc::now());
                shown.problems.clear();
            });
        }
        Some(Err(errors)) => {
            let problems: Vec<String> = errors.problems().iter().map(ToString::to_string).collect();
            error!(
                service = state.sampler.service(),
                problems = problems.join("; "),
                "the configuration is invalid, the old failure settings stay in force"
            );
            state.show(|shown| shown.problems.clone_from(&problems));
        }
    }
    state.phase = match state.phase {
        Phase::Reading(DuringRead::Changed) => {
            myself.send_after(SETTLE, || FaultMsg::Poll);
            Phase::Settling
        }
        _ => Phase::Waiting(tokio::spawn(poll_later(myself.clone()))),
    };
}

async fn poll_later(myself: ActorRef<FaultMsg>) {
    tokio::time::sleep(POLL_INTERVAL).await;
    // Fails only if the actor has ended, and then the message is not needed.
    let _ = myself.cast(FaultMsg::Poll);
}

/// Subscribes to events of the folder; not of the files, because editors replace files by renaming. If that fails,
/// polling remains.
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

/// Returns whether an event may mean changed contents. Reading a file is an event too; without this filter the actor
/// would trigger itself for ever.
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
