//! The entry of an actor in `/debug/actors`. An entry outlives its actor's restarts, and reading it never waits for a
//! mailbox, a call or the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde_json::Value;

use super::ActorView;

type StateOf = Arc<dyn Fn() -> Value + Send + Sync>;
type DepthOf = Arc<dyn Fn() -> usize + Send + Sync>;
type ChildrenOf = Arc<dyn Fn() -> Vec<ActorView> + Send + Sync>;
type FindIn = Arc<dyn Fn(&str) -> Option<ActorView> + Send + Sync>;

/// The entry of one actor.
pub struct ActorEntry {
    name: String,
    kind: &'static str,
    handled: AtomicU64,
    restarts: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    status: Status,
    started_at: Option<DateTime<Utc>>,
    last_restart_reason: Option<String>,
    state: Option<StateOf>,
    queue_depth: Option<DepthOf>,
    children: Vec<Arc<ActorEntry>>,
    dynamic: Option<ChildrenOf>,
    find: Option<FindIn>,
}

#[derive(Clone, Copy, Default)]
enum Status {
    #[default]
    Starting,
    Running,
    Restarting,
    Stopped,
    Failed,
}

impl std::fmt::Debug for ActorEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActorEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ActorEntry {
    /// Creates the entry of an actor that is about to start.
    pub fn new(name: impl Into<String>, kind: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            kind,
            handled: AtomicU64::new(0),
            restarts: AtomicU32::new(0),
            inner: Mutex::new(Inner::default()),
        })
    }

    /// Returns the actor's name: `stack/service/actor`, unique in the process.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a message, or an equivalent unit of work.
    pub fn handled(&self) {
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the function that returns the actor's state in brief; it must not block.
    pub fn set_state(&self, state: impl Fn() -> Value + Send + Sync + 'static) {
        self.inner.lock().state = Some(Arc::new(state));
    }

    /// Sets the function that returns the number of queued messages.
    pub fn set_queue_depth(&self, depth: impl Fn() -> usize + Send + Sync + 'static) {
        self.inner.lock().queue_depth = Some(Arc::new(depth));
    }

    /// Adds a child.
    pub fn add_child(&self, child: Arc<ActorEntry>) {
        self.inner.lock().children.push(child);
    }

    /// Sets the function that lists dynamic children.
    pub fn set_children(&self, children: impl Fn() -> Vec<ActorView> + Send + Sync + 'static) {
        self.inner.lock().dynamic = Some(Arc::new(children));
    }

    /// Sets the function that finds a dynamic child by name and shows it in full.
    pub fn set_find(&self, find: impl Fn(&str) -> Option<ActorView> + Send + Sync + 'static) {
        self.inner.lock().find = Some(Arc::new(find));
    }

    /// Records that the actor runs.
    pub fn started(&self) {
        let mut inner = self.inner.lock();
        inner.status = Status::Running;
        inner.started_at = Some(Utc::now());
    }

    /// Records that the actor died and will be restarted.
    pub fn restarting(&self, reason: String) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        inner.status = Status::Restarting;
        inner.last_restart_reason = Some(reason);
    }

    /// Records that the actor ended normally.
    pub fn stopped(&self) {
        self.inner.lock().status = Status::Stopped;
    }

    /// Records that the actor died and will not be restarted.
    pub fn failed(&self, reason: String) {
        let mut inner = self.inner.lock();
        inner.status = Status::Failed;
        inner.last_restart_reason = Some(reason);
    }

    /// Returns the number of restarts.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Returns the view of the actor and all its descendants.
    pub fn view(&self) -> ActorView {
        // The closures run after the lock is released: they may read other entries.
        let (state, depth, dynamic, children, mut view) = {
            let inner = self.inner.lock();
            let view = ActorView {
                name: self.name.clone(),
                kind: self.kind.to_owned(),
                status: match inner.status {
                    Status::Starting => "starting",
                    Status::Running => "running",
                    Status::Restarting => "restarting",
                    Status::Stopped => "stopped",
                    Status::Failed => "failed",
                }
                .to_owned(),
                restarts: self.restarts(),
                last_restart_reason: inner.last_restart_reason.clone(),
                started_at: inner.started_at,
                messages_handled: self.handled.load(Ordering::Relaxed),
                queue_depth: None,
                state: Value::Null,
                children: Vec::new(),
            };
            (inner.state.clone(), inner.queue_depth.clone(), inner.dynamic.clone(), inner.children.clone(), view)
        };
        view.state = state.map_or(Value::Null, |state| state());
        view.queue_depth = depth.map(|depth| depth());
        view.children = children.iter().map(|child| child.view()).collect();
        view.children.extend(dynamic.map(|dynamic| dynamic()).unwrap_or_default());
        view
    }

    /// Finds an actor by its full name, or by its name without the stack, and returns its view.
    pub fn find(&self, name: &str) -> Option<ActorView> {
        let without_stack = self.name.split_once('/').map_or("", |(_, rest)| rest);
        if self.name == name || without_stack == name {
            return Some(self.view());
        }
        let (children, find) = {
            let inner = self.inner.lock();
            (inner.children.clone(), inner.find.clone())
        };
        children.iter().find_map(|child| child.find(name)).or_else(|| find.and_then(|find| find(name)))
    }
}
