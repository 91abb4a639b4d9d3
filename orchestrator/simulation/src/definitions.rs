//! The sagas of a run: purchases, or sagas of another form, each of whose steps has a participant of its own. A step of
//! these asks with the outputs of the steps before it, and its answer has an output.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use smol_str::SmolStr;

use orchestrator::checkout;
use saga_engine::definition::{
    Context, DEFAULT_MAX_PARALLEL, Definition, DefinitionError, Effect, Method, Operation, Outputs, ReplyError,
    Request, Start, Step,
};

/// Mixed into the seed for generated graphs.
const GRAPHS: u64 = 0x6772_6170_6873;
/// The most steps of a generated graph.
const MOST_STEPS: usize = 10;
/// The name of the member of a request that holds the outputs of the steps before.
pub(super) const KNOWN: &str = "known";

/// The sagas of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sagas {
    /// Purchases, with one stock rule or the other.
    #[default]
    Checkout,
    /// A read and four steps, one after the other.
    Chain,
    /// One step, two beside each other, and one after both.
    Diamond,
    /// Two reads beside each other, eight steps beside each other, and one after all of them.
    FanOut,
    /// A graph drawn from the seed.
    Random,
    /// A diamond and a step beside it, at participants without tombstones: only started steps may be undone.
    Status,
}

impl Sagas {
    /// All of them.
    pub const ALL: [Sagas; 6] =
        [Sagas::Checkout, Sagas::Chain, Sagas::Diamond, Sagas::FanOut, Sagas::Random, Sagas::Status];

    /// Returns the name, as the command line takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Sagas::Checkout => "checkout",
            Sagas::Chain => "chain",
            Sagas::Diamond => "diamond",
            Sagas::FanOut => "fan-out",
            Sagas::Random => "random",
            Sagas::Status => "status",
        }
    }

    /// Returns the definitions that the nodes of a run know.
    pub(super) fn definitions(self, seed: u64) -> Result<Vec<Arc<Definition>>, DefinitionError> {
        let name = self.as_str();
        let definition = match self {
            Sagas::Checkout => return Ok(checkout::known_definitions()?.into_iter().map(Arc::new).collect()),
            Sagas::Chain => chain(name),
            Sagas::Diamond => diamond(name, Start::Assumed),
            Sagas::FanOut => fan_out(name),
            Sagas::Random => random(name, seed),
            Sagas::Status => diamond(name, Start::Recorded),
        };
        let mut definition = definition?;
        definition.reads_yield_outputs = definition.steps().iter().any(Step::is_read_only);
        Ok(vec![Arc::new(definition)])
    }
}

impl fmt::Display for Sagas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Sagas {
    type Err = String;

    fn from_str(text: &str) -> Result<Sagas, String> {
        let names = || Sagas::ALL.map(Sagas::as_str).join(", ");
        Sagas::ALL.into_iter().find(|sagas| sagas.as_str() == text).ok_or_else(|| format!("write one of {}", names()))
    }
}

/// Kind of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Compensable,
    Uncompensated,
}

fn chain(name: &str) -> Result<Definition, DefinitionError> {
    let steps = vec![
        step(name, "read", Kind::Read, &[]),
        step(name, "a", Kind::Compensable, &["read"]),
        step(name, "b", Kind::Compensable, &["a"]),
        step(name, "c", Kind::Uncompensated, &["b"]),
        step(name, "d", Kind::Compensable, &["c"]),
    ];
    Definition::new(name, 1, steps)
}

fn diamond(name: &str, start: Start) -> Result<Definition, DefinitionError> {
    let mut steps = vec![
        step(name, "a", Kind::Compensable, &[]),
        step(name, "b", Kind::Compensable, &["a"]),
        step(name, "c", Kind::Compensable, &["a"]),
        step(name, "d", Kind::Compensable, &["b", "c"]),
    ];
    if start == Start::Recorded {
        steps.push(step(name, "e", Kind::Compensable, &[]));
    }
    Definition::new(name, 1, steps.into_iter().map(|step| Step { start, ..step }).collect())
}

