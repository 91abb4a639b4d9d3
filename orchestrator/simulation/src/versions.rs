//! The definitions that nodes know: all of them, or, on some nodes during a roll-out, all but the newest.

use std::sync::Arc;

use saga_engine::definition::Definition;

/// The definitions that one process knows.
#[derive(Clone)]
pub(super) struct Knowledge {
    /// The definition of new sagas.
    pub(super) definition: Arc<Definition>,
    /// All known definitions, for claimed sagas.
    pub(super) known: Arc<Vec<Arc<Definition>>>,
}

/// Version of the program that a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Old,
    New,
}

/// The definitions that each version knows.
pub(super) struct Versions {
    pub(super) old: Knowledge,
    pub(super) new: Knowledge,
    /// Whether processes of both versions run.
    pub(super) are_mixed: bool,
}

impl Versions {
    /// Makes versions whose new one knows all definitions and starts sagas of `which`; the old one knows all others, if
    /// there are any.
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
}
