//! A definition as text: facts, steps, and the graph.

use serde::Deserialize;
use serde_json::Value;

use crate::output;

/// The predecessor of steps without one.
const START: &str = "start";

#[derive(Deserialize)]
pub(super) struct Definition {
    name: String,
    version: i32,
    origin: Option<String>,
    hash: Option<String>,
    #[serde(default)]
    known_to_all: bool,
    #[serde(default)]
    steps: Vec<Step>,
    /// The canonical form; null if it is built in.
    body: Option<Value>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    participant: String,
    #[serde(default)]
    after: Vec<String>,
    kind: String,
}

pub(super) fn shown(definition: Definition) -> String {
    let Definition { name, version, origin, hash, known_to_all, steps, body } = definition;
    let known = if known_to_all { "to all live orchestrators" } else { "not yet to all live orchestrators" };
    let facts = output::table(
        ["definition", &format!("{name}/{version}")],
        [
            [output::cell("from"), output::optional(origin)],
            [output::cell("known"), output::cell(known)],
            [output::cell("SHA-256"), output::optional(hash)],
        ],
    );
    let graph = graph(&steps);
    let rows = steps.into_iter().enumerate().map(|(index, step)| {
        let written = body.as_ref().map(|body| &body["steps"][index]);
        let call = |name| written.and_then(|step| call(&step[name]));
        [
            output::cell(step.name),
            output::cell(step.participant),
            output::cell(step.kind.replace('_', " ")),
            output::optional(call("action")),
            output::optional(call("compensation")),
        ]
    });
    let steps = output::table(["step", "participant", "kind", "action", "compensation"], rows);
    format!("{facts}\n{steps}\n{graph}")
}

/// Returns method and path of a call.
fn call(call: &Value) -> Option<String> {
    Some(format!("{} {}", call["method"].as_str()?, call["path"].as_str()?))
}

/// Draws the graph: a line for each set of steps, and the steps that start when all of these are done.
fn graph(steps: &[Step]) -> String {
    let mut edges: Vec<(&[String], Vec<&str>)> = Vec::new();
    for step in steps {
        match edges.iter_mut().find(|(after, _)| *after == step.after) {
            Some((_, next)) => next.push(&step.name),
            None => edges.push((&step.after, vec![&step.name])),
        }
    }
    let lines: Vec<(String, String)> = edges
        .into_iter()
        .map(|(after, next)| {
            if after.is_empty() {
                (START.to_owned(), next.join(", "))
            } else {
                (output::printable(&after.join(", ")), next.join(", "))
            }
        })
        .collect();
    let width = lines.iter().map(|(after, _)| after.chars().count()).max().unwrap_or_default();
    let lines: Vec<String> =
        lines.into_iter().map(|(after, next)| format!(" {after:width$} ─► {}", output::printable(&next))).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_shown_with_its_calls_and_its_graph() {
        let definition = r#"{"name":"trip","version":2,"origin":"HTTP","hash":"ab","known_to_all":true,"steps":[
            {"name":"quote","participant":"flights","after":[],"kind":"read_only"},
            {"name":"hotel","participant":"hotels","after":["quote"],"kind":"compensable"},
            {"name":"car","participant":"cars","after":["quote"],"kind":"compensable"},
            {"name":"flight","participant":"flights","after":["hotel","car"],"kind":"uncompensated"}],
            "body":{"steps":[{"action":{"method":"GET","path":"/quotes"}},
            {"action":{"method":"POST","path":"/rooms"},"compensation":{"method":"DELETE","path":"/rooms/{saga.id}"}}]}}"#;
        let text = shown(serde_json::from_str(definition).unwrap());
        let graph: Vec<&str> = text.lines().rev().take(3).collect();
        assert_eq!(graph, [" hotel, car ─► flight", " quote      ─► hotel, car", " start      ─► quote"], "{text}");
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line("hotels").contains("POST /rooms") && line("hotels").contains("DELETE /rooms/{saga.id}"), "{text}");
        assert!(line("trip/2").contains("definition") && line("GET /quotes").contains("read only"), "{text}");
    }

    #[test]
    fn a_built_in_definition_has_no_calls_to_show() {
        let definition = r#"{"name":"checkout","version":1,"origin":"built in","hash":null,"known_to_all":true,
            "steps":[{"name":"choose","participant":"catalog","after":[],"kind":"read_only"}],"body":null}"#;
        let text = shown(serde_json::from_str(definition).unwrap());
        assert!(text.contains("built in") && text.ends_with(" start ─► choose"), "{text}");
    }
}
