//! The takeover protocol, small enough to be checked exhaustively: every order of events, not only those of some seeds.
//! It is a model beside the code, not the code itself; read it as the protocol's documentation.
//!
//! ```text
//!   node 0, node 1        actors (one an owner; a paused one is one that does not act)
//!      │ claim, epoch + 1    │ ask, ask to undo          │ write, under owner and epoch
//!      ▼                     ▼                           ▼
//!   row: owner, epoch     calls: delivered late,      row: direction, end
//!                         twice, or never
//!                            ▼
//!                         participants: journal and tombstones
//! ```
//! One saga, two nodes, and troubles (a process or an actor dies, a lease expires). The saga is a chain of two compensable
//! steps, with two troubles: so up to three owners in a row, which may all act as the owner; or a graph, two steps beside
//! each other and one behind both, with one trouble. `begin` has been written; a saga without it has had no
//! effect. The model omits reads, uncompensated steps, flags, FAILED and the attention list.
//!
//! [`rules::Rules`] is the protocol as a list of rules. The first two tests show that the properties hold; each of the
//! others disables a rule, or two that cover for each other, and shows the shortest violation.
#![allow(clippy::print_stdout, reason = "shown where a test fails")]

mod graph;
mod model;
mod owner;
mod participant;
mod row;
mod rules;

use std::collections::BTreeSet;

use graph::Graph;
use model::{Event, System, Takeover};
use participant::Journal;
use row::End;
use rules::Rules;
use stateright::{Checker, HasDiscoveries, Model, Path, Property};

const COMPLETED: &str = "COMPLETED has every effect";
const COMPENSATED: &str = "COMPENSATED has no effect, then and for ever";
const ONE_END: &str = "what clients are told is what the log says";
const IN_ORDER: &str = "a live effect has those of the steps before it";
const ENDS: &str = "nothing is left to happen only when the saga has ended";

impl Model for Takeover {
    type State = System;
    type Action = Event;

    fn init_states(&self) -> Vec<System> {
        vec![System::begun(&self.graph, &self.rules)]
    }

    fn actions(&self, system: &System, events: &mut Vec<Event>) {
        self.what_may_happen(system, events);
    }

    /// `None` if nothing would change: a repetition without effect is no step. Every step uses up a budget or adds
    /// something permanent (a sent call, a journal entry, an owner's knowledge, a raised epoch), so the graph has no
    /// cycles, and a run ends in a state without steps.
    fn next_state(&self, system: &System, event: Event) -> Option<System> {
        let mut next = system.clone();
        self.happens(&mut next, event);
        (next != *system).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(COMPLETED, |model: &Takeover, system: &System| {
                let journals = &system.journals[..model.graph.before.len()];
                system.row.ended != Some(End::Completed) || journals.iter().all(Journal::has_live_effect)
            }),
            Property::always(COMPENSATED, |_, system: &System| {
                system.row.ended != Some(End::Compensated) || !system.journals.iter().any(Journal::has_live_effect)
            }),
            Property::always(ONE_END, |_, system: &System| {
                system.told.iter().all(|told| system.row.ended == Some(*told))
            }),
            Property::always(IN_ORDER, |model: &Takeover, system: &System| {
                let is_live = |step: usize| system.journals[step].has_live_effect();
                let has_those_before = |step: usize| model.graph.before[step].iter().all(|earlier| is_live(*earlier));
                (0..model.graph.before.len()).all(|step| !is_live(step) || has_those_before(step))
            }),
            // On a graph without cycles this means "every run ends with the saga's end".
            Property::always(ENDS, |model: &Takeover, system: &System| {
                system.row.ended.is_some() || model.can_go_on(system)
            }),
            // These must be reachable: a model without failures proves nothing.
            Property::sometimes("a successor completes", |_, system: &System| {
                system.row.epoch > 1 && system.row.ended == Some(End::Completed)
            }),
            Property::sometimes("a successor undoes", |_, system: &System| {
                system.row.epoch > 1
                    && system.row.ended == Some(End::Compensated)
                    && system.journals.contains(&Journal::Undone)
            }),
            Property::sometimes("an undo comes before its action", |_, system: &System| {
                system.journals.contains(&Journal::Forbidden)
            }),
        ];
        if self.graph.troubles > 1 {
            let three = |_: &Takeover, system: &System| system.owners.len() == 3;
            properties.push(Property::sometimes("three owners act side by side", three));
        }
        properties
    }
}

type Run = Path<System, Event>;

const THREADS: usize = 2;

