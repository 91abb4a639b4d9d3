//! The whole system and everything that may happen to it.

use std::collections::{BTreeMap, BTreeSet};

use stateright::Model;

use crate::owner::{Owner, STEPS, Want};
use crate::participant::{Decision, Journal};
use crate::row::{Change, Direction, End, Process, Report, Row, Write};
use crate::rules::Rules;

const NODES: usize = 2;
const NOBODY: usize = 0;

/// The takeover protocol under some rules.
pub(crate) struct Takeover {
    pub(crate) rules: Rules,
}

/// A state of the system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct System {
    pub(crate) row: Row,
    pub(crate) journals: [Journal; STEPS],
    /// The actors that are alive, whether they still own the saga or not, in the order of their claims.
    pub(crate) owners: BTreeMap<usize, Owner>,
    nodes: [Node; NODES],
    /// Every call that was ever sent: it may arrive at any time, any number of times, or never.
    calls: BTreeSet<Call>,
    /// Writes whose writers are gone: each may still arrive, once.
    stray_writes: BTreeSet<Write>,
    /// What clients were told.
    pub(crate) told: BTreeSet<End>,
    pub(crate) claims: usize,
    troubles_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Node {
    incarnation: u8,
    has_lease: bool,
}

/// How often something may go wrong in a run: a process or an actor dies, or a lease runs out. Two are enough for an owner
/// that is succeeded, and succeeds its successor.
const TROUBLES: u8 = 2;

/// Where leases are ignored, early claims are trouble enough.
const TROUBLES_WITHOUT_LEASES: u8 = 0;

/// Where leases are ignored, a saga of a living owner is claimed as long as it had fewer owners than this; without a bound
/// two nodes would take it from each other for ever.
const CLAIMS_OF_LIVING_OWNERS: usize = 3;

/// A call of an owner, by the number of its claim, or of one that is gone ([`NOBODY`]): who sent it matters only to whoever
/// waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Call {
    owner: usize,
    step: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Action,
    Compensation,
}

/// Whether whoever waits for an answer hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Heard,
    LostOnTheWay,
}

/// Something that happens. Owners are named by the number of their claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// An owner sends the call that it wants.
    Send { owner: usize },
    /// A call arrives, for the first time or again.
    Arrive { call: Call, decision: Decision, answer: Answer },
    /// An owner finds a reason to turn back.
    Turn { owner: usize },
    /// The write that an owner wants reaches the log.
    WriteArrives { owner: usize, answer: Answer },
    /// A write of an owner that is gone reaches the log.
    StrayWriteArrives { write: Write },
    /// An actor dies; its process lives.
    ActorDies { owner: usize },
    /// A process dies, with all of its actors.
    Crash { node: usize },
    /// A process starts, or comes back from a pause, and has a lease again.
    Lease { node: usize },
    /// A lease runs out, and its holder does not notice.
    LeaseRunsOut { node: usize },
    /// A node makes the saga its own.
    Claim { node: usize },
}

impl System {
    /// A saga that node 0 has just begun.
    pub(crate) fn begun(rules: &Rules) -> Self {
        let nodes = [Node { incarnation: 1, has_lease: true }; NODES];
        let owner = Process { node: 0, incarnation: 1 };
        Self {
            row: Row { owner, epoch: 1, direction: Direction::Forward, ended: None },
            journals: [Journal::Empty; STEPS],
            owners: BTreeMap::from([(1, Owner::first(owner))]),
            nodes,
            calls: BTreeSet::new(),
            stray_writes: BTreeSet::new(),
            told: BTreeSet::new(),
            claims: 1,
            troubles_left: if rules.claims_wait_for_the_lease { TROUBLES } else { TROUBLES_WITHOUT_LEASES },
        }
    }

    fn process(&self, node: usize) -> Process {
        Process { node, incarnation: self.nodes[node].incarnation }
    }

    /// Whether the row's owner is a process that holds a lease.
    fn owner_looks_alive(&self) -> bool {
        let Process { node, incarnation } = self.row.owner;
        self.nodes[node].has_lease && self.nodes[node].incarnation == incarnation
    }

    /// Whether the newest claim's actor is gone.
    fn is_orphan(&self) -> bool {
        !self.owners.contains_key(&self.claims)
    }

    /// An actor ends without having heard what became of its write, which may still arrive.
    fn lose(&mut self, owner: usize, rules: &Rules) {
        if let Some(gone) = self.remove(owner)
            && let Want::Write(change) = gone.wants(rules)
        {
            self.stray_writes.insert(gone.write(change));
        }
    }

    fn remove(&mut self, owner: usize) -> Option<Owner> {
        let calls = std::mem::take(&mut self.calls);
        let orphaned = |call: Call| if call.owner == owner { Call { owner: NOBODY, ..call } } else { call };
        self.calls = calls.into_iter().map(orphaned).collect();
        self.owners.remove(&owner)
    }
}

impl Takeover {
    pub(crate) fn can_go_on(&self, system: &System) -> bool {
        let mut events = Vec::new();
        self.what_may_happen(system, &mut events);
        events.into_iter().any(|event| self.next_state(system, event).is_some())
    }

