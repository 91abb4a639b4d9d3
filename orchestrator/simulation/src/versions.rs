//! Which definitions the nodes know: all of them all, or, while a new version is rolled out, some of them only the old one.

use std::sync::Arc;

use saga_engine::definition::{Definition, Step};

/// What one process knows.
#[derive(Clone)]
pub(super) struct Knowledge {
    /// What new sagas follow.
    pub(super) definition: Arc<Definition>,
    /// What sagas may follow.
    pub(super) known: Arc<Vec<Arc<Definition>>>,
}

/// Which version of the program a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Old,
    New,
}

/// What each version knows.
pub(super) struct Versions {
    pub(super) old: Knowledge,
    pub(super) new: Knowledge,
    /// Whether both run in this run.
    pub(super) are_mixed: bool,
}

impl Versions {
    /// New sagas of the new version follow `which`; the old one knows every other definition, if there is one.
    pub(super) fn new(known: Vec<Arc<Definition>>, which: usize, are_mixed: bool) -> Versions {
        let definition = known[which].clone();
        let others: Vec<_> = known.iter().filter(|other| other.name != definition.name).cloned().collect();
        let new = Knowledge { definition, known: Arc::new(known) };
        let old = match others.first() {
            Some(first) => Knowledge { definition: first.clone(), known: Arc::new(others) },
            None => new.clone(),
        };
        Versions { old, new, are_mixed }
    }

    pub(super) fn of(&self, version: Version) -> &Knowledge {
        match version {
            Version::Old => &self.old,
            Version::New => &self.new,
        }
    }

    /// Finds a step of any definition.
    pub(super) fn step(&self, name: &str, participant: &str) -> Option<&Step> {
        let steps = self.new.known.iter().flat_map(|known| &known.steps);
        steps.into_iter().find(|step| step.name == name && step.participant == participant)
    }
}
