//! The state of the whole system, and its events.

use std::collections::{BTreeMap, BTreeSet};

use stateright::Model;

use crate::graph::{Graph, MOST_STEPS};
use crate::owner::{Owner, Want};
use crate::participant::{Decision, Journal};
use crate::row::{Change, Direction, End, Process, Report, Row, Write};
use crate::rules::Rules;

const NODES: usize = 2;
const NOBODY: usize = 0;

/// The takeover protocol under some rules.
pub(crate) struct Takeover {
    pub(crate) graph: Graph,
    pub(crate) rules: Rules,
}

/// A state of the system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct System {
    pub(crate) row: Row,
    pub(crate) journals: [Journal; MOST_STEPS],
    /// The living actors in the order of their claims, including those that no longer own the saga.
    pub(crate) owners: BTreeMap<usize, Owner>,
    nodes: [Node; NODES],
    /// All calls ever sent: each may arrive at any time, any number of times, or never.
    calls: BTreeSet<Call>,
    /// Writes whose writers have ended: each may still arrive, once.
    stray_writes: BTreeSet<Write>,
    /// The ends reported to clients.
    pub(crate) told: BTreeSet<End>,
    pub(crate) claims: usize,
    troubles_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Node {
    incarnation: u8,
    has_lease: bool,
}

/// If leases are ignored, early claims are failures enough.
const TROUBLES_WITHOUT_LEASES: u8 = 0;

/// If leases are ignored, a living owner's saga may be claimed until there were this many owners; without a bound two
/// nodes would take it from each other for ever.
const CLAIMS_OF_LIVING_OWNERS: usize = 3;

/// A call of an owner, identified by the number of its claim, or of one that has ended ([`NOBODY`]): the sender matters
/// only for the delivery of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Call {
    owner: usize,
    step: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Action,
    Compensation,
}

/// Whether the caller receives an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Heard,
    LostOnTheWay,
}

/// An event. Owners are identified by the number of their claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// An owner sends a call that is due.
    Send { owner: usize, step: usize, kind: Kind },
    /// A call arrives, for the first time or repeatedly.
    Arrive { call: Call, decision: Decision, answer: Answer },
    /// An owner finds a reason to turn back.
    Turn { owner: usize },
    /// An owner's next write reaches the log.
    WriteArrives { owner: usize, answer: Answer },
    /// A write of an owner that has ended reaches the log.
    StrayWriteArrives { write: Write },
    /// An actor dies; its process lives.
    ActorDies { owner: usize },
    /// A process dies, with all of its actors.
    Crash { node: usize },
    /// A process starts or resumes after a pause, and gets a lease.
    Lease { node: usize },
    /// A lease expires unnoticed by its holder.
    LeaseRunsOut { node: usize },
    /// A node claims the saga.
    Claim { node: usize },
}

impl System {
    /// A saga that node 0 has just begun.
    pub(crate) fn begun(graph: &Graph, rules: &Rules) -> Self {
        let nodes = [Node { incarnation: 1, has_lease: true }; NODES];
        let owner = Process { node: 0, incarnation: 1 };
        Self {
            row: Row { owner, epoch: 1, direction: Direction::Forward, ended: None },
            journals: [Journal::Empty; MOST_STEPS],
            owners: BTreeMap::from([(1, Owner::first(owner))]),
            nodes,
            calls: BTreeSet::new(),
            stray_writes: BTreeSet::new(),
            told: BTreeSet::new(),
            claims: 1,
            troubles_left: if rules.claims_wait_for_the_lease { graph.troubles } else { TROUBLES_WITHOUT_LEASES },
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

    /// Whether the actor of the newest claim has ended.
    fn is_orphan(&self) -> bool {
        !self.owners.contains_key(&self.claims)
    }

    /// Ends an actor whose write may still arrive.
    fn lose(&mut self, owner: usize, graph: &Graph, rules: &Rules) {
        if let Some(gone) = self.remove(owner)
            && let Some(change) = gone.wants_to_write(graph, rules)
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
            for want in actor.wants(&self.graph, &self.rules) {
                match want {
                    Want::Act(step) => events.push(Event::Send { owner, step, kind: Kind::Action }),
                    Want::Undo(step) => events.push(Event::Send { owner, step, kind: Kind::Compensation }),
                    Want::Write(_) => events.extend(answers.map(|answer| Event::WriteArrives { owner, answer })),
                }
            }
            if actor.may_turn(&self.graph) {
                events.push(Event::Turn { owner });
            }
        }
        for &call in &system.calls {
            let may_refuse = self.graph.refusing.contains(&call.step);
            let decisions = if may_refuse { &[Decision::Accept, Decision::Refuse][..] } else { &[Decision::Accept] };
            let answers = if call.owner == NOBODY { &[Answer::LostOnTheWay][..] } else { &answers };
            for &decision in decisions {
                events.extend(answers.iter().map(|&answer| Event::Arrive { call, decision, answer }));
            }
        }
        events.extend(system.stray_writes.iter().map(|&write| Event::StrayWriteArrives { write }));
        // An ended saga has no further claims; calls and writes in transit still arrive.
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
            // Failures of a node that owns nothing have no effect.
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
            // A dead actor is rebuilt on its own node: a takeover from itself.
            true => system.is_orphan(),
            false if system.owner_looks_alive() => {
                !self.rules.claims_wait_for_the_lease && system.claims < CLAIMS_OF_LIVING_OWNERS
            }
            false => true,
        }
    }

    pub(crate) fn happens(&self, system: &mut System, event: Event) {
        let (graph, rules) = (&self.graph, &self.rules);
        match event {
            Event::Send { owner, step, kind } => {
                let Some(actor) = system.owners.get_mut(&owner) else { return };
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
                let Some(change) = actor.wants_to_write(graph, rules) else { return };
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
                system.lose(owner, graph, rules);
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
                gone.into_iter().for_each(|owner| system.lose(owner, graph, rules));
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
            Kind::Action => actor.hears_of_action(step, is_done, rules),
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
