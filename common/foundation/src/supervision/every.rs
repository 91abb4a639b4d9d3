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
    child(entry, Handle::new(), move || (Repeater(std::marker::PhantomData), arguments.clone()))
}

struct Arguments<P> {
    entry: Arc<ActorEntry>,
    first: Duration,
    work: P,
}

struct Repeater<P>(std::marker::PhantomData<P>);

enum RepeaterMsg {
    Run,
    /// The work has ended; the rest before the next time.
    Ended(Result<Duration, JoinError>),
}

impl<P: Periodic> Actor for Repeater<P> {
    type Msg = RepeaterMsg;
    type State = Arc<Arguments<P>>;
    type Arguments = Arc<Arguments<P>>;

    async fn pre_start(
        &self,
        me: ActorRef<RepeaterMsg>,
        arguments: Arc<Arguments<P>>,
    ) -> Result<Arc<Arguments<P>>, ActorProcessingErr> {
        me.send_after(arguments.first, || RepeaterMsg::Run);
        Ok(arguments)
    }

    async fn handle(
        &self,
        me: ActorRef<RepeaterMsg>,
        message: RepeaterMsg,
        state: &mut Arc<Arguments<P>>,
    ) -> Result<(), ActorProcessingErr> {
        state.entry.handled();
        match message {
            RepeaterMsg::Run => {
                let state = state.clone();
                let run = tokio::spawn(async move { state.work.run().await });
                tokio::spawn(async move {
                    // The actor may have stopped; then the rest is dropped.
                    let _ = me.cast(RepeaterMsg::Ended(run.await));
                });
            }
            RepeaterMsg::Ended(rest) => drop(me.send_after(rest?, || RepeaterMsg::Run)),
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<RepeaterMsg>,
        state: &mut Arc<Arguments<P>>,
    ) -> Result<(), ActorProcessingErr> {
        state.work.stop().await;
        Ok(())
    }
}