/// Checks the protocol under these rules in every state, without a time limit.
fn assert_holds(graph: Graph, rules: Rules) {
    let checker = Takeover { graph, rules }.checker().threads(THREADS).spawn_bfs().join();
    println!("{} states, up to {} events long", checker.unique_state_count(), checker.max_depth());
    let found = checker.discoveries();
    for property in (Takeover { graph, rules }).properties() {
        let is_promise = !ALWAYS.contains(&property.name);
        match found.get(property.name) {
            Some(run) if !is_promise => panic!("{} is broken:\n{}", property.name, story(run)),
            None if is_promise => panic!("it never happens that {}", property.name),
            Some(_) | None => {}
        }
    }
}

const ALWAYS: [&str; 5] = [COMPLETED, COMPENSATED, ONE_END, IN_ORDER, ENDS];

/// Asserts that these rules violate this property, and prints the shortest run to it.
fn assert_breaks(graph: Graph, rules: Rules, promise: &'static str) {
    let until_found = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
    let checker = Takeover { graph, rules }.checker().threads(THREADS).finish_when(until_found).spawn_bfs().join();
    match checker.discovery(promise) {
        Some(run) => println!("{promise}: broken, after {} states:\n{}", checker.unique_state_count(), story(&run)),
        None => panic!("{promise}: not broken in any of {} states", checker.unique_state_count()),
    }
}

/// Formats a run, one event per line.
fn story(run: &Run) -> String {
    let events = run.clone().into_actions();
    events.iter().enumerate().map(|(place, event)| format!("{:>3}. {event:?}\n", place + 1)).collect()
}

#[test]
fn the_protocol_keeps_its_promises_whatever_happens_in_whatever_order() {
    assert_holds(Graph::CHAIN, Rules::PROTOCOL);
}

#[test]
fn nothing_breaks_where_leases_are_ignored() {
    assert_holds(Graph::CHAIN, Rules { claims_wait_for_the_lease: false, ..Rules::PROTOCOL });
}

#[test]
fn without_a_raised_epoch_an_earlier_owner_ends_what_it_knows_only_half_of() {
    assert_breaks(Graph::CHAIN, Rules { claims_raise_the_epoch: false, ..Rules::PROTOCOL }, COMPENSATED);
}

/// Both checks are disabled: every write also checks the owner's process, which would hide a missing epoch check in
/// most runs.
#[test]
fn without_the_check_of_owner_and_epoch_an_earlier_owner_ends_what_it_knows_only_half_of() {
    let rules = Rules { writes_check_the_epoch: false, writes_check_the_owner: false, ..Rules::PROTOCOL };
    assert_breaks(Graph::CHAIN, rules, COMPENSATED);
}

#[test]
fn without_a_durable_turn_before_the_first_undo_a_successor_completes_what_is_being_undone() {
    assert_breaks(Graph::CHAIN, Rules { undo_waits_for_the_durable_turn: false, ..Rules::PROTOCOL }, COMPLETED);
}

#[test]
fn without_tombstones_an_action_arrives_after_its_undo() {
    assert_breaks(Graph::CHAIN, Rules { undos_leave_tombstones: false, ..Rules::PROTOCOL }, COMPENSATED);
}

#[test]
fn without_a_refusal_of_what_was_undone_an_action_happens_twice() {
    assert_breaks(Graph::CHAIN, Rules { what_was_undone_is_refused: false, ..Rules::PROTOCOL }, COMPENSATED);
}

#[test]
fn without_the_assumption_that_everything_may_have_happened_a_successor_leaves_effects() {
    assert_breaks(Graph::CHAIN, Rules { successors_undo_every_step: false, ..Rules::PROTOCOL }, COMPENSATED);
}

#[test]
fn without_successors_a_crash_leaves_a_saga_without_end() {
    assert_breaks(Graph::CHAIN, Rules { the_dead_are_succeeded: false, ..Rules::PROTOCOL }, ENDS);
}

#[test]
fn steps_beside_each_other_keep_the_promises_too() {
    assert_holds(Graph::JOIN, Rules::PROTOCOL);
}

#[test]
fn a_step_that_does_not_wait_for_those_before_it_has_an_effect_without_theirs() {
    assert_breaks(Graph::JOIN, Rules { steps_wait_for_those_before: false, ..Rules::PROTOCOL }, IN_ORDER);
}

#[test]
fn a_step_that_is_undone_before_those_behind_it_leaves_their_effects_without_its_own() {
    assert_breaks(Graph::JOIN, Rules { steps_behind_are_undone_first: false, ..Rules::PROTOCOL }, IN_ORDER);
}

#[test]
fn a_step_called_beside_a_refused_one_is_left_where_it_is_forgotten() {
    let rules = Rules { steps_beside_a_refused_one_may_have_happened: false, ..Rules::PROTOCOL };
    assert_breaks(Graph::JOIN, rules, COMPENSATED);
}
