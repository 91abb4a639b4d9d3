//! The network between orchestrators and participants: requests and replies are lost, late, doubled, overtaken, and
//! answered by strangers. What comes back is judged by the same code as live.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::fate::{CallFate, Copy, Stranger, There};
use super::participants::{Ask, Coin, Deed, Origin, Reply};
use super::process::ProcessId;
use super::sim::Sim;
use crate::participant_client::{Admission, Health, Judged, classify, parked};
use crate::saga::definition::Step;
use crate::saga::outcome::{Failure, Outcome, Retry, Sent, Unknown};
use crate::world::{Answer, Call, Purpose};

/// A call on its way: whoever answers first is heard.
struct Pending {
    call: Call,
    answer: Mutex<Option<Answer<Outcome>>>,
}

/// Sends a call.
pub(super) fn call(sim: &Arc<Sim>, process: ProcessId, call: Call, answer: Answer<Outcome>) {
    let admission = {
        let mut inner = sim.lock();
        inner.tally.calls += 1;
        inner.processes[process.0].breaker(&call).admit(call.urgency, Instant::now())
    };
    if let Admission::Park(wait) = admission {
        sim.lock().tally.parked += 1;
        sim.note_at(process, |trace| format!("parks {} for {wait:?}", describe(trace, &call)));
        answer.give(parked(&call, wait));
        return;
    }
    let fate = {
        let mood = sim.mood();
        let (elapsed, mut inner) = (sim.elapsed(), sim.lock());
        // Nobody listens where a participant is away; what is on its way to it finds only its proxy.
        match inner.participant_back.get(call.participant).is_some_and(|back| elapsed < *back) {
            true => CallFate::Unreachable(Duration::from_millis(2)),
            false => inner.fate.call(&call, mood),
        }
    };
    sim.note_at(process, |trace| format!("→ {}", describe(trace, &call)));
    let timeout = call.timeout;
    let pending = Arc::new(Pending { call, answer: Mutex::new(Some(answer)) });
    match fate {
        CallFate::Unreachable(known_after) => {
            let failure = Failure::unavailable(pending.call.participant);
            let outcome = not_known(failure, "nobody listens", Sent::Nothing);
            sim.after(known_after, move |sim| settle(sim, process, &pending, outcome, Health::Failed));
        }
        CallFate::Sent(copies) => {
            let answers_in_time =
                |copy: &Copy| copy.arrives.zip(copy.reply).is_some_and(|(arrives, reply)| arrives + reply < timeout);
            if !copies.iter().any(answers_in_time) {
                give_up_after(sim, process, &pending, timeout);
            }
            if copies.len() > 1 {
                sim.lock().tally.duplicates += 1;
            }
            for copy in copies {
                send(sim, process, &pending, copy);
            }
        }
    }
}

/// Nobody waits longer than the call's timeout, whatever is still on its way.
fn give_up_after(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>, timeout: Duration) {
    let (sim, pending) = (sim.clone(), pending.clone());
    tokio::spawn(async move {
        tokio::time::sleep(timeout).await;
        let outcome = not_known(Failure::timeout(pending.call.participant), "no answer in time", Sent::Maybe);
        sim.at(process, move |sim| settle_now(sim, process, &pending, outcome, Health::Failed));
    });
}

fn send(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>, copy: Copy) {
    let Some(arrives) = copy.arrives else {
        sim.lock().tally.lost_requests += 1;
        sim.note(|_| "network".to_owned(), |trace| format!("loses {}", describe(trace, &pending.call)));
        return;
    };
    let pending = pending.clone();
    sim.after(arrives, move |sim| arrive(sim, process, &pending, copy));
}

fn arrive(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>, copy: Copy) {
    let is_away = sim.lock().participant_back.get(pending.call.participant).is_some_and(|back| sim.elapsed() < *back);
    let there = if is_away { There::Only(Stranger::Busy) } else { copy.there };
    let reply = match there {
        There::Dying => {
            sim.lock().tally.participant_crashes += 1;
            sim.note(
                |_| pending.call.participant.to_owned(),
                |trace| format!("is killed before it decides {}", describe(trace, &pending.call)),
            );
            return;
        }
        There::Participant => decide(sim, &pending.call),
        There::ParticipantThen(stranger) => {
            decide(sim, &pending.call);
            answer_of(sim, pending, stranger)
        }
        There::Only(stranger) => answer_of(sim, pending, stranger),
    };
    let Some(travels) = copy.reply else {
        sim.lock().tally.lost_replies += 1;
        sim.note(|_| "network".to_owned(), |trace| format!("loses the reply to {}", describe(trace, &pending.call)));
        return;
    };
    let pending = pending.clone();
    sim.after(travels, move |sim| {
        let service = pending.call.participant;
        let judged = Judged {
            status: reply.status,
            decision: reply.decision,
            action: reply.action,
            retry_after: Duration::ZERO,
            body: reply.body.as_bytes(),
        };
        let outcome = classify(service, &pending.call, &judged);
        let health = match outcome {
            Outcome::Done(_) | Outcome::Undone(..) | Outcome::Refused(_) => Health::Answered,
            Outcome::Unknown(_) => Health::Failed,
        };
        settle(sim, process, &pending, outcome, health);
    });
}

