//! The network between orchestrators and participants: requests and replies are lost, delayed, duplicated, reordered,
//! and answered by intermediaries. Replies are classified by the production code.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::fate::{CallFate, Copy, Intermediary, Responder};
use super::intermediaries::{self, Answered};
use super::line;
use super::mutated_world;
use super::mutation::{Mutation, is_mutated};
use super::participants::{Ask, FailureDraw, OperationKind, Origin, Reply};
use super::partitions::Operation;
use super::process::ProcessId;
use super::sim::Sim;
use super::standbys::Database;
use orchestrator::participant_client::{
    Admission, Health, Judged, away, classify, classify_by_status, parked, read_retry_after,
};
use saga_engine::definition::Start;
use saga_engine::outcome::{Failure, Outcome, Retry, Sent, Unknown};
use saga_engine::world::{Answer, Call, Purpose};

/// A call under way: its first reply counts.
pub(super) struct Pending {
    pub(super) call: Call,
    pub(super) since: Instant,
    answer: Mutex<Option<Answer<Outcome>>>,
}

/// Makes a call, once the queue to its participant has room.
pub(super) fn call(sim: &Arc<Sim>, process: ProcessId, call: Call, answer: Answer<Outcome>) {
    {
        let most = sim.graph.as_ref().map_or(usize::MAX, |graph| graph.max_parallel);
        let mut inner = sim.lock();
        inner.tally.calls += 1;
        inner.watched.called(process, &call, most);
    }
    line::enter(sim, process, Arc::new(Pending { call, since: Instant::now(), answer: Mutex::new(Some(answer)) }));
}

/// Sends a call that has left the queue.
pub(super) fn send(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>) {
    let call = &pending.call;
    let admission = sim.lock().processes[process.0].breaker(call).admit(call.urgency, Instant::now());
    if let Admission::Park(wait) = admission {
        {
            let mut inner = sim.lock();
            inner.tally.parked += 1;
            inner.watched.parked(process, call);
        }
        sim.note_at(process, |trace| format!("parks {} for {wait:?}", describe(trace, call)));
        return answer(sim, process, pending, parked(call, wait), Health::NotAsked);
    }
    sim.note_at(process, |trace| format!("→ {}", describe(trace, call)));
    match fate_of(sim, process, call) {
        CallFate::Unreachable(known_after) => {
            sim.lock().tally.unreachable += 1;
            let outcome = away(&call.participant, "nobody listens");
            let pending = pending.clone();
            sim.after(known_after, move |sim| settle(sim, process, &pending, outcome, Health::Failed));
        }
        CallFate::Sent(copies) => {
            let left = line::give_up_at(pending).saturating_duration_since(Instant::now());
            let answers_in_time =
                |copy: &Copy| copy.arrives.zip(copy.reply).is_some_and(|(arrives, reply)| arrives + reply < left);
            if !copies.iter().any(answers_in_time) {
                give_up_in_time(sim, process, pending);
            }
            if copies.len() > 1 {
                sim.lock().tally.duplicates += 1;
            }
            for copy in copies {
                send_copy(sim, process, pending, copy);
            }
        }
    }
}

fn fate_of(sim: &Sim, process: ProcessId, call: &Call) -> CallFate {
    if sim.is_away(&call.participant) {
        // A participant that is down refuses connections; a request already under way reaches only its proxy.
        return CallFate::Unreachable(Duration::from_millis(2));
    }
    if !sim.reaches(process, &call.participant) {
        return CallFate::Sent(vec![Copy { arrives: None, responder: Responder::Participant, reply: None }]);
    }
    let phase = sim.phase();
    sim.lock().fate.call(call, phase)
}

/// Answers a call whose timeout passed in the queue.
pub(super) fn time_was_up(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>) {
    let failure = Failure::timeout(&pending.call.participant);
    let outcome = not_known(failure, "the timeout passed before the call was sent", Sent::Nothing);
    answer(sim, process, pending, outcome, Health::NotAsked);
}

/// Answers a call at its timeout, unless it has a reply before.
fn give_up_in_time(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>) {
    let (sim, pending) = (sim.clone(), pending.clone());
    tokio::spawn(async move {
        tokio::time::sleep_until(line::give_up_at(&pending)).await;
        let outcome = not_known(Failure::timeout(&pending.call.participant), "no answer in time", Sent::Maybe);
        sim.at(process, move |sim| answer(sim, process, &pending, outcome, Health::Failed));
    });
}

fn send_copy(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>, copy: Copy) {
    let Some(arrives) = copy.arrives else {
        sim.lock().tally.lost_requests += 1;
        sim.note(|_| "network".to_owned(), |trace| format!("loses {}", describe(trace, &pending.call)));
        return;
    };
    let pending = pending.clone();
    sim.after(arrives, move |sim| arrive(sim, process, &pending, copy));
}

