//! Calls to one participant: an actor that owns the HTTP connections, limits the calls in flight, and sends
//! compensations first.
//!
//! ```text
//! call ─► queue (compensations first) ─► limit ─► breaker ─► one attempt over HTTP ─► judgement ─► outcome
//!                                                   └─ open: parked, with the time to return
//! ```
//! Limits apply per participant, breakers per operation. Calls for FAILED sagas wait in separate queues, of which a few
//! calls are in flight at once.

mod breaker;
mod connection;
mod headers;
mod judgement;
pub(crate) mod open_breaker;
mod operations;
mod replicas;
mod send;
mod slot;
#[cfg(test)]
mod tests;
mod url;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::Utc;
use common::config::Settings;
use common::http::{HeaderValue, Transport, bearer, outgoing_bearer};
use common::supervision::{ActorEntry, ChildSpec, Handle, child};
use common::telemetry;
use common::tls::HttpVersion;
use common::traces::Tracer;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;
use smol_str::SmolStr;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;
use tracing::{info, warn};

pub use self::breaker::{Admission, Breaker, BreakerSettings, Health};
use self::judgement::Judging;
pub(crate) use self::judgement::legible;
pub use self::judgement::{Reply as Judged, away, classify, classify_by_status, retry_after as read_retry_after};
use self::open_breaker::OpenBreaker;
use self::operations::{Operations, ShownBreaker};
use self::replicas::{Connecting, Replicas, system_lookup};
pub(crate) use self::send::http_method;
use self::send::send;
use self::slot::Slot;
pub(crate) use self::url::BadUrl;
use self::url::Peer;
use crate::meters::{Attempted, ClientMeters, show_breaker};
use crate::outages::{Outages, Parked};
use crate::waker::Confirmations;
use saga_engine::definition::full_name;
use saga_engine::outcome::{Failure, Outcome, Retry, Sent, Unknown};
use saga_engine::world::{Answer, Call, Purpose, Urgency};

/// Label values in metrics.
const COMPENSATION: &str = "compensation";
const DONE: &str = "done";
/// Levels of breakers in metrics; an open one is 2.
const CLOSED_LEVEL: f64 = 0.0;
const HALF_OPEN_LEVEL: f64 = 1.0;

/// A call and the receiver of its outcome.
pub(crate) struct Calling {
    /// The call.
    pub(crate) call: Call,
    /// The receiver of the outcome.
    pub(crate) answer: Answer<Outcome>,
    /// Time of the request: the timeout includes the time in the queue.
    pub(crate) since: Instant,
}

pub(crate) enum ClientMsg {
    /// Make this call.
    Call(Box<Calling>),
    /// A call has ended.
    Finished(Finished),
}

/// A finished call: the participant's health and the measured attempt.
pub(crate) struct Finished {
    operation: SmolStr,
    urgency: Urgency,
    health: Health,
    attempted: Attempted,
}

struct Client;

struct Arguments {
    entry: Arc<ActorEntry>,
    service: SmolStr,
    replicas: Arc<Replicas>,
    look_up_every: Duration,
    base: String,
    bearer: Option<HeaderValue>,
    judging: Judging,
    tracer: Tracer,
    limit: usize,
    limit_for_actions: usize,
    limit_for_failed: usize,
    breaker: BreakerSettings,
    operations: Vec<SmolStr>,
    findings: Findings,
}

struct State {
    arguments: Arc<Arguments>,
    shown: Arc<Shown>,
    /// The task that resolves the participant's host name, if it has one.
    following: Option<JoinHandle<()>>,
    actions: VecDeque<Box<Calling>>,
    compensations: VecDeque<Box<Calling>>,
    operations: Operations,
    meters: ClientMeters,
}

struct Shown {
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
    breakers: ArcSwap<BTreeMap<String, ShownBreaker>>,
}

/// The findings of all clients, for the actors that act on them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) confirmations: Arc<Confirmations>,
    pub(crate) outages: Arc<Outages>,
}

/// The parts that all clients share.
pub(crate) struct ClientContext<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) transport: Transport,
    pub(crate) tracer: Tracer,
    pub(crate) findings: Findings,
}

