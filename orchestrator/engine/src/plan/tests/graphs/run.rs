//! One run: an owner that follows the plan, its row, its participants, and what goes wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::DateTime;
use serde_json::json;
use smol_str::SmolStr;

use super::graph::Graph;
use crate::Status;
use crate::definition::{Definition, Effect, Outputs, Start};
use crate::log::{Action, Direction, Event, OutputsInLog, Recovered, SagaLog, StepView, Undo};
use crate::outcome::{Cause, Failure, Found, Sent};
use crate::plan::{self, Decision};
use crate::takeover::LeftBy;

/// The most events of a run: more than any run needs whose choices are used up.
const MOST_EVENTS: usize = 5_000;

/// The most owners of a run.
const MOST_OWNERS: usize = 4;

/// Random choices of a run. Once they are used up, everything succeeds.
#[derive(Clone, Default)]
pub(super) struct Choices(pub(super) Vec<u8>);

/// On one line.
impl fmt::Debug for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

struct Draws(std::vec::IntoIter<u8>);

impl Draws {
    /// Draws a number below `most`; 0 is the choice without trouble.
    fn draw(&mut self, most: usize) -> usize {
        usize::from(self.0.next().unwrap_or_default()) % most
    }
}

/// The decision of a participant about a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Journal {
    #[default]
    Empty,
    Done,
    Refused,
    Undone,
    /// A tombstone.
    Forbidden,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Action,
    Compensation,
}

#[derive(Clone, Debug)]
struct Row {
    outputs: Outputs,
    started: Vec<SmolStr>,
    direction: Direction,
    cause: Option<String>,
    status: Status,
    timeline: Vec<StepView>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Begin { ended: bool },
    Outputs,
    TurnBack,
    MarkFailed,
    End(Status),
}

pub(super) struct Run {
    definition: Arc<Definition>,
    draws: Draws,
    log: SagaLog,
    row: Option<Row>,
    write: Option<(Write, Row)>,
    in_flight: BTreeMap<usize, Kind>,
    journals: Vec<Journal>,
    /// Reads that have answered.
    answered: Vec<bool>,
    /// Calls of dead owners, and requests whose caller gave up: each may still arrive.
    strays: Vec<(usize, Kind)>,
    owners: usize,
    pub(super) writes: usize,
    pub(super) coverage: Coverage,
}

/// How often a run met a situation that the properties are about.
#[derive(Default)]
pub(super) struct Coverage {
    pub(super) forward_owners: usize,
    pub(super) undoing_owners: usize,
    pub(super) owners_with_starts: usize,
    pub(super) woken: usize,
    pub(super) in_flight_at_turn: usize,
    pub(super) parallel_compensations: usize,
    pub(super) full: usize,
}

impl Run {
    pub(super) fn new(graph: &Graph, choices: Choices) -> Run {
        let definition = graph.definition();
        let steps = definition.steps().len();
        Run {
            log: SagaLog::new(&definition),
            definition,
            draws: Draws(choices.0.into_iter()),
            row: None,
            write: None,
            in_flight: BTreeMap::new(),
            journals: vec![Journal::Empty; steps],
            answered: vec![false; steps],
            strays: Vec::new(),
            owners: 1,
            writes: 0,
            coverage: Coverage::default(),
        }
    }

    pub(super) fn ended(&self) -> Option<Status> {
        self.row.as_ref().filter(|row| row.ended).map(|row| row.status)
    }

