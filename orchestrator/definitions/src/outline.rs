//! The first reading of a definition: everything but the requests, which are read when the order of the steps and the
//! fields of the input are known.

mod step;

use foundation::names::{FORM, is_name};
use smol_str::SmolStr;

use crate::limits::{DURATIONS_MS, MAX_OUTPUTS, PARALLEL, VERSIONS};
use crate::name::{INLINE, is_reserved};
use crate::pointer::Pointer;
use crate::problem::{Place, Problems, did_you_mean};
use crate::source::{Data, Member, Node, Table};
use saga_engine::definition::{DEFAULT_MAX_PARALLEL, MAX_STEPS};

/// Name and version, if they are known before the definition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// The definition names itself.
    Inside,
    /// They are given, as in a path; the definition may repeat them.
    Given {
        /// The name.
        name: &'a str,
        /// The version.
        version: i32,
    },
    /// The steps are given with their saga: the definition is [`crate::INLINE`], version 1.
    Inline,
}

/// The effect of a step, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ReadOnly,
    Compensable,
    Uncompensated,
}

pub(crate) struct Outline<'a> {
    pub(crate) name: SmolStr,
    pub(crate) version: i32,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) max_parallel: usize,
    pub(crate) input: Option<&'a Node>,
    pub(crate) steps: Vec<StepOutline<'a>>,
}

pub(crate) struct StepOutline<'a> {
    pub(crate) place: &'a Place,
    /// Empty if it is missing or wrong, which is reported.
    pub(crate) name: SmolStr,
    pub(crate) participant: SmolStr,
    /// Indexes of the steps that it comes directly after, in their order.
    pub(crate) after: Vec<usize>,
    pub(crate) kind: Kind,
    pub(crate) action: Option<&'a Node>,
    pub(crate) compensation: Option<&'a Node>,
    pub(crate) headers: Option<&'a Node>,
    pub(crate) outputs: Vec<(SmolStr, Pointer)>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) attempts: Option<u32>,
}

impl StepOutline<'_> {
    /// Returns a phrase for messages.
    pub(crate) fn what(&self) -> String {
        what(&self.name)
    }
}

fn what(step: &str) -> String {
    match step {
        "" => "this step".to_owned(),
        name => format!("step {name:?}"),
    }
}

pub(crate) const FILE_KEYS: [&str; 6] = ["name", "version", "deadline_ms", "max_parallel", "input", "steps"];
pub(crate) const STEP_KEYS: [&str; 11] = [
    "name",
    "participant",
    "after",
    "read_only",
    "uncompensated",
    "action",
    "compensation",
    "headers",
    "outputs",
    "timeout_ms",
    "attempts",
];

/// Reads everything but the requests; `None` if there is too little to read on.
pub(crate) fn read<'a>(
    root: &'a Node,
    identity: Identity<'_>,
    participants: &[&str],
    problems: &mut Problems,
) -> Option<Outline<'a>> {
    let table = root.table("a definition", &FILE_KEYS, problems)?;
    let name = read_name(&table, identity, problems).unwrap_or_default();
    let version = read_version(&table, identity, problems).unwrap_or(1);
    let deadline_ms = table.integer("deadline_ms", DURATIONS_MS, problems);
    let max_parallel = table.integer("max_parallel", PARALLEL, problems);
    let steps = table.required("the definition", "steps", "at least one [[steps]]", problems)?;
    let steps = read_steps(steps, participants, problems)?;
    Some(Outline {
        name,
        version,
        deadline_ms,
        max_parallel: max_parallel.and_then(|count| count.try_into().ok()).unwrap_or(DEFAULT_MAX_PARALLEL),
        input: table.get("input"),
        steps,
    })
}

fn read_name(table: &Table<'_>, identity: Identity<'_>, problems: &mut Problems) -> Option<SmolStr> {
    let node = match (table.get("name"), identity) {
        (Some(node), _) => node,
        (None, Identity::Given { name, .. }) => {
            check_name(name, table.place, problems);
            return Some(name.into());
        }
        (None, Identity::Inline) => return Some(INLINE.into()),
        (None, Identity::Inside) => table.required("the definition", "name", "name = \"trip\"", problems)?,
    };
    let name = node.text("name", problems)?;
    match identity {
        Identity::Given { name: given, .. } if given != name => {
            problems.error(&node.place, format!("name is {name:?}, but the path says {given:?}: remove it"));
        }
        Identity::Given { .. } | Identity::Inside | Identity::Inline => check_name(name, &node.place, problems),
    }
    Some(name.into())
}