/// Makes the client of a participant and these of its operations. The operations of a participant that a user names
/// appear with definitions.
///
/// # Errors
/// If no HTTP client can be made.
pub(crate) fn client(
    entry: Arc<ActorEntry>,
    handle: Handle<ClientMsg>,
    service: SmolStr,
    operations: Vec<SmolStr>,
    context: &ClientContext<'_>,
) -> Result<ChildSpec, BadUrl> {
    let settings = context.settings;
    let participants = settings.calls_to(&service);
    let (base, bearer, peer, judging) = match settings.named_participants.get(&*service) {
        None => (settings.service(&service).url.clone(), outgoing_bearer(&settings.auth), Peer::Own, Judging::Own),
        Some(named) => {
            let plain = if named.http2 { HttpVersion::Http2 } else { HttpVersion::Http1 };
            let judging = Judging::Named(named.judgement, named.absent.clone());
            (named.url.clone(), bearer(&named.token), Peer::Named(plain), judging)
        }
    };
    let limit_for_actions = participants.max_concurrent.saturating_sub(participants.reserved_for_compensations).max(1);
    let how = Connecting {
        peer,
        connections: participants.connections,
        timeout: Duration::from_millis(participants.connect_timeout_ms),
        transport: context.transport.clone(),
    };
    let arguments = Arc::new(Arguments {
        entry: entry.clone(),
        replicas: Arc::new(Replicas::new(service.clone(), &base, how)?),
        look_up_every: Duration::from_millis(participants.resolve_ms),
        base,
        bearer,
        judging,
        tracer: context.tracer.clone(),
        limit: participants.max_concurrent,
        limit_for_actions,
        // With a low limit, FAILED sagas use at most half of it.
        limit_for_failed: participants.failed_compensations.min((limit_for_actions / 2).max(1)),
        breaker: BreakerSettings {
            failures: participants.breaker_failures,
            pause: Duration::from_millis(participants.breaker_pause_ms),
            wakes_per_second: participants.breaker_wakes_per_second,
        },
        service,
        operations,
        findings: context.findings.clone(),
    });
    Ok(child(entry, handle, move || (Client, arguments.clone())))
}

impl Actor for Client {
    type Msg = ClientMsg;
    type State = State;
    type Arguments = Arc<Arguments>;

    async fn pre_start(&self, _: ActorRef<ClientMsg>, arguments: Arc<Arguments>) -> Result<State, ActorProcessingErr> {
        let Arguments { ref service, breaker, limit_for_failed, .. } = *arguments;
        let operations = Operations::new(service.clone(), &arguments.operations, breaker, limit_for_failed);
        // The breakers of an actor that died went with it.
        arguments.findings.outages.all_closed(service);
        let shown = Arc::new(Shown {
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            breakers: ArcSwap::from_pointee(operations.shown()),
        });
        let (state, depth, base) = (shown.clone(), shown.clone(), arguments.base.clone());
        let replicas = arguments.replicas.clone();
        arguments.entry.set_state(move || {
            let breakers = state.breakers.load();
            let states: BTreeMap<&String, &str> = breakers.iter().map(|(name, one)| (name, one.state)).collect();
            json!({
                "url": base,
                "addresses": replicas.addresses(),
                "in_flight": state.in_flight.load(Ordering::Relaxed),
                "breakers": states,
                (open_breaker::MEMBER): open(&breakers),
            })
        });
        arguments.entry.set_queue_depth(move || depth.waiting.load(Ordering::Relaxed));
        let replicas = arguments.replicas.clone();
        let following =
            replicas.is_named().then(|| tokio::spawn(replicas.follow(system_lookup(), arguments.look_up_every)));
        let (breakers, of) = (Arc::downgrade(&shown), service.clone());
        telemetry::at_scrape(move || {
            let (breakers, now) = (breakers.upgrade()?.breakers.load_full(), Instant::now());
            let are_due = breakers.iter().filter(|(_, breaker)| breaker.state_at(now) == "half-open");
            are_due.for_each(|(operation, _)| show_breaker(&of, operation, HALF_OPEN_LEVEL));
            Some(())
        });
        let measured = Arc::downgrade(&shown);
        let meters = ClientMeters::new(service.clone(), move || {
            let shown = measured.upgrade()?;
            Some((shown.in_flight.load(Ordering::Relaxed), shown.waiting.load(Ordering::Relaxed)))
        });
        let mut state = State {
            arguments,
            shown,
            following,
            actions: VecDeque::new(),
            compensations: VecDeque::new(),
            operations,
            meters,
        };
        show_breakers(&mut state);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<ClientMsg>,
        message: ClientMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.arguments.entry.handled();
        match message {
            ClientMsg::Call(calling) => match (&calling.call.purpose, calling.call.urgency) {
                (Purpose::Action { .. }, _) => state.actions.push_back(calling),
                (Purpose::Compensation, Urgency::Normal) => state.compensations.push_back(calling),
                (Purpose::Compensation, Urgency::Low) => {
                    if let Some(calling) = state.operations.line_up(calling) {
                        park(state, *calling, state.operations.pause());
                    }
                }
            },
            ClientMsg::Finished(finished) => {
                state.shown.in_flight.fetch_sub(1, Ordering::Relaxed);
                learn(state, finished);
            }
        }
        send_waiting(&me, state);
        Ok(())
    }
}

impl Drop for State {
    /// However the actor ends: its successor starts a task of its own.
    fn drop(&mut self) {
        if let Some(following) = self.following.take() {
            following.abort();
        }
    }
}