    /// Runs until the saga has ended, or its owner died before it was in the log.
    pub(super) fn run_to_the_end(&mut self) {
        for _ in 0..MOST_EVENTS {
            if self.write.is_none() {
                self.decide();
            }
            if !self.something_happens() {
                assert!(self.journals.iter().all(|journal| *journal == Journal::Empty), "an effect without a row");
                return;
            }
            if self.ended().is_some() {
                break;
            }
        }
        let status = self.ended().unwrap_or_else(|| panic!("no end: {:#?}", self.log));
        while let Some((step, kind)) = self.strays.pop() {
            self.arrives(step, kind);
        }
        for (step, journal) in self.definition.clone().steps().iter().zip(&self.journals) {
            match (status, &step.effect) {
                (Status::Completed, Effect::Compensable(_) | Effect::Uncompensated) => {
                    assert_eq!(*journal, Journal::Done, "{} of a completed saga", step.name);
                }
                (Status::Compensated, Effect::Compensable(_)) => {
                    assert_ne!(*journal, Journal::Done, "{} of a compensated saga", step.name);
                }
                (_, Effect::ReadOnly { .. } | Effect::Uncompensated) => {}
                (other, _) => panic!("{other} is no end"),
            }
        }
        if self.owners == 1 {
            let recorded = self.definition.steps().iter().filter(|step| step.start == Start::Recorded).count();
            assert!(self.writes <= 4 + recorded, "{} writes", self.writes);
        }
    }

    fn apply(&mut self, event: Event) {
        self.log.apply(event, DateTime::UNIX_EPOCH).unwrap_or_else(|error| panic!("{error}\n{:#?}", self.log));
    }

    fn name(&self, step: usize) -> &SmolStr {
        &self.definition.steps()[step].name
    }

    /// Executes all decisions, as the actor does.
    fn decide(&mut self) {
        let decisions = plan::next(&self.log);
        for (place, decision) in decisions.iter().enumerate() {
            let is_last = place + 1 == decisions.len();
            match *decision {
                Decision::Run(step) => self.send_action(step),
                Decision::Compensate(step) => self.send_compensation(step),
                write => {
                    assert!(is_last, "a write that is not the last decision: {decisions:?}");
                    self.start_write(write);
                }
            }
        }
        self.coverage.full += usize::from(self.in_flight.len() == self.definition.max_parallel);
        self.coverage.parallel_compensations +=
            usize::from(self.in_flight.values().filter(|kind| **kind == Kind::Compensation).count() > 1);
        // A saga that turns back has given its reads up: nothing waits for their answers, and they take no place.
        let is_given_up = |step: usize| self.log.cause().is_some() && self.log.is_read_only(step);
        let in_flight = self.in_flight.keys().filter(|&&step| !is_given_up(step)).count();
        let most = self.definition.max_parallel;
        assert!(in_flight <= most, "{in_flight} calls in flight, at most {most}");
    }

    fn send_action(&mut self, step: usize) {
        assert!(self.log.cause().is_none(), "an action of a saga that turns back");
        for &earlier in self.definition.predecessors(step) {
            let is_done = if self.definition.steps()[earlier].is_read_only() {
                self.answered[earlier]
            } else {
                self.journals[earlier] == Journal::Done
            };
            assert!(is_done, "{} before {}", self.name(step), self.name(earlier));
        }
        for earlier in self.definition.before(step) {
            self.assert_output_is_known(earlier, step);
        }
        let row = self.definition.steps()[step].clone();
        if !row.is_read_only() {
            assert!(self.row.is_some(), "{} before begin", row.name);
            for (read, _) in self.definition.steps().iter().enumerate().filter(|(_, step)| step.is_read_only()) {
                assert!(self.answered[read], "{} before the read {}", row.name, self.name(read));
                self.assert_output_is_known(read, step);
            }
        }
        self.assert_start_is_durable(step);
        self.apply(Event::ActionSent(step));
        assert_eq!(self.in_flight.insert(step, Kind::Action), None);
    }