    pub(crate) fn what_may_happen(&self, system: &System, events: &mut Vec<Event>) {
        let answers = [Answer::Heard, Answer::LostOnTheWay];
        for (&owner, actor) in &system.owners {
            match actor.wants(&self.rules) {
                Want::Act(_) | Want::Undo(_) => events.push(Event::Send { owner }),
                Want::Write(_) => events.extend(answers.map(|answer| Event::WriteArrives { owner, answer })),
            }
            if actor.may_turn() {
                events.push(Event::Turn { owner });
            }
        }
        for &call in &system.calls {
            // A refusal by the first step leaves nothing to undo; the last one's leaves everything.
            let decisions =
                if call.step == STEPS - 1 { &[Decision::Accept, Decision::Refuse][..] } else { &[Decision::Accept] };
            let answers = if call.owner == NOBODY { &[Answer::LostOnTheWay][..] } else { &answers };
            for &decision in decisions {
                events.extend(answers.iter().map(|&answer| Event::Arrive { call, decision, answer }));
            }
        }
        events.extend(system.stray_writes.iter().map(|&write| Event::StrayWriteArrives { write }));
        // Who owns a saga that has ended is no question any more; what is on its way still arrives.
        if system.row.ended.is_some() {
            return;
        }
        for node in 0..NODES {
            if self.may_claim(system, node) {
                events.push(Event::Claim { node });
            }
            if !system.nodes[node].has_lease {
                events.push(Event::Lease { node });
            }
        }
        if system.troubles_left > 0 {
            events.extend(system.owners.keys().map(|&owner| Event::ActorDies { owner }));
            // What becomes of a node that owns nothing shows nowhere.
            let Process { node, .. } = system.row.owner;
            if system.owner_looks_alive() {
                events.extend([Event::Crash { node }, Event::LeaseRunsOut { node }]);
            }
        }
    }

    fn may_claim(&self, system: &System, node: usize) -> bool {
        if !system.nodes[node].has_lease || !self.rules.the_dead_are_succeeded {
            return false;
        }
        let is_own = system.row.owner == system.process(node);
        match is_own {
            // An actor that died is rebuilt on its own node: a takeover from oneself.
            true => system.is_orphan(),
            false if system.owner_looks_alive() => {
                !self.rules.claims_wait_for_the_lease && system.claims < CLAIMS_OF_LIVING_OWNERS
            }
            false => true,
        }
    }

    pub(crate) fn happens(&self, system: &mut System, event: Event) {
        let rules = &self.rules;
        match event {
            Event::Send { owner } => {
                let Some(actor) = system.owners.get_mut(&owner) else { return };
                let (step, kind) = match actor.wants(rules) {
                    Want::Act(step) => (step, Kind::Action),
                    Want::Undo(step) => (step, Kind::Compensation),
                    Want::Write(_) => return,
                };
                if kind == Kind::Action {
                    actor.asked(step);
                }
                system.calls.insert(Call { owner, step, kind });
            }
            Event::Arrive { call, decision, answer } => arrive(system, call, decision, answer, rules),
            Event::Turn { owner } => {
                if let Some(actor) = system.owners.get_mut(&owner) {
                    actor.turn();
                }
            }
            Event::WriteArrives { owner, answer } => {
                let Some(actor) = system.owners.get(&owner) else { return };
                let Want::Write(change) = actor.wants(rules) else { return };
                let report = system.row.write(actor.write(change), rules);
                if answer == Answer::Heard {
                    hear(system, owner, change, report);
                }
            }
            Event::StrayWriteArrives { write } => {
                system.stray_writes.remove(&write);
                system.row.write(write, rules);
            }
            Event::ActorDies { owner } => {
                system.troubles_left -= 1;
                system.lose(owner, rules);
            }
            Event::Crash { node } => {
                system.troubles_left -= 1;
                let process = system.process(node);
                let gone: Vec<usize> = system
                    .owners
                    .iter()
                    .filter(|(_, actor)| actor.process == process)
                    .map(|(&owner, _)| owner)
                    .collect();
                gone.into_iter().for_each(|owner| system.lose(owner, rules));
                let node = &mut system.nodes[node];
                (node.incarnation, node.has_lease) = (node.incarnation + 1, false);
            }
            Event::Lease { node } => system.nodes[node].has_lease = true,
            Event::LeaseRunsOut { node } => {
                system.troubles_left -= 1;
                system.nodes[node].has_lease = false;
            }
            Event::Claim { node } => {
                let process = system.process(node);
                system.row.claim(process, rules);
                system.claims += 1;
                system.owners.insert(system.claims, Owner::successor(&system.row, rules));
            }
        }
    }
}

fn arrive(system: &mut System, call: Call, decision: Decision, answer: Answer, rules: &Rules) {
    let Call { owner, step, kind } = call;
    let journal = &mut system.journals[step];
    let is_done = match kind {
        Kind::Action => journal.act(decision, rules),
        Kind::Compensation => {
            journal.undo(rules);
            true
        }
    };
    if answer == Answer::Heard
        && let Some(actor) = system.owners.get_mut(&owner)
    {
        match kind {
            Kind::Action => actor.hears_of_action(step, is_done),
            Kind::Compensation => actor.hears_of_undo(step),
        }
    }
}

fn hear(system: &mut System, owner: usize, change: Change, report: Report) {
    match (report, change) {
        (Report::Durable, Change::TurnBack) => {
            if let Some(actor) = system.owners.get_mut(&owner) {
                actor.turn_is_durable();
            }
        }
        (Report::Durable, Change::End(end)) => {
            system.told.insert(end);
            system.remove(owner);
        }
        (Report::Lost, _) => drop(system.remove(owner)),
        (Report::NotWritten, _) => {}
    }
}