/// The participant decides, and its decision is durable.
fn decide(sim: &Arc<Sim>, call: &Call) -> Reply {
    let step = step_of(sim, call);
    let at = sim.now();
    let reply = {
        let mut inner = sim.lock();
        let (deed, coin) = match call.purpose {
            Purpose::Action { .. } => (Deed::Action, inner.fate.coin(call)),
            Purpose::Compensation => (Deed::Compensation, Coin::Accept),
        };
        let origin = Some(Origin { attempt: call.attempt, epoch: call.epoch });
        let ask = Ask { request: &call.request, origin, coin, at };
        let reply = inner.participants.answer(step, deed, &call.context, &ask);
        if reply.decision.is_some() && !reply.replayed {
            inner.tally.refusals += 1;
        }
        reply
    };
    sim.note(
        |_| call.participant.to_owned(),
        |trace| {
            let again = if reply.replayed { " again" } else { "" };
            format!("answers {}{again} to {}", reply.status, describe(trace, call))
        },
    );
    reply
}

fn step_of<'a>(sim: &'a Sim, call: &Call) -> &'a Step {
    let steps = sim.known.iter().flat_map(|known| &known.steps);
    let mut of_this_name = steps.filter(|step| step.name == call.step && step.participant == call.participant);
    of_this_name.next().expect("a call is for a step of a definition")
}

fn answer_of(sim: &Arc<Sim>, pending: &Pending, stranger: Stranger) -> Reply {
    sim.lock().tally.strangers += 1;
    sim.note(
        |_| "network".to_owned(),
        |trace| {
            format!("{stranger:?} in the place of {} for {}", pending.call.participant, describe(trace, &pending.call))
        },
    );
    match stranger {
        Stranger::Busy => Reply::plain(503, r#"{"type":"about:blank","title":"overloaded","status":503}"#),
        Stranger::BadGateway => Reply::plain(502, "<html><h1>502 Bad Gateway</h1></html>"),
        Stranger::LoginPage => Reply::plain(200, "<html>Please log in</html>"),
        Stranger::NotFound => Reply::plain(404, r#"{"type":"about:blank","title":"not found","status":404}"#),
        Stranger::Conflict => Reply::plain(409, r#"{"status":"error","message":"conflict"}"#),
        Stranger::TooMany => Reply::plain(429, r#"{"type":"about:blank","title":"too many","status":429}"#),
    }
}

/// Gives the answer to the process, when it can hear it.
fn settle(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>, outcome: Outcome, health: Health) {
    let pending = pending.clone();
    sim.at(process, move |sim| settle_now(sim, process, &pending, outcome, health));
}

fn settle_now(sim: &Arc<Sim>, process: ProcessId, pending: &Pending, outcome: Outcome, health: Health) {
    let answer = pending.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(answer) = answer else {
        sim.lock().tally.late_replies += 1;
        return;
    };
    sim.note_at(process, |trace| format!("← {}: {}", describe(trace, &pending.call), shown(&outcome)));
    {
        let now = sim.now();
        let inner = &mut *sim.lock();
        inner.processes[process.0].breaker(&pending.call).learn(health, Instant::now());
        if matches!(outcome, Outcome::Undone(..)) {
            inner.log.wake_waiting(&pending.call.full_name(), now);
        }
    }
    answer.give(outcome);
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(_) | Outcome::Undone(..) => "done".to_owned(),
        Outcome::Refused(failure) => format!("refused ({failure})"),
        Outcome::Unknown(unknown) => format!("unknown ({})", unknown.detail),
    }
}

fn not_known(failure: Failure, detail: &str, sent: Sent) -> Outcome {
    Outcome::Unknown(Unknown { failure, detail: detail.to_owned(), retry: Retry::After(Duration::ZERO), sent })
}

fn describe(trace: &super::trace::Trace, call: &Call) -> String {
    let deed = match call.purpose {
        Purpose::Action { .. } => "",
        Purpose::Compensation => "undo ",
    };
    let Call { participant, step, attempt, epoch, .. } = call;
    format!("{participant}: {deed}{step} of {} (attempt {attempt}, epoch {epoch})", trace.name(call.saga_id))
}