    fn send_compensation(&mut self, step: usize) {
        assert_eq!(self.row.as_ref().map(|row| row.direction), Some(Direction::Compensating), "an early compensation");
        assert!(!self.in_flight.contains_key(&step), "{} is in flight", self.name(step));
        for later in self.definition.behind(step) {
            let is_compensable = self.definition.steps()[later].compensation().is_some();
            let is_live = is_compensable && self.journals[later] == Journal::Done;
            assert!(!is_live, "{} is undone before {}", self.name(step), self.name(later));
            let is_called = self.in_flight.contains_key(&later) && !self.definition.steps()[later].is_read_only();
            assert!(!is_called, "{} is undone while {} is called", self.name(step), self.name(later));
        }
        self.assert_start_is_durable(step);
        if self.definition.steps()[step].start == Start::Recorded {
            for earlier in self.definition.before(step) {
                self.assert_output_is_known(earlier, step);
            }
        }
        self.apply(Event::CompensationSent(step));
        assert_eq!(self.in_flight.insert(step, Kind::Compensation), None);
    }

    fn assert_output_is_known(&self, of: usize, by: usize) {
        assert!(
            self.log.outputs().get(self.name(of)).is_some(),
            "{} lacks the output of {}",
            self.name(by),
            self.name(of)
        );
    }

    fn assert_start_is_durable(&self, step: usize) {
        let row = &self.definition.steps()[step];
        let must_be_recorded = row.start == Start::Recorded && row.compensation().is_some();
        let is_recorded = self.row.as_ref().is_some_and(|durable| durable.started.contains(&row.name));
        assert!(!must_be_recorded || is_recorded, "the start of {} is not durable", row.name);
    }

    /// Starts a write, with what the log holds now.
    fn start_write(&mut self, decision: Decision) {
        let write = match decision {
            Decision::Begin => Write::Begin { ended: false },
            Decision::WriteOutputs => Write::Outputs,
            Decision::TurnBack => Write::TurnBack,
            Decision::End(status) if self.log.is_begun() => Write::End(status),
            Decision::End(status) => Write::Begin { ended: status == Status::Compensated },
            Decision::Run(_) | Decision::Compensate(_) => unreachable!("it is no write"),
        };
        self.write_with(write);
    }

    fn write_with(&mut self, write: Write) {
        assert!(self.row.as_ref().is_none_or(|row| !row.ended), "a write after the end");
        let cause = self.log.cause().map(ToString::to_string);
        let (status, direction) = match write {
            Write::Begin { ended: false } | Write::Outputs => (self.log.status(), self.log.direction()),
            Write::TurnBack => (Status::Compensating, Direction::Compensating),
            Write::MarkFailed => (Status::Failed, Direction::Compensating),
            Write::Begin { ended: true } => (Status::Compensated, Direction::Compensating),
            Write::End(Status::Completed) => (Status::Completed, Direction::Forward),
            Write::End(status) => (status, Direction::Compensating),
        };
        let row = Row {
            outputs: self.log.outputs_for_the_row(),
            started: plan::started(&self.log),
            direction,
            cause,
            status,
            timeline: self.log.timeline(),
            ended: matches!(write, Write::Begin { ended: true } | Write::End(_)),
        };
        self.writes += 1;
        self.write = Some((write, row));
    }

    /// Lets one thing happen; tells whether the saga goes on.
    fn something_happens(&mut self) -> bool {
        if self.owners < MOST_OWNERS && self.draws.draw(24) == 23 {
            return self.owner_dies();
        }
        if self.draws.draw(16) == 15 {
            self.interrupt();
        }
        if self.draws.draw(8) == 7 && !self.strays.is_empty() {
            let (step, kind) = self.strays.swap_remove(0);
            self.arrives(step, kind);
        }
        if !self.log.is_begun() && self.draws.draw(8) == 7 {
            self.apply(Event::BeginWanted);
        }
        if self.draws.draw(4) == 3 && self.retry() {
            return true;
        }
        let calls: Vec<usize> = self.in_flight.keys().copied().collect();
        if !calls.is_empty() && (self.write.is_none() || self.draws.draw(2) == 1) {
            let step = calls[self.draws.draw(calls.len())];
            self.call_ends(step);
        } else if self.write.is_some() {
            self.write_lands();
        } else if !self.retry() && plan::next(&self.log).is_empty() {
            panic!("nothing can happen: {:#?}", self.log);
        }
        true
    }