fn arrive(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>, copy: Copy) {
    let is_away = sim.is_away(&pending.call.participant) || sim.is_out(Operation::of(&pending.call));
    let there = if is_away { Responder::Only(Intermediary::Busy) } else { copy.responder };
    let Answered { reply, retry_after } = match there {
        Responder::Dying => {
            sim.lock().tally.participant_crashes += 1;
            sim.note(
                |_| pending.call.participant.to_string(),
                |trace| format!("is killed before it decides {}", describe(trace, &pending.call)),
            );
            return;
        }
        Responder::Participant => confirmed(sim, pending, decide(sim, &pending.call)),
        Responder::ParticipantThen(intermediary) => {
            decide(sim, &pending.call);
            answer_of(sim, pending, intermediary)
        }
        Responder::Only(intermediary) => answer_of(sim, pending, intermediary),
    };
    let Some(travels) = copy.reply else {
        sim.lock().tally.lost_replies += 1;
        sim.note(|_| "network".to_owned(), |trace| format!("loses the reply to {}", describe(trace, &pending.call)));
        return;
    };
    let pending = pending.clone();
    sim.after(travels, move |sim| {
        let service = &*pending.call.participant;
        if !sim.reaches(process, service) && !sim.is_away(service) {
            sim.lock().tally.lost_replies += 1;
            return give_up_in_time(sim, process, &pending);
        }
        let node_now = sim.node_now(process);
        let judged = Judged {
            status: reply.status,
            decision: reply.decision,
            action: reply.action,
            retry_after: retry_after.map_or(Duration::ZERO, |text| read_retry_after(text, node_now)),
            body: reply.body.as_bytes(),
        };
        let mutated = mutated_world::judged(service, &pending.call, &judged);
        let outcome = mutated.unwrap_or_else(|| match sim.step(&pending.call.step, service).start {
            Start::Assumed => classify(service, &pending.call, &judged),
            Start::Recorded => classify_by_status(service, &pending.call, &judged),
        });
        let health = Health::of(&outcome);
        settle(sim, process, &pending, outcome, health);
    });
}

/// Makes the participant decide; its decision is durable.
fn decide(sim: &Arc<Sim>, call: &Call) -> Reply {
    let step = sim.step(&call.step, &call.participant);
    let (at, phase) = (sim.now(), sim.phase());
    let reply = {
        let mut inner = sim.lock();
        let is_recorded = inner.log.row(call.saga_id).is_some_and(|row| row.started.contains(&call.step));
        if step.start == Start::Recorded && !is_recorded {
            inner.watched.unrecorded_starts.insert(call.saga_id, call.step.clone());
        }
        let (kind, draw) = match &call.purpose {
            Purpose::Action { .. } => (OperationKind::Action, inner.fate.draw(call)),
            Purpose::Compensation => (OperationKind::Compensation, FailureDraw::Accept),
        };
        let origin = Some(Origin { attempt: call.attempt, epoch: call.epoch });
        let ask = Ask { request: &call.request, origin, draw, at };
        let reply = inner.participants.answer(step, kind, &call.context, &ask);
        if reply.decision.is_some() && !reply.replayed {
            inner.tally.refusals += 1;
        }
        if reply.status == 200 {
            inner.last_replies.insert(Operation::of(call), (call.saga_id, reply.body.clone()));
        }
        let said = inner.fate.says(call, reply.clone(), phase);
        inner.tally.hostile_texts += u64::from(said != reply);
        said
    };
    sim.note(
        |_| call.participant.to_string(),
        |trace| {
            let again = if reply.replayed { " again" } else { "" };
            format!("answers {}{again} to {}", reply.status, describe(trace, call))
        },
    );
    reply
}

/// Withholds the reply of a participant whose standby is cut off: its commit, or the barrier behind its journal, waits for
/// too long, and the front answers 503.
fn confirmed(sim: &Arc<Sim>, pending: &Pending, reply: Reply) -> Answered {
    let mutation = if reply.replayed { Mutation::ReplayWithoutBarrier } else { Mutation::CommitWithoutStandby };
    if sim.confirms(&Database::Participant(pending.call.participant.clone())) || is_mutated(mutation) {
        return reply.into();
    }
    sim.lock().tally.unconfirmed += 1;
    answer_of(sim, pending, Intermediary::Busy)
}

fn answer_of(sim: &Arc<Sim>, pending: &Pending, intermediary: Intermediary) -> Answered {
    sim.note(
        |_| "network".to_owned(),
        |trace| {
            format!(
                "{intermediary:?} in the place of {} for {}",
                pending.call.participant,
                describe(trace, &pending.call)
            )
        },
    );
    intermediaries::answer(sim, &pending.call, intermediary)
}

/// Passes the outcome to the process: later if it is paused, never if it is dead.
fn settle(sim: &Arc<Sim>, process: ProcessId, pending: &Arc<Pending>, outcome: Outcome, health: Health) {
    let pending = pending.clone();
    sim.at(process, move |sim| answer(sim, process, &pending, outcome, health));
}

/// Answers a call, unless it has an answer.
fn answer(sim: &Arc<Sim>, process: ProcessId, pending: &Pending, outcome: Outcome, health: Health) {
    let answer = pending.answer.lock().take();
    let Some(answer) = answer else {
        sim.lock().tally.late_replies += 1;
        return;
    };
    sim.lock().watched.answered(process, &pending.call);
    if health != Health::NotAsked {
        sim.note_at(process, |trace| format!("← {}: {}", describe(trace, &pending.call), shown(&outcome)));
        let now = sim.database_now();
        let inner = &mut *sim.lock();
        if health == Health::Failed {
            inner.watched.failed(process, &pending.call);
        }
        inner.processes[process.0].breaker(&pending.call).learn(health, Instant::now());
        if matches!(outcome, Outcome::Undone(..)) {
            inner.log.wake_waiting(&pending.call.full_name(), now);
        }
    }
    answer.give(outcome);
    line::leave(sim, process, &pending.call.participant);
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
    let kind = match &call.purpose {
        Purpose::Action { .. } => "",
        Purpose::Compensation => "undo ",
    };
    let Call { participant, step, attempt, epoch, .. } = call;
    format!("{participant}: {kind}{step} of {} (attempt {attempt}, epoch {epoch})", trace.name(call.saga_id))
}
