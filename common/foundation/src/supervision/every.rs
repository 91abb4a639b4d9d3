//! Periodic actors: a piece of work that is repeated, each time after a rest.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinError;

use super::{ActorEntry, ChildSpec, Handle, child};

/// Work that is repeated. Its state survives restarts of its actor.
pub trait Periodic: Send + Sync + 'static {
    /// Works once, and returns the rest before the next time.
    fn run(&self) -> impl Future<Output = Duration> + Send;

    /// Works a last time, when the actor stops.
    fn stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Creates a child that repeats `work`, the first time after `first`. Each rest begins when the work has ended, so slow
/// work never fills a mailbox; the work runs in a task of its own, so it delays no stop. Work that panics fails the
/// actor.
pub fn every<P: Periodic>(entry: Arc<ActorEntry>, first: Duration, work: P) -> ChildSpec {
    let arguments = Arc::new(Arguments { entry: entry.clone(), first, work });
    child(entry, Handle::new(), move || (Repeater(arguments.clone()), ()))
}

struct Arguments<P> {
    entry: Arc<ActorEntry>,
    first: Duration,
    work: P,
}

struct Repeater<P>(Arc<Arguments<P>>);

enum RepeaterMsg {
    Run,
    /// The work has ended; the rest before the next time.
    Ended(Result<Duration, JoinError>),
}

impl<P: Periodic> Actor for Repeater<P> {
    type Msg = RepeaterMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<RepeaterMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        me.send_after(self.0.first, || RepeaterMsg::Run);
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<RepeaterMsg>,
        message: RepeaterMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.0.entry.handled();
        match message {
            RepeaterMsg::Run => {
                let arguments = self.0.clone();
                let run = tokio::spawn(async move { arguments.work.run().await });
                tokio::spawn(async move {
                    // The actor may have stopped; then the rest is dropped.
                    let _ = me.cast(RepeaterMsg::Ended(run.await));
                });
            }
            RepeaterMsg::Ended(rest) => drop(me.send_after(rest?, || RepeaterMsg::Run)),
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<RepeaterMsg>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        self.0.work.stop().await;
        Ok(())
    }
}
