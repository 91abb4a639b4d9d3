//! Files change, break, disappear and return; the sampler follows within 2 s or stays unchanged.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use super::*;
use crate::faults::OperationFaults;

/// A change must take effect within this time.
const IN_TIME: Duration = Duration::from_secs(2);

struct Lab {
    dir: PathBuf,
    sampler: FaultSampler,
    watcher: ActorRef<FaultMsg>,
    shown: Arc<ArcSwap<Shown>>,
    entry: Arc<ActorEntry>,
}

impl Lab {
    /// Starts a watcher on a folder of its own, with one profile.
    async fn start(profile: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("fault-watcher-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        fs::write(dir.join("lab.toml"), profile).expect("a profile");
        let source = ConfigSource { dir: Some(dir.clone()), ..ConfigSource::embedded("lab") };
        let sampler = FaultSampler::new("payments", &source.load().expect("valid").faults);
        Self::watch(source, sampler, dir).await
    }

    async fn watch(source: ConfigSource, sampler: FaultSampler, dir: PathBuf) -> Self {
        let (publish, published) = tokio::sync::oneshot::channel();
        let entry = ActorEntry::new("faults", "watcher");
        let args = FaultWatcherArgs { source, sampler: sampler.clone(), entry: entry.clone() };
        let probe = Probe(parking_lot::Mutex::new(Some(publish)));
        let (watcher, _) = Actor::spawn(None, probe, args).await.expect("started");
        let shown = published.await.expect("published");
        Self { dir, sampler, watcher, shown, entry }
    }

    fn write(&self, profile: &str) {
        fs::write(self.dir.join("lab.toml"), profile).expect("written");
    }

    /// Replaces the file atomically, so that no half of it can be read.
    fn replace(&self, profile: &str) {
        fs::write(self.dir.join("lab.toml~"), profile).expect("written");
        fs::rename(self.dir.join("lab.toml~"), self.dir.join("lab.toml")).expect("renamed");
    }

    fn failure_rate(&self) -> f64 {
        self.sampler.settings()["charge"].failure_rate
    }

    /// Makes the watcher read the files twice, and waits until it has.
    async fn look_twice(&self) {
        for _ in 0..2 {
            let before = self.entry.view().messages_handled;
            self.watcher.cast(FaultMsg::FileChanged).expect("the watcher runs");
            // Three messages: this event, the poll that follows, and the result of the read.
            self.until("a look", |lab| lab.entry.view().messages_handled >= before + 3).await;
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < IN_TIME, "{what}: not within {IN_TIME:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.watcher.stop(None);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The watcher, with its shown state handed out to the test; the entry is not under test here.
struct Probe(parking_lot::Mutex<Option<tokio::sync::oneshot::Sender<Arc<ArcSwap<Shown>>>>>);

impl Actor for Probe {
    type Msg = FaultMsg;
    type State = FaultWatcherState;
    type Arguments = FaultWatcherArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<FaultMsg>,
        args: FaultWatcherArgs,
    ) -> Result<FaultWatcherState, ActorProcessingErr> {
        let state = FaultWatcher.pre_start(myself, args).await?;
        if let Some(publish) = self.0.lock().take() {
            let _ = publish.send(state.shown.clone());
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<FaultMsg>,
        message: FaultMsg,
        state: &mut FaultWatcherState,
    ) -> Result<(), ActorProcessingErr> {
        FaultWatcher.handle(myself, message, state).await
    }
}

fn rate(rate: impl std::fmt::Display) -> String {
    format!("[faults.payments.charge]\nfailure_rate = {rate}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_file_is_taken_up_within_2_seconds() {
    let lab = Lab::start(&rate(0.1)).await;
    for next in [0.2, 0.3, 0.4] {
        lab.write(&rate(next));
        lab.until("new rate", |lab| lab.failure_rate() == next).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_replaced_by_renaming_is_taken_up() {
    let lab = Lab::start(&rate(0.1)).await;
    lab.replace(&rate(0.2));
    lab.until("new rate", |lab| lab.failure_rate() == 0.2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_file_counts_beneath_the_profile() {
    let lab = Lab::start(&rate(0.1)).await;
    let defaults = "[faults.payments.charge]\nfailure_rate = 0.9\nduplicate_rate = 0.9\n";
    fs::write(lab.dir.join("default.toml"), defaults).expect("written");
    lab.until("the default", |lab| lab.sampler.settings()["charge"].duplicate_rate == 0.9).await;
    assert_eq!(lab.failure_rate(), 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_stay_above_a_changed_file() {
    let lab = Lab::start(&rate(0.1)).await;
    let source = ConfigSource { dir: Some(lab.dir.clone()), ..ConfigSource::embedded("lab") }
        .with("faults.payments.charge.failure_rate", 0.7);
    let sampler = FaultSampler::new("payments", &source.load().expect("valid").faults);
    let above = Lab::watch(source, sampler, lab.dir.clone()).await;
    lab.write("[faults.payments.charge]\nfailure_rate = 0.2\nduplicate_rate = 0.3\n");
    above.until("other keys", |lab| lab.sampler.settings()["charge"].duplicate_rate == 0.3).await;
    assert_eq!(above.failure_rate(), 0.7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_a_mended_one_is_taken_up() {
    let lab = Lab::start(&rate(0.1)).await;
    // Replaced atomically: a file written in place is empty for a moment, and an empty file is valid.
    for broken in ["[faults", &rate(1.5), "[faults.payments.chrage]\nfailure_rate = 1.0", &rate("'often'")] {
        lab.replace(broken);
        lab.until("a problem is shown", |lab| !lab.shown.load().problems.is_empty()).await;
        assert_eq!(lab.failure_rate(), 0.1, "{broken}");
        lab.replace(&rate(0.1));
        lab.until("no problem is shown", |lab| lab.shown.load().problems.is_empty()).await;
    }
    fs::remove_file(lab.dir.join("lab.toml")).expect("removed");
    lab.until("a problem is shown", |lab| !lab.shown.load().problems.is_empty()).await;
    assert_eq!(lab.failure_rate(), 0.1);
    lab.write(&rate(0.2));
    lab.until("new rate", |lab| lab.failure_rate() == 0.2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_through_debug_lasts_until_the_next_reload() {
    let lab = Lab::start(&rate(0.1)).await;
    lab.sampler.apply_json(br#"{"charge": {"failure_rate": 0.8}}"#).expect("valid");
    // Unchanged contents cause no reload, neither by a poll nor by a restart of the watcher.
    lab.replace(&rate(0.1));
    let source = ConfigSource { dir: Some(lab.dir.clone()), ..ConfigSource::embedded("lab") };
    let restarted = Lab::watch(source, lab.sampler.clone(), lab.dir.clone()).await;
    restarted.look_twice().await;
    assert_eq!(lab.failure_rate(), 0.8);

    lab.write(&rate(0.2));
    restarted.until("new rate", |lab| lab.failure_rate() == 0.2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_while_the_watcher_was_away_is_taken_up_at_its_start() {
    let lab = Lab::start(&rate(0.1)).await;
    let old = FaultSampler::new("payments", &FaultSettings::default());
    lab.write(&rate(0.6));
    let source = ConfigSource { dir: Some(lab.dir.clone()), ..ConfigSource::embedded("lab") };
    let late = Lab::watch(source, old, lab.dir.clone()).await;
    late.until("new rate", |lab| {
        lab.sampler.settings().get("charge").is_some_and(|charge: &OperationFaults| charge.failure_rate == 0.6)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_replaced_is_still_followed() {
    let lab = Lab::start(&rate(0.1)).await;
    // Events come from the old folder only; the poll finds the new one.
    let moved = lab.dir.with_extension("old");
    fs::rename(&lab.dir, &moved).expect("renamed");
    fs::create_dir(&lab.dir).expect("a new folder");
    lab.write(&rate(0.3));
    lab.until("new rate", |lab| lab.failure_rate() == 0.3).await;
    fs::remove_dir_all(moved).expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_folder_the_watcher_idles_and_says_so() {
    let source = ConfigSource::embedded("development");
    let sampler = FaultSampler::new("payments", &source.load().expect("valid").faults);
    let lab = Lab::watch(source, sampler, PathBuf::from("/nonexistent")).await;
    assert_eq!(lab.shown.load().json()["mode"], "idle: built-in settings, nothing to watch");
}
