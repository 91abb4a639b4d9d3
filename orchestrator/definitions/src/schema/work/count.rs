//! Counts the evaluations of one input.
//!
//! Two counts are made. For the verdict, a check stops at the first branch of `anyOf` that is valid, and looks first at
//! members such as `kind` that tell the branches apart. For the errors it looks into every branch.

use std::collections::HashMap;
use std::ptr;

use serde_json::{Map, Value};

use super::{MAX_ENTRIES, MAX_STEPS, text_steps};
use crate::schema::applicators::{Discriminator, Index, Subschema};

/// From three branches on, the library looks up the branches by the member that tells them apart.
const MIN_BRANCHES_WITH_LOOKUP: usize = 3;

/// Maximum number of subschemas of a branch, through `$ref` and `allOf`, that are looked at for such a member.
const MAX_LOOKED_AT: usize = 16;

/// Counts the evaluations of the subschema 0 for an input.
pub(super) fn count(subschemas: &[Subschema], input: &Value) -> Result<Work, TooManySteps> {
    Count { subschemas, known: HashMap::new(), visits: 0, open: 0 }.work(0, input)
}

/// Counts of evaluations of a subschema for a value, with all that follow from it.
#[derive(Clone, Copy)]
pub(super) struct Work {
    pub(super) verdict: u64,
    pub(super) errors: u64,
    /// For the verdict on branches and conditions: `unevaluatedProperties` and `unevaluatedItems` ask for them again.
    again: u64,
    /// The outermost pair in progress that was met again; `usize::MAX` if there is none. Until it is counted, this count
    /// holds only inside of it.
    outermost: usize,
}

impl Work {
    fn of_steps(steps: u64) -> Work {
        Work { verdict: steps, errors: steps, again: 0, outermost: usize::MAX }
    }

    fn add(&mut self, verdict: u64, errors: u64, again: u64, outermost: usize) {
        self.verdict = self.verdict.saturating_add(verdict);
        self.errors = self.errors.saturating_add(errors);
        self.again = self.again.saturating_add(again);
        self.outermost = self.outermost.min(outermost);
    }

    /// Adds a subschema that has to be valid for the same value.
    fn add_conjunct(&mut self, work: Work) {
        self.add(work.verdict, work.errors, work.again, work.outermost);
    }

    /// Adds a subschema whose errors are errors of this one: of a member or an item.
    fn add_child(&mut self, work: Work) {
        self.add(work.verdict, work.errors, 0, work.outermost);
    }

    /// Adds the subschema of a member or an item that no other subschema may have evaluated: it is asked whether the value
    /// counts as evaluated, and then for the verdict.
    fn add_unevaluated(&mut self, work: Work) {
        self.add_child(work);
        self.add(work.verdict, 0, 0, work.outermost);
    }

    /// Adds a subschema of which only the verdict matters.
    fn add_verdict(&mut self, work: Work) {
        self.add(work.verdict, work.verdict, work.verdict.saturating_add(work.again), work.outermost);
    }
}

/// Counting itself passed the limit.
pub(super) struct TooManySteps;

enum Known {
    /// In progress, inside of so many others, and entered so often.
    Open {
        outermost: usize,
        entries: usize,
    },
    Counted(Work),
}

struct Count<'a> {
    subschemas: &'a [Subschema],
    /// By subschema and address of the value, for subschemas that several others apply.
    known: HashMap<(Index, usize), Known>,
    /// Pairs visited so far. Their number is limited too, and with it the memory of `known`.
    visits: u64,
    open: usize,
}

