//! Failure at every node: each step of each definition × the fate of its action × the fate of compensations × a process
//! killed before or after each kind of write. No step is named here, so a new one is covered at once.

use parking_lot::Mutex;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::fate::{AfterDeath, CallFate, Copy, Fate, FaultPhase, Intermediary, LookEnd, LookFate, Responder};
use crate::fate::{WriteEnd, WriteFate};
use crate::participants::FailureDraw;
use crate::run::run_with;
use crate::{Faults, Plan, Sagas, Tracing};
use orchestrator::checkout::known_definitions;
use saga_engine::definition::{Definition, Start};
use saga_engine::record::LogWrite;
use saga_engine::world::{Call, Purpose};

/// Fate of every attempt at a step's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActionFate {
    Fine,
    Refused,
    DoneButUnknown,
    NotDoneAndUnknown,
    /// It arrives after its timeout, possibly after its compensation.
    TooLate,
    Doubled,
}

/// Fate of compensations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UndoFate {
    Fine,
    FailsForAWhile,
    /// Until the faults of the run end.
    FailsForGood,
}

/// The write before or after which the process is killed, once.
type Kill = Option<(&'static str, WriteEnd)>;

const WRITES: [&str; 6] = ["begin", "begin and end", "outputs", "turn back", "mark failed", "end"];
const MOMENT: Duration = Duration::from_millis(2);
/// Number of failing attempts at a compensation that fails for a while.
const A_WHILE: u32 = 3;

/// Observations of a case.
#[derive(Default)]
struct Observed {
    undone: BTreeSet<SmolStr>,
    killed: bool,
}

struct Scripted {
    step: SmolStr,
    action: ActionFate,
    undo: UndoFate,
    kill: Kill,
    undo_attempts: BTreeMap<SmolStr, u32>,
    observed: Arc<Mutex<Observed>>,
}

fn copy(arrives: Duration, responder: Responder) -> Copy {
    Copy { arrives: Some(arrives), responder, reply: Some(MOMENT) }
}

impl Fate for Scripted {
    fn call(&mut self, call: &Call, phase: FaultPhase) -> CallFate {
        let fine = copy(MOMENT, Responder::Participant);
        let copies = match call.purpose {
            Purpose::Compensation => {
                self.observed.lock().undone.insert(call.step.clone());
                let attempts = self.undo_attempts.entry(call.step.clone()).or_default();
                *attempts += 1;
                let fails = match self.undo {
                    UndoFate::Fine => false,
                    UndoFate::FailsForAWhile => *attempts <= A_WHILE,
                    UndoFate::FailsForGood => phase == FaultPhase::Wild,
                };
                vec![if fails { copy(MOMENT, Responder::Only(Intermediary::BadGateway)) } else { fine }]
            }
            Purpose::Action { .. } if call.step != self.step => vec![fine],
            Purpose::Action { .. } => match self.action {
                ActionFate::Fine | ActionFate::Refused => vec![fine],
                ActionFate::DoneButUnknown => vec![Copy { reply: None, ..fine }],
                ActionFate::NotDoneAndUnknown => vec![Copy { arrives: None, ..fine }],
                ActionFate::TooLate => vec![copy(call.timeout + Duration::from_secs(12), Responder::Participant)],
                ActionFate::Doubled => vec![fine, copy(Duration::from_secs(1), Responder::Participant)],
            },
        };
        CallFate::Sent(copies)
    }

    fn draw(&mut self, call: &Call) -> FailureDraw {
        if call.step == self.step && self.action == ActionFate::Refused {
            FailureDraw::Refuse
        } else {
            FailureDraw::Accept
        }
    }

    fn write(&mut self, write: &LogWrite, _: FaultPhase) -> WriteFate {
        let mut end = WriteEnd::Committed;
        if let Some((name, killed)) = self.kill
            && name == write.change.name()
        {
            (end, self.kill) = (killed, None);
            self.observed.lock().killed = true;
        }
        WriteFate { commits: MOMENT, end, report: MOMENT, pause: None, after_death: AfterDeath::No }
    }

    fn look(&mut self, _: FaultPhase) -> LookFate {
        LookFate { takes: MOMENT, end: LookEnd::Comes }
    }

    fn random(&mut self) -> f64 {
        0.5
    }
}

/// Runs one case; returns whether its kill took place.
fn try_case(definition: &Arc<Definition>, step: &SmolStr, action: ActionFate, undo: UndoFate, kill: Kill) -> bool {
    // The client of this seed orders a product that exists, unlike one in ten; it has a key and repeats its order.
    const SEED: u64 = 3;
    let observed = Arc::new(Mutex::new(Observed::default()));
    let fate =
        Scripted { step: step.clone(), action, undo, kill, undo_attempts: BTreeMap::new(), observed: observed.clone() };
    let plan = Plan {
        nodes: Some(2),
        sagas: Some(1),
        definition: Sagas::Checkout,
        faults: Faults { key_rate: 1.0, calm_after_ms: 45_000, ..Faults::none() },
        tracing: Tracing::Off,
    };
    let report = run_with(SEED, &plan, vec![definition.clone()], Box::new(fate));
    let case = format!("{}: {step} {action:?}, undo {undo:?}, kill {kill:?}", definition.name);
    assert!(report.violations.is_empty(), "{case}: {:#?}", report.violations);
    let observed = observed.lock();
    assert_eq!(report.tally.sagas, 1, "{case}");
    let is_fine = matches!(action, ActionFate::Fine | ActionFate::Doubled);
    // A participant without a journal may refuse what a later owner repeats, since it exists already: the saga turns back
    // before later steps have started.
    let may_turn_back = kill.is_some() && !has_tombstones(definition);
    let completes = is_fine && !(may_turn_back && report.tally.compensated == 1);
    assert_eq!((report.tally.completed, report.tally.compensated), if completes { (1, 0) } else { (0, 1) }, "{case}");
    if undo == UndoFate::FailsForGood && !observed.undone.is_empty() {
        assert!(report.tally.failed_marks > 0, "{case}: nobody was called");
    }
    // Every step that may have happened is undone: the steps before it, those called together with it, and the step
    // itself unless it was refused.
    let index = definition.steps().iter().position(|row| row.name == *step).unwrap();
    let is_effect = !definition.steps()[index].is_read_only();
    let may_have_happened = |other: usize| {
        definition.before(index).any(|before| before == other)
            || (other != index && is_effect && definition.predecessors(other) == definition.predecessors(index))
            || (other == index && action != ActionFate::Refused)
    };
    for (position, row) in definition.steps().iter().enumerate() {
        if !is_fine && !may_turn_back && row.compensation().is_some() && may_have_happened(position) {
            assert!(observed.undone.contains(&row.name), "{case}: {} is not undone", row.name);
        }
    }
    observed.killed
}

/// Runs all cases of a definition for each of these steps. A participant without tombstones is safe from everything but
/// an action that arrives after its timeout, or twice.
fn try_all(definition: &Arc<Definition>, steps: &[&SmolStr], undos: &[UndoFate], fired: &mut BTreeSet<String>) {
    use ActionFate::{DoneButUnknown, Doubled, Fine, NotDoneAndUnknown, Refused, TooLate};
    let mut kills: Vec<Kill> = vec![None];
    kills.extend(
        WRITES
            .iter()
            .flat_map(|write| [WriteEnd::KilledBefore, WriteEnd::KilledAfter].map(|killed| Some((*write, killed)))),
    );
    for step in steps {
        for action in [Fine, Refused, DoneButUnknown, NotDoneAndUnknown, TooLate, Doubled] {
            if matches!(action, TooLate | Doubled) && !has_tombstones(definition) {
                continue;
            }
            for undo in undos {
                for kill in &kills {
                    if try_case(definition, step, action, *undo, *kill) {
                        fired.extend(kill.map(|(write, killed)| format!("{write} {killed:?}")));
                    }
                }
            }
        }
    }
}

fn has_tombstones(definition: &Definition) -> bool {
    definition.steps().iter().all(|step| step.start == Start::Assumed)
}

const UNDOS: [UndoFate; 3] = [UndoFate::Fine, UndoFate::FailsForAWhile, UndoFate::FailsForGood];

fn every_step(definition: &Definition) -> Vec<&SmolStr> {
    definition.steps().iter().map(|step| &step.name).collect()
}

#[test]
fn failure_at_every_node_ends_as_it_must() {
    let mut fired = BTreeSet::new();
    for definition in known_definitions().unwrap().into_iter().map(Arc::new) {
        try_all(&definition, &every_step(&definition), &UNDOS, &mut fired);
    }
    assert_eq!(fired.len(), 2 * WRITES.iter().filter(|write| **write != "outputs").count(), "{fired:?}");
}

#[test]
fn failure_at_every_node_of_a_graph_ends_as_it_must() {
    let mut fired = BTreeSet::new();
    for (sagas, undos) in [(Sagas::Diamond, &UNDOS[1..]), (Sagas::Status, &UNDOS[1..2])] {
        let definition = &sagas.definitions(0).unwrap()[0];
        try_all(definition, &every_step(definition), undos, &mut fired);
    }
    // The branches of a fan-out are alike.
    let fan_out = &Sagas::FanOut.definitions(0).unwrap()[0];
    let steps = ["fan-out-read1", "fan-out-a", "fan-out-last"].map(SmolStr::new_static);
    try_all(fan_out, &steps.iter().collect::<Vec<_>>(), &UNDOS[1..2], &mut fired);
    assert_eq!(fired.len(), 2 * WRITES.len(), "some kill never took place: {fired:?}");
}
