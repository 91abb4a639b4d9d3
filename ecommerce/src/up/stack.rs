//! The five services of one process.

use std::sync::Arc;

use common::{config::Settings, http::Transport, service::Shutdown};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Bound;
use crate::{ending::Failure, services::Threads, signals::Signals};

/// The running services. The orchestrator stops before the participants: its running sagas need them.
pub(super) struct Stack {
    orchestrator: Group,
    participants: Group,
    /// Their shared runtime.
    threads: Threads,
}

/// Services that are stopped together.
#[derive(Default)]
struct Group {
    shutdown: CancellationToken,
    /// Each task returns its service's name, and the reason if it gave up.
    running: JoinSet<(&'static str, Result<(), String>)>,
}

impl Stack {
    /// Starts all services in the given order; if one does not start, the others are stopped.
    pub(super) async fn start(settings: Arc<Settings>, all: Vec<Bound>, signals: &Signals) -> Result<Self, Failure> {
        let threads = Threads::start(&settings, all.len())?;
        let transport = Transport::in_process(all.iter().map(|bound| bound.address));
        let mut stack = Self { orchestrator: Group::default(), participants: Group::default(), threads };
        for bound in all {
            if let Err(failure) = stack.add(bound, settings.clone(), transport.clone(), signals).await {
                stack.stop(signals).await;
                return Err(failure);
            }
        }
        Ok(stack)
    }

    async fn add(
        &mut self,
        bound: Bound,
        settings: Arc<Settings>,
        transport: Transport,
        signals: &Signals,
    ) -> Result<(), Failure> {
        let Bound { service, listener, .. } = bound;
        let group = if service == orchestrator::SERVICE { &mut self.orchestrator } else { &mut self.participants };
        let shutdown = Shutdown { announced: signals.shutdown.announced.clone(), begun: group.shutdown.clone() };
        let running = self.threads.run(service, settings, listener, transport, shutdown).await?;
        group.running.spawn(async move { (service, running.finished().await) });
        Ok(())
    }

    /// Returns the reason when a service ends without a request to stop.
    pub(super) async fn gave_up(&mut self) -> String {
        let ended = tokio::select! {
            Some(ended) = self.orchestrator.running.join_next() => ended,
            Some(ended) = self.participants.running.join_next() => ended,
            else => return "no service is running".to_owned(),
        };
        match ended {
            Ok((service, Err(reason))) => format!("{service} gave up: {reason}"),
            Ok((service, Ok(()))) => format!("{service} stopped unexpectedly"),
            Err(error) => format!("a service died: {error}"),
        }
    }

    /// Stops all services in order, without waiting for running work after one more signal.
    pub(super) async fn stop(mut self, signals: &Signals) {
        let in_order = async {
            for (name, group) in [("orchestrator", &mut self.orchestrator), ("participants", &mut self.participants)] {
                group.shutdown.cancel();
                while group.running.join_next().await.is_some() {}
                info!("{name} stopped");
            }
        };
        tokio::select! {
            () = in_order => {}
            () = signals.force.cancelled() => {}
        }
    }
}