/// Sends waiting calls, compensations first, within the limits.
fn send_waiting(me: &ActorRef<ClientMsg>, state: &mut State) {
    loop {
        let waiting = state.actions.len() + state.compensations.len() + state.operations.waiting();
        state.shown.waiting.store(waiting, Ordering::Relaxed);
        if waiting == 0 {
            return;
        }
        let in_flight = state.shown.in_flight.load(Ordering::Relaxed);
        let now = Instant::now();
        let next = match in_flight {
            _ if in_flight >= state.arguments.limit => None,
            _ if in_flight >= state.arguments.limit_for_actions => state.compensations.pop_front(),
            _ => state
                .compensations
                .pop_front()
                .or_else(|| state.operations.next_in_line(now))
                .or_else(|| state.actions.pop_front()),
        };
        let Some(calling) = next else { return };
        let operation = calling.call.operation.clone();
        let breaker = state.operations.state(&operation);
        let admission = state.operations.admit(&calling.call, now);
        if let Some(forgotten) = state.operations.forgotten() {
            let name = full_name(&state.arguments.service, &forgotten);
            state.arguments.findings.outages.closed(&name);
            state.meters.breaker(&name, CLOSED_LEVEL);
            show_breakers(state);
        }
        if let Admission::Park(wait) = admission {
            park(state, *calling, wait);
            continue;
        }
        if state.operations.state(&operation) != breaker {
            show_breakers(state);
        }
        state.shown.in_flight.fetch_add(1, Ordering::Relaxed);
        let (arguments, me) = (state.arguments.clone(), me.clone());
        // Boxed, since Tokio moves a task's future when it starts and again when it ends, and this one is large.
        tokio::spawn(Box::pin(async move {
            let Calling { call, answer, since } = *calling;
            let mut slot = Slot::of(me, &call, since);
            let (outcome, health) = send(&arguments, &call, since).await;
            slot.ends_with(&outcome, health);
            answer.give(outcome);
            // Yield, so the saga's actor runs first.
            yield_now().await;
        }));
    }
}

fn park(state: &State, calling: Calling, wait: Duration) {
    let Call { saga_id: id, epoch, .. } = calling.call;
    state.arguments.findings.outages.parked(&calling.call.full_name(), Parked { id, epoch });
    let outcome = parked(&calling.call, wait);
    calling.answer.give(outcome);
}

/// Makes the outcome of a call that is not sent because the breaker of its operation is open.
pub fn parked(call: &Call, wait: Duration) -> Outcome {
    Outcome::Unknown(Unknown {
        failure: Failure::unavailable(&call.participant),
        detail: format!("the circuit breaker of {} is open", call.full_name()),
        retry: Retry::Parked(wait),
        sent: Sent::Nothing,
    })
}

fn learn(state: &mut State, finished: Finished) {
    let Finished { operation, urgency, health, attempted } = finished;
    let service = &*state.arguments.service;
    if attempted.kind == COMPENSATION && attempted.outcome == DONE {
        state.arguments.findings.confirmations.note(&full_name(service, &operation));
    }
    state.meters.attempted(attempted);
    match state.operations.learn(&operation, urgency, health, Instant::now()) {
        Some("closed") => {
            state.arguments.findings.outages.closed(&full_name(service, &operation));
            info!(service, %operation, "the operation works again: its circuit breaker is closed");
        }
        Some(now) => {
            state.arguments.findings.outages.opened(full_name(service, &operation), Instant::now());
            warn!(service, %operation, state = now, "the operation fails: its circuit breaker is open");
        }
        None => return,
    }
    show_breakers(state);
}

fn show_breakers(state: &mut State) {
    let breakers = state.operations.shown();
    for (operation, breaker) in &breakers {
        let level = match breaker.state {
            "closed" => CLOSED_LEVEL,
            "half-open" => HALF_OPEN_LEVEL,
            _ => 2.0,
        };
        state.meters.breaker(operation, level);
    }
    state.shown.breakers.store(Arc::new(breakers));
}

/// The breakers that are not closed, with times of day.
fn open(breakers: &BTreeMap<String, ShownBreaker>) -> Vec<OpenBreaker> {
    let (now, time) = (Instant::now(), Utc::now());
    let not_closed = breakers.iter().filter(|(_, breaker)| breaker.next_probe.is_some());
    let shown = |(operation, breaker): (&String, &ShownBreaker)| OpenBreaker {
        operation: operation.clone(),
        state: breaker.state_at(now).to_owned(),
        next_probe_at: breaker.next_probe.map(|probe| time + probe.saturating_duration_since(now)),
        turned_away: breaker.turned_away.load(Ordering::Relaxed),
    };
    not_closed.map(shown).collect()
}
