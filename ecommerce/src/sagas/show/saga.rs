//! A saga as tables: facts, outputs, steps, takeovers.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::run::{Outputs, of_outputs};
use crate::{
    operate::Resolution,
    output::{self, View},
    sagas::title,
    steps::{self, Step, Takeover},
};

/// Shown characters of an input; `--json` has all of it.
const INPUT_CHARS: usize = 200;

#[derive(Deserialize)]
pub(super) struct Saga {
    saga_id: String,
    definition: Option<String>,
    version: Option<i32>,
    status: String,
    input: Option<Box<RawValue>>,
    #[serde(default)]
    outputs: Outputs,
    error: Option<String>,
    failed_step: Option<String>,
    stuck_because: Option<String>,
    resolution: Option<Resolution>,
    created_at: Option<String>,
    ended_at: Option<String>,
    #[serde(default)]
    takeovers: Vec<Takeover>,
    #[serde(default)]
    steps: Vec<Step>,
}

pub(super) fn shown(saga: Saga, view: &View) -> String {
    let facts = output::table(
        ["saga", &saga.saga_id],
        [
            [output::cell("definition"), output::optional(title(saga.definition, saga.version))],
            [output::cell("status"), output::state(&saga.status)],
            [output::cell("input"), output::optional(saga.input.map(|input| shortened(input.get())))],
            [output::cell("created"), view.moment(saga.created_at)],
            [output::cell("ended"), view.moment(saga.ended_at)],
            [output::cell("failed step"), output::optional(saga.failed_step)],
            [output::cell("turned back because"), output::optional(saga.error)],
            [output::cell("stuck because"), output::optional(saga.stuck_because)],
            [output::cell("settled"), output::optional(saga.resolution.map(|resolution| resolution.shown(view)))],
        ],
    );
    let mut tables = vec![facts];
    tables.extend(of_outputs(&saga.outputs));
    tables.extend(steps::tables(saga.steps, saga.takeovers, view));
    tables.join("\n")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(INPUT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_saga_is_shown_with_its_definition_outputs_and_steps() {
        let saga = r#"{"saga_id":"s","definition":"trip","version":1,"status":"COMPENSATED","input":{"city":"Venice"},
            "outputs":{"hotel":{"booking":7}},"error":"409: no car","failed_step":"car","stuck_because":null,
            "created_at":"2026-01-01T00:00:00.000001Z","ended_at":null,"takeovers":[],
            "steps":[{"step":"hotel","participant":"hotels","state":"compensated","attempts":1,
            "compensation":{"attempts":2,"error":null}},{"step":"car","participant":"cars","state":"refused","attempts":1}]}"#;
        let text = shown(serde_json::from_str(saga).unwrap(), &View::now(Format::Table));
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line("definition").contains("trip/1") && line("input").contains("Venice"), "{text}");
        assert!(line("failed step").contains("car") && line("ended").contains('–'), "{text}");
        assert!(line("booking").contains('7') && line("hotels").contains("1, undo 2"), "{text}");
        assert_eq!(shortened(&"é".repeat(INPUT_CHARS + 1)), format!("{}…", "é".repeat(INPUT_CHARS)));
    }
    #[test]
    fn a_saga_that_a_person_settled_has_the_note_the_name_and_the_time() {
        let saga = r#"{"saga_id":"s","definition":"trip","version":1,"status":"FAILED","steps":[],
            "resolution":{"at":"2026-01-01T00:00:00.000001Z","note":"refunded at the bank","by":"ann"}}"#;
        let text = shown(serde_json::from_str(saga).unwrap(), &View::now(Format::Wide));
        let line = text.lines().find(|line| line.contains("settled")).unwrap_or_default();
        assert!(line.contains("2026-01-01T00:00:00.000001Z resolved by ann: refunded at the bank"), "{text}");
    }
}