fn fan_out(name: &str) -> Result<Definition, DefinitionError> {
    let branches = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut steps = vec![step(name, "read1", Kind::Read, &[]), step(name, "read2", Kind::Read, &[])];
    steps.extend(branches.map(|branch| step(name, branch, Kind::Compensable, &["read1", "read2"])));
    steps.push(step(name, "last", Kind::Compensable, &branches));
    Definition::new(name, 1, steps)
}

/// Draws a graph. Its first step with an effect has a compensation, so that there is something to undo.
fn random(name: &str, seed: u64) -> Result<Definition, DefinitionError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ GRAPHS);
    let number = rng.random_range(2..=MOST_STEPS);
    let reads = rng.random_range(0..=2.min(number - 1));
    let density = rng.random_range(0.1..0.8);
    let names: Vec<String> = (0..number).map(|index| format!("s{index}")).collect();
    let steps = (0..number).map(|index| {
        let kind = match index {
            _ if index < reads => Kind::Read,
            _ if index > reads && rng.random::<f64>() < 0.15 => Kind::Uncompensated,
            _ => Kind::Compensable,
        };
        let after: Vec<&str> =
            names[..index].iter().filter(|_| rng.random::<f64>() < density).map(String::as_str).collect();
        step(name, &names[index], kind, &after)
    });
    let mut definition = Definition::new(name, 1, steps.collect())?;
    definition.max_parallel = rng.random_range(1..=DEFAULT_MAX_PARALLEL);
    Ok(definition)
}

/// Makes a step of a definition. Names are unique over all definitions, since a call names its step only.
fn step(definition: &str, name: &str, kind: Kind, after: &[&str]) -> Step {
    let full = |name: &str| SmolStr::new(format!("{definition}-{name}"));
    let (name, before): (SmolStr, Vec<SmolStr>) = (full(name), after.iter().map(|name| full(name)).collect());
    let effect = match kind {
        Kind::Read => Effect::ReadOnly { refusal: None, refuse: |_| None },
        Kind::Compensable => Effect::Compensable(operation(&name, "undo", "compensated", Vec::new())),
        Kind::Uncompensated => Effect::Uncompensated,
    };
    let after: Vec<&str> = before.iter().map(SmolStr::as_str).collect();
    let action = operation(&name, "do", "success", before.clone());
    Step::new(name.clone(), format!("{name}-service"), action, effect).after(&after)
}

/// Returns the name of a step's output.
pub(super) fn output_of(step: &str) -> String {
    format!("{step}_id")
}

fn operation(step: &SmolStr, what: &str, status: &'static str, before: Vec<SmolStr>) -> Operation {
    let (path, output) = (format!("/{step}/{what}"), output_of(step));
    let request = move |context: &Context| {
        let known = before.iter().map(|step| (step.to_string(), context.outputs.get(&output_of(step)).cloned()));
        let known: BTreeMap<String, Option<Value>> = known.collect();
        let body = json!({ "transaction_id": context.saga_id, KNOWN: known });
        Request::new(Method::Post, path.clone(), Some(body.to_string()))
    };
    let read = move |context: &Context, body: &[u8]| {
        let body: Value = serde_json::from_slice(body)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        if text("status") != Some(status) || text("transaction_id") != Some(&context.saga_id.to_string()) {
            return Err(ReplyError::NotTheAnswer("not an answer to this saga".to_owned()));
        }
        let value = body.get(&output).ok_or_else(|| ReplyError::NotTheAnswer(format!("missing field `{output}`")))?;
        Ok(Outputs::one(output.as_str(), value.clone()))
    };
    Operation::new(what, request, read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_chosen_by_its_name() {
        for sagas in Sagas::ALL {
            assert_eq!(sagas.as_str().parse(), Ok(sagas));
            for seed in 0..50 {
                assert!(!sagas.definitions(seed).unwrap().is_empty(), "{sagas} {seed}");
            }
        }
        let said = "circle".parse::<Sagas>().unwrap_err();
        assert_eq!(said, "write one of checkout, chain, diamond, fan-out, random, status");
    }
}
