//! The first reading of one step.

use foundation::names::{FORM, is_name};
use smol_str::SmolStr;

use super::{Kind, StepOutline, what};
use crate::limits::{ATTEMPTS, DURATIONS_MS};
use crate::pointer::Pointer;
use crate::problem::{Place, Problems, did_you_mean, listed};
use crate::source::{Member, Node, Table};

pub(super) fn read<'a>(
    place: &'a Place,
    table: &Table<'a>,
    name: SmolStr,
    after: Vec<usize>,
    participants: &[&str],
    problems: &mut Problems,
) -> StepOutline<'a> {
    let what = what(&name);
    let participant = table.required(&what, "participant", "participant = \"flights\"", problems);
    let participant = participant.and_then(|node| {
        let participant = node.text("participant", problems)?;
        if !participants.contains(&participant) {
            let meant = did_you_mean(participant, participants.iter().copied());
            let known = listed(participants.iter().copied());
            let text = format!("there is no participant {participant:?}{meant}: configure it, or name one of {known}");
            problems.error(&node.place, text);
        }
        Some(participant.into())
    });
    let action = table.required(&what, "action", "action = { method = \"POST\", path = \"/…\" }", problems);
    let compensation = table.get("compensation");
    StepOutline {
        place,
        participant: participant.unwrap_or_default(),
        after,
        kind: read_kind(&what, table, compensation, problems),
        action,
        compensation,
        headers: table.get("headers"),
        outputs: read_outputs(&name, table, problems),
        timeout_ms: table.integer("timeout_ms", DURATIONS_MS, problems),
        attempts: table.integer("attempts", ATTEMPTS, problems).and_then(|count| count.try_into().ok()),
        name,
    }
}

fn read_kind(what: &str, table: &Table<'_>, compensation: Option<&Node>, problems: &mut Problems) -> Kind {
    let mut flag = |name: &str| table.get(name).and_then(|node| node.flag(name, problems)).unwrap_or(false);
    let (is_read_only, is_uncompensated) = (flag("read_only"), flag("uncompensated"));
    let place = |name| table.get(name).map_or(table.place, |node| &node.place);
    match (is_read_only, is_uncompensated, compensation) {
        (true, false, None) => Kind::ReadOnly,
        (false, true, None) => Kind::Uncompensated,
        (false, false, Some(_)) => Kind::Compensable,
        (true, _, Some(_)) => {
            let text = "is read_only and has a compensation, but a read has nothing to undo: remove one of the two";
            problems.error(place("compensation"), format!("{what} {text}"));
            Kind::ReadOnly
        }
        (true, true, None) => {
            let text = "is read_only and uncompensated, but a read has nothing to undo: remove uncompensated";
            problems.error(place("uncompensated"), format!("{what} {text}"));
            Kind::ReadOnly
        }
        (false, true, Some(_)) => {
            let text = "has a compensation and is uncompensated: remove one of the two";
            problems.error(place("uncompensated"), format!("{what} {text}"));
            Kind::Compensable
        }
        (false, false, None) => {
            let text = "has an effect and no compensation: add compensation = { … } to undo it, uncompensated = true if it \
                        stays for good, or read_only = true if it has no effect";
            problems.error(table.place, format!("{what} {text}"));
            Kind::Uncompensated
        }
    }
}

fn read_outputs(step: &str, table: &Table<'_>, problems: &mut Problems) -> Vec<(SmolStr, Pointer)> {
    let what = format!("outputs of {}", what(step));
    let members = table.get("outputs").and_then(|node| node.members(&what, problems)).unwrap_or_default();
    let mut outputs = Vec::new();
    for Member { name, node } in members {
        if !is_name(name) {
            problems.error(&node.place, format!("{name:?} is not the name of an output: write {FORM}"));
        }
        let Some(pointer) = node.text(&format!("the output {name}"), problems) else { continue };
        match Pointer::parse(pointer) {
            Ok(pointer) => outputs.push((name.into(), pointer)),
            Err(advice) => problems.error(&node.place, format!("the output {name} is {pointer:?}: {advice}")),
        }
    }
    outputs.sort_by(|a: &(SmolStr, Pointer), b| a.0.cmp(&b.0));
    outputs
}