    fn interrupt(&mut self) {
        let may_be = self.log.cause().is_none() && self.log.direction() == Direction::Forward && self.write.is_none();
        if may_be && !self.log.all_actions_done() {
            self.apply(Event::Interrupted(Cause::DeadlinePassed));
        }
    }

    fn owner_dies(&mut self) -> bool {
        for (step, kind) in std::mem::take(&mut self.in_flight) {
            // A participant without tombstones holds no promise for calls that arrive after their owner's death.
            match (self.definition.steps()[step].start, self.draws.draw(2)) {
                (Start::Assumed, _) => self.strays.push((step, kind)),
                (Start::Recorded, 0) => {}
                (Start::Recorded, _) => drop(self.arrives(step, kind)),
            }
        }
        if let Some((_, row)) = self.write.take()
            && self.draws.draw(2) == 0
        {
            self.row = Some(row);
        }
        self.recover(LeftBy::Loss)
    }

    /// Gives the saga a new owner; tells whether it is in the log.
    fn recover(&mut self, left_by: LeftBy) -> bool {
        self.owners += 1;
        let Some(Row { outputs, started, direction, cause, status, timeline, ended }) = self.row.clone() else {
            return false;
        };
        if !ended {
            self.coverage.woken += usize::from(left_by == LeftBy::Sleep);
            self.coverage.owners_with_starts += usize::from(!started.is_empty());
            match direction {
                Direction::Forward => self.coverage.forward_owners += 1,
                Direction::Compensating => self.coverage.undoing_owners += 1,
            }
            let recovered = Recovered { outputs, started, direction, cause, status, timeline, left_by };
            self.log = SagaLog::recovered(&self.definition, recovered);
        }
        true
    }

    fn write_lands(&mut self) {
        let Some((write, row)) = self.write.take() else { return };
        let started = row.started.clone();
        self.row = Some(row);
        match write {
            Write::Begin { ended: true } => self.apply(Event::Ended(Status::Compensated)),
            Write::Begin { ended: false } => {
                let is_complete = self.log.reads_are_done() && !self.log.begin_is_wanted();
                let outputs = if is_complete { OutputsInLog::Complete } else { OutputsInLog::Missing };
                self.apply(Event::Begun { outputs });
                self.starts_written(&started);
            }
            Write::Outputs => {
                self.apply(Event::OutputsWritten);
                self.starts_written(&started);
            }
            Write::TurnBack => {
                self.coverage.in_flight_at_turn += self.in_flight.len();
                self.apply(Event::TurnedBack);
            }
            Write::MarkFailed => {
                self.apply(Event::MarkedFailed);
                self.recover(LeftBy::Sleep);
            }
            Write::End(status) => self.apply(Event::Ended(status)),
        }
    }

    fn starts_written(&mut self, started: &[SmolStr]) {
        let index = |name: &SmolStr| self.definition.steps().iter().position(|step| step.name == *name);
        let steps = started.iter().filter_map(index).collect();
        self.apply(Event::StartsWritten(steps));
    }

    fn call_ends(&mut self, step: usize) {
        let Some(kind) = self.in_flight.remove(&step) else { return };
        if kind == Kind::Action && self.log.step(step).action != Action::Running {
            assert!(self.definition.steps()[step].is_read_only(), "{} was given up in flight", self.name(step));
            return;
        }
        let has_tombstones = self.definition.steps()[step].start == Start::Assumed;
        match self.draws.draw(16) {
            // The reply is lost.
            12 => {
                self.arrives(step, kind);
                self.unknown(step, kind, Sent::Maybe);
            }
            // The request is lost, or late.
            13 => self.unknown(step, kind, Sent::Maybe),
            14 if has_tombstones => {
                self.strays.push((step, kind));
                self.unknown(step, kind, Sent::Maybe);
            }
            // Nothing was sent.
            15 => self.unknown(step, kind, Sent::Nothing),
            _ => {
                let event = self.arrives(step, kind);
                self.apply(event);
            }
        }
    }