impl Count<'_> {
    fn work(&mut self, index: Index, value: &Value) -> Result<Work, TooManySteps> {
        let subschema = &self.subschemas[index];
        self.visits += 1;
        if self.visits > MAX_STEPS {
            return Err(TooManySteps);
        }
        if !subschema.is_shared {
            return self.applied(subschema, value);
        }
        let key = (index, ptr::from_ref(value) as usize);
        let own = self.open;
        match self.known.get(&key) {
            Some(Known::Counted(work)) => return Ok(*work),
            Some(Known::Open { outermost, entries: MAX_ENTRIES }) => {
                return Ok(Work { outermost: *outermost, ..Work::of_steps(1) });
            }
            Some(Known::Open { outermost, entries }) => {
                let (outermost, entries) = (*outermost, *entries);
                self.known.insert(key, Known::Open { outermost, entries: entries + 1 });
                let work = self.applied(subschema, value)?;
                self.known.insert(key, Known::Open { outermost, entries });
                return Ok(Work { outermost: outermost.min(work.outermost), ..work });
            }
            None => {}
        }
        self.known.insert(key, Known::Open { outermost: own, entries: 1 });
        self.open += 1;
        let mut work = self.applied(subschema, value)?;
        self.open -= 1;
        if work.outermost >= own {
            work.outermost = usize::MAX;
            self.known.insert(key, Known::Counted(work));
        } else {
            self.known.remove(&key);
        }
        Ok(work)
    }

    fn applied(&mut self, subschema: &Subschema, value: &Value) -> Result<Work, TooManySteps> {
        let mut total = Work::of_steps(1 + subschema.compared_values + steps_of_value(subschema, value));
        self.add_in_place(subschema, value, &mut total)?;
        match value {
            Value::Object(members) => self.add_members(subschema, members, &mut total)?,
            Value::Array(items) => self.add_items(subschema, items, &mut total)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        if subschema.has_unevaluated() {
            // To find errors, all verdicts are asked for first.
            total.errors = total.errors.saturating_add(total.verdict);
            total.verdict = total.verdict.saturating_add(total.again);
        }
        Ok(total)
    }

    fn add_in_place(&mut self, subschema: &Subschema, value: &Value, total: &mut Work) -> Result<(), TooManySteps> {
        for index in &subschema.conjuncts {
            total.add_conjunct(self.work(*index, value)?);
        }
        for branches in [&subschema.any_of, &subschema.one_of] {
            let has_lookup = branches.len() >= MIN_BRANCHES_WITH_LOOKUP;
            for index in branches {
                let work = self.work(*index, value)?;
                // If no branch is valid, the errors of all are listed.
                total.add(0, work.errors, 0, work.outermost);
                if !has_lookup || !self.is_for_others(*index, value) {
                    total.add_verdict(work);
                }
            }
        }
        if let Some(index) = subschema.not {
            total.add_verdict(self.work(index, value)?);
        }
        if let Some(condition) = subschema.condition {
            total.add_verdict(self.work(condition, value)?);
            if let Some(index) = subschema.then.filter(|_| !self.is_for_others(condition, value)) {
                total.add_conjunct(self.work(index, value)?);
            }
            if let Some(index) = subschema.otherwise {
                total.add_conjunct(self.work(index, value)?);
            }
        }
        for (name, index) in &subschema.dependent {
            if value.get(name).is_some() {
                total.add_conjunct(self.work(*index, value)?);
            }
        }
        Ok(())
    }

    fn add_members(
        &mut self,
        subschema: &Subschema,
        members: &Map<String, Value>,
        total: &mut Work,
    ) -> Result<(), TooManySteps> {
        if subschema.children().next().is_none() {
            return Ok(());
        }
        for (name, member) in members {
            let mut is_additional = true;
            if let Some(index) = subschema.properties.get(name) {
                is_additional = false;
                total.add_child(self.work(*index, member)?);
            }
            if !subschema.patterns.is_empty() {
                let name = Value::String(name.clone());
                for (_, index) in subschema.patterns.iter().filter(|(pattern, _)| pattern.is_valid(&name)) {
                    is_additional = false;
                    total.add_child(self.work(*index, member)?);
                }
            }
            if let Some(index) = subschema.additional.filter(|_| is_additional) {
                total.add_child(self.work(index, member)?);
            }
            if let Some(index) = subschema.unevaluated_properties.filter(|_| is_additional) {
                total.add_unevaluated(self.work(index, member)?);
            }
            if let Some(index) = subschema.names {
                // All names count the same.
                total.add_child(self.work(index, &Value::Null)?);
            }
        }
        Ok(())
    }

    fn add_items(&mut self, subschema: &Subschema, items: &[Value], total: &mut Work) -> Result<(), TooManySteps> {
        for (position, item) in items.iter().enumerate() {
            let prefix = subschema.prefix.get(position).copied();
            if let Some(index) = prefix.or(subschema.items) {
                total.add_child(self.work(index, item)?);
            }
            if let Some(index) = subschema.unevaluated_items.filter(|_| prefix.is_none()) {
                total.add_unevaluated(self.work(index, item)?);
            }
            if let Some(index) = subschema.contains {
                total.add_verdict(self.work(index, item)?);
            }
        }
        Ok(())
    }

    /// Tells whether a member shows that an object is meant for another branch.
    fn is_for_others(&self, index: Index, value: &Value) -> bool {
        let Value::Object(members) = value else { return false };
        let is_other = |discriminator: &Discriminator| match members.get(&discriminator.name) {
            Some(Value::String(text)) => !discriminator.values.contains(text),
            Some(_) => true,
            None => discriminator.is_required,
        };
        let mut open = vec![index];
        for _ in 0..MAX_LOOKED_AT {
            let Some(index) = open.pop() else { return false };
            let subschema = &self.subschemas[index];
            if subschema.discriminators.iter().any(is_other) {
                return true;
            }
            open.extend(&subschema.conjuncts);
        }
        false
    }
}

fn steps_of_value(subschema: &Subschema, value: &Value) -> u64 {
    match value {
        Value::String(text) if subschema.reads_text => text_steps(text),
        Value::Array(items) if subschema.has_unique_items => compared_items(items),
        _ => 0,
    }
}

/// Returns the steps of `uniqueItems`. The library compares hashes that do not tell nestings of lists apart: those of
/// `[[], []]` and `[[[]]]` are equal, so that lists of lists may be compared each with each.
fn compared_items(items: &[Value]) -> u64 {
    let alike = items.iter().filter(|item| nests_lists(item)).count() as u64;
    alike * alike / 2
}

fn nests_lists(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| item.is_array() || nests_lists(item)),
        Value::Object(members) => members.values().any(nests_lists),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