fn check_name(name: &str, place: &Place, problems: &mut Problems) {
    if !is_name(name) {
        problems.error(place, format!("{name:?} is not the name of a definition: write {FORM}"));
    } else if is_reserved(name) {
        problems.error(place, format!("the name {name:?} is the orchestrator's own: choose another one"));
    }
}

fn read_version(table: &Table<'_>, identity: Identity<'_>, problems: &mut Problems) -> Option<i32> {
    let node = match (table.get("version"), identity) {
        (Some(node), _) => node,
        (None, Identity::Given { version, .. }) => {
            if !u64::try_from(version).is_ok_and(|version| VERSIONS.contains(&version)) {
                problems.error(table.place, format!("the version {version} is not possible: use 1 or more"));
            }
            return Some(version);
        }
        (None, Identity::Inline) => return Some(1),
        (None, Identity::Inside) => table.required("the definition", "version", "version = 1", problems)?,
    };
    let version = i32::try_from(node.integer("version", VERSIONS, problems)?).ok()?;
    match identity {
        Identity::Given { version: given, .. } if given != version => {
            problems.error(&node.place, format!("version is {version}, but the path says {given}: remove it"));
        }
        Identity::Given { .. } | Identity::Inside | Identity::Inline => {}
    }
    Some(version)
}

fn read_steps<'a>(list: &'a Node, participants: &[&str], problems: &mut Problems) -> Option<Vec<StepOutline<'a>>> {
    let nodes = list.list("steps", problems)?;
    if nodes.is_empty() {
        problems.error(&list.place, "the definition has no steps: add at least one [[steps]]");
    }
    if nodes.len() > MAX_STEPS {
        problems.error(&list.place, format!("there are {} steps: at most {MAX_STEPS} are possible", nodes.len()));
        return None;
    }
    let tables: Vec<(&Node, Table<'_>)> = nodes
        .iter()
        .filter_map(|node| {
            let what = if let Data::Table(members) = &node.data { name_of(members) } else { "" };
            Some((node, node.table(&what_of(what), &STEP_KEYS, problems)?))
        })
        .collect();
    let names = read_names(&tables, problems);
    let steps = tables.iter().enumerate().map(|(index, (node, table))| {
        let after = read_after(table, index, &names, problems);
        step::read(&node.place, table, names[index].clone(), after, participants, problems)
    });
    let steps: Vec<StepOutline<'_>> = steps.collect();
    let outputs: usize = steps.iter().map(|step| step.outputs.len()).sum();
    if outputs > MAX_OUTPUTS {
        problems.error(&list.place, format!("the steps have {outputs} outputs: at most {MAX_OUTPUTS} are possible"));
    }
    Some(steps)
}

fn what_of(name: &str) -> String {
    match name {
        "" => "a step".to_owned(),
        name => what(name),
    }
}

fn name_of(members: &[Member]) -> &str {
    members.iter().filter(|member| member.name == "name").find_map(|member| member.node.as_text()).unwrap_or_default()
}

fn read_names(tables: &[(&Node, Table<'_>)], problems: &mut Problems) -> Vec<SmolStr> {
    let mut names: Vec<SmolStr> = Vec::new();
    for (_, table) in tables {
        let node = table.required("this step", "name", "name = \"flight\"", problems);
        let name = node.and_then(|node| Some((node, node.text("name", problems)?)));
        if let Some((node, name)) = name {
            if !is_name(name) {
                problems.error(&node.place, format!("{name:?} is not the name of a step: write {FORM}"));
            } else if names.iter().any(|earlier| earlier == name) {
                problems.error(&node.place, format!("two steps are called {name:?}: rename one"));
            }
        }
        names.push(name.map(|(_, name)| name.into()).unwrap_or_default());
    }
    names
}

fn read_after(table: &Table<'_>, index: usize, names: &[SmolStr], problems: &mut Problems) -> Vec<usize> {
    let what = what(&names[index]);
    let Some(node) = table.get("after") else { return index.checked_sub(1).into_iter().collect() };
    let mut after = Vec::new();
    for item in node.list("after", problems).unwrap_or_default() {
        let Some(name) = item.text("a name in after", problems) else { continue };
        match names.iter().position(|known| known == name) {
            Some(earlier) if earlier == index => {
                problems.error(&item.place, format!("{what} comes after itself: remove its name from after"));
            }
            Some(earlier) if after.contains(&earlier) => {
                problems.error(&item.place, format!("after names {name:?} twice: remove one"));
            }
            Some(earlier) => after.push(earlier),
            None => {
                let meant = did_you_mean(name, names.iter().map(SmolStr::as_str));
                let text = format!("{what} comes after {name:?}, which is not a step of this definition{meant}");
                problems.error(&item.place, format!("{text}: name a step, or remove it"));
            }
        }
    }
    after.sort_unstable();
    after
}