    /// Lets a request arrive, and returns what its answer says.
    fn arrives(&mut self, step: usize, kind: Kind) -> Event {
        let row = &self.definition.steps()[step];
        let refused = || Event::ActionRefused(step, Failure::refused(409, "p", "no"));
        let done = || Event::ActionDone(step, Outputs::one(row.name.clone(), json!(1)));
        if row.is_read_only() {
            if self.draws.draw(24) == 23 {
                return refused();
            }
            self.answered[step] = true;
            return done();
        }
        let has_tombstones = row.start == Start::Assumed;
        let journal = &mut self.journals[step];
        match kind {
            Kind::Action => {
                match *journal {
                    Journal::Empty if self.draws.draw(12) == 11 => *journal = Journal::Refused,
                    Journal::Empty => *journal = Journal::Done,
                    // Without a journal the answer to a repeat may be a refusal: it exists already.
                    Journal::Done if !has_tombstones && self.draws.draw(2) == 1 => return refused(),
                    Journal::Refused if !has_tombstones => *journal = Journal::Done,
                    Journal::Undone if !has_tombstones => *journal = Journal::Done,
                    Journal::Done | Journal::Refused | Journal::Undone | Journal::Forbidden => {}
                }
                if *journal == Journal::Done { done() } else { refused() }
            }
            Kind::Compensation => {
                let found = match *journal {
                    Journal::Empty | Journal::Forbidden => Found::Nothing,
                    Journal::Done | Journal::Undone => Found::Done,
                    Journal::Refused => Found::Refused,
                };
                *journal = match *journal {
                    Journal::Empty if has_tombstones => Journal::Forbidden,
                    Journal::Done => Journal::Undone,
                    same => same,
                };
                let found = if has_tombstones { found } else { Found::NotSaid };
                Event::CompensationDone(step, found, Outputs::default())
            }
        }
    }

    fn unknown(&mut self, step: usize, kind: Kind, sent: Sent) {
        let failure = Failure::timeout("p");
        let event = match (kind, self.log.cause()) {
            (Kind::Compensation, _) => match (sent, self.draws.draw(2)) {
                (Sent::Nothing, 1) => Event::CompensationParked(step, "away".to_owned()),
                _ => Event::CompensationFailed(step, "no answer".to_owned()),
            },
            // No attempt follows, as the saga turns back.
            (Kind::Action, Some(_)) => Event::ActionGivenUp(step, failure, "no answer".to_owned(), sent),
            (Kind::Action, None) => match (self.draws.draw(4), sent) {
                (3, _) => Event::ActionGivenUp(step, failure, "no answer".to_owned(), sent),
                (2, Sent::Nothing) => Event::ActionParked(step),
                _ => Event::ActionFailed(step, "no answer".to_owned(), sent),
            },
        };
        self.apply(event);
    }

    /// Repeats a call after its back-off; tells whether there was one.
    fn retry(&mut self) -> bool {
        if self.write.is_some() || self.in_flight.len() >= self.definition.max_parallel {
            return false;
        }
        let is_waiting = |step: &usize| {
            let record = self.log.step(*step);
            record.action == Action::BackingOff || record.undo == Undo::BackingOff
        };
        let waiting: Vec<usize> = (0..self.log.steps().len()).filter(is_waiting).collect();
        if waiting.is_empty() {
            return false;
        }
        let step = waiting[self.draws.draw(waiting.len())];
        if self.log.step(step).undo != Undo::BackingOff {
            self.send_action(step);
        } else if self.in_flight.is_empty() && self.owners < MOST_OWNERS && self.draws.draw(4) == 3 {
            self.write_with(Write::MarkFailed);
        } else {
            self.send_compensation(step);
        }
        true
    }
}
