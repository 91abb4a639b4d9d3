//! The definitions that this node knows: those of the checkout, those from files, and those that came over HTTP.
//!
//! ```text
//! sagas/*.toml ─┐                                    ┌─► known here: claims, new sagas, the list in the lease
//! PUT ──────────┴─► saga_definition (PostgreSQL) ────┤
//!                    one for each name and version   └─► known to all live nodes: the default version
//! ```
//! A definition is used once its hash is in the database, so a name and a version mean the same on every node and for
//! ever. [`Refresh`] reads the table each second, so each node soon knows the definitions that another one received.

mod refresh;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use arc_swap::ArcSwap;
use common::config::is_absent;
use common::http::ApiError;
use saga_definitions::{Format, Identity, Judgement, Rejected, SagaFile};
use serde_json::Value;
use smol_str::SmolStr;
use thiserror::Error;

pub(crate) use self::refresh::{Refresh, refresh};
use crate::dtm::{self, DTM, Submission};
use crate::store::definitions::StoredDefinition;
use saga_engine::definition::{
    Context, Definition, DefinitionError, Definitions, Effect, Input, Operation, Step, title,
};

/// Name of the definitions that come with their sagas.
pub(crate) const INLINE: &str = saga_definitions::INLINE;

/// Folder of definitions, in the folder of the configuration.
const FOLDER: &str = "sagas";

/// The origin of definitions that came over HTTP.
pub(crate) const OVER_HTTP: &str = "HTTP";

/// Why the definitions of a folder cannot be used.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The folder or a file cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(String, #[source] io::Error),
    /// Files have problems.
    #[error("saga definitions cannot be used:\n{0}")]
    Problems(String),
}

/// The names of the participants and the judgement of their answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownParticipants(pub(crate) BTreeMap<String, Judgement>);

impl KnownParticipants {
    fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn judgement(&self, name: &str) -> Judgement {
        self.0.get(name).copied().unwrap_or(Judgement::Recorded)
    }
}

/// A definition from a file or over HTTP.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) file: SagaFile,
    pub(crate) definition: Arc<Definition>,
    pub(crate) origin: String,
}

impl Given {
    pub(crate) fn stored(&self) -> StoredDefinition {
        StoredDefinition {
            name: self.file.name().to_owned(),
            version: self.file.version(),
            hash: self.file.hash().to_owned(),
            body: self.file.to_json().to_string(),
            origin: self.origin.clone(),
        }
    }
}

type Key = (SmolStr, i32);

/// All definitions of this node.
#[derive(Debug)]
pub(crate) struct Registry {
    built_in: Vec<Arc<Definition>>,
    participants: KnownParticipants,
    given: ArcSwap<BTreeMap<Key, Arc<Given>>>,
    /// The definitions that the other live nodes list.
    others: ArcSwap<Vec<Vec<String>>>,
    rules: Rules,
}

/// Rules for definitions that come with their sagas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether sagas may bring their steps along.
    pub(crate) inline: bool,
    /// The longest wait between two attempts of a saga of DTM's clients.
    pub(crate) dtm_longest_wait: Duration,
}

/// The definition that a request wants to start cannot be determined.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum NotFound {
    #[error("there is no definition {0}")]
    Name(String),
    #[error("{name} cannot be started here: {way}")]
    StartedElsewhere { name: String, way: &'static str },
    #[error("there is no version {1} of definition {0}")]
    Version(String, i32),
    #[error("not all live nodes know a version of definition {0} yet: give a version, or try again in a moment")]
    NotEverywhere(String),
}

impl Registry {
    pub(crate) fn new(built_in: Vec<Arc<Definition>>, participants: KnownParticipants, rules: Rules) -> Registry {
        Registry { built_in, participants, given: ArcSwap::default(), others: ArcSwap::default(), rules }
    }

    pub(crate) fn allows_inline(&self) -> bool {
        self.rules.inline
    }

    pub(crate) fn built_in(&self) -> &[Arc<Definition>] {
        &self.built_in
    }

    pub(crate) fn given(&self) -> Arc<BTreeMap<Key, Arc<Given>>> {
        self.given.load_full()
    }

    /// Checks a definition that is not known yet.
    pub(crate) fn check(
        &self,
        text: &str,
        format: Format,
        identity: Identity<'_>,
        origin: &str,
    ) -> Result<Given, Rejected> {
        let file = SagaFile::parse(text, format, identity, &self.participants.names())?.definition;
        let definition = self.compile(&file);
        Ok(Given { file, definition, origin: origin.to_owned() })
    }

    fn compile(&self, file: &SagaFile) -> Arc<Definition> {
        let compiled = file.compile(|participant| self.participants.judgement(participant));
        Arc::new(compiled.expect("a definition that was checked breaks no rule of the engine"))
    }

    /// Makes a definition known here, after it was stored.
    pub(crate) fn add(&self, given: Given) {
        let key = (SmolStr::new(given.file.name()), given.file.version());
        let given = Arc::new(given);
        self.given.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            known.insert(key.clone(), given.clone());
            known
        });
    }

    /// Reads the definitions of a configuration folder. A folder without definitions is fine.
    ///
    /// # Errors
    /// All problems of all files at once.
    pub(crate) fn read_folder(&self, configuration: &Path) -> Result<Vec<Given>, FilesError> {
        let folder = configuration.join(FOLDER);
        let unreadable = |path: &Path| {
            let path = path.display().to_string();
            move |error| FilesError::Unreadable(path, error)
        };
        let entries = match fs::read_dir(&folder) {
            Err(_) if is_absent(&folder) => return Ok(Vec::new()),
            entries => entries.map_err(unreadable(&folder))?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        let (mut read, mut problems) = (Vec::<Given>::new(), Vec::new());
        for path in paths {
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            let shown = path.display().to_string();
            match self.check(&text, Format::Toml, Identity::Inside, &shown) {
                Ok(given) => {
                    let conflict = |other: &Given| given.file.conflict(&other.file, &other.origin);
                    if let Some(conflict) = read.iter().find_map(conflict) {
                        problems.push(format!("{shown}: {conflict}"));
                    }
                    read.push(given);
                }
                Err(Rejected(found)) => problems.extend(found.iter().map(|problem| format!("{shown}:{problem}"))),
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(FilesError::Problems(problems.join("\n"))) }
    }

    /// Checks that a request for a saga may name this definition: those of the orchestrator itself are listed, but have
    /// requests of their own.
    pub(crate) fn check_startable(&self, name: &str) -> Result<(), NotFound> {
        let way = match name {
            INLINE => "POST /sagas takes steps instead of this name",
            DTM => "clients of DTM start its sagas with POST /api/dtmsvr/submit",
            _ if self.built_in.iter().any(|definition| definition.name == name) => {
                "purchases are started by POST /saga/transaction, or `ecommerce order`"
            }
            _ => return Ok(()),
        };
        Err(NotFound::StartedElsewhere { name: name.to_owned(), way })
    }

    /// Returns the definition of a new saga: of the version given, else of the highest that all live nodes know.
    pub(crate) fn resolve(&self, name: &str, version: Option<i32>) -> Result<Arc<Given>, NotFound> {
        let given = self.given.load();
        if let Some(version) = version {
            let missing = || {
                if given.keys().any(|(known, _)| known == name) {
                    NotFound::Version(name.to_owned(), version)
                } else {
                    NotFound::Name(name.to_owned())
                }
            };
            return given.get(&(SmolStr::new(name), version)).cloned().ok_or_else(missing);
        }
        let mut versions =
            given.iter().filter(|((known, _), _)| known == name).map(|(_, given)| given).rev().peekable();
        if versions.peek().is_none() {
            return Err(NotFound::Name(name.to_owned()));
        }
        let is_everywhere = |given: &&Arc<Given>| self.is_everywhere(&given.definition);
        versions.find(is_everywhere).cloned().ok_or_else(|| NotFound::NotEverywhere(name.to_owned()))
    }

    /// Tells whether every live node knows a definition.
    pub(crate) fn is_everywhere(&self, definition: &Definition) -> bool {
        let title = definition.title();
        self.others.load().iter().all(|listed| listed.contains(&title))
    }

    /// Makes the definition and the input of a saga of DTM's clients.
    pub(crate) fn of_submission(&self, submission: &Submission) -> Result<(Arc<Definition>, Input), ApiError> {
        let definition = dtm::definition(submission, self.rules.dtm_longest_wait);
        let definition = definition.map_err(|error| ApiError::malformed(error.to_string()))?;
        let input = serde_json::to_value(submission).map_err(|error| ApiError::internal(error.to_string()))?;
        Ok((Arc::new(definition), Input::new(input)))
    }

    /// Makes the definition of a saga that brings its steps along.
    pub(crate) fn inline(&self, saga: &Value) -> Result<(SagaFile, Arc<Definition>), Rejected> {
        let input = saga.get("input").unwrap_or(&Value::Null);
        let steps = saga.get("steps").unwrap_or(&Value::Null);
        let file = SagaFile::of_inline_steps(steps, input, &self.participants.names())?.definition;
        let definition = self.compile(&file);
        // A definition that was checked stays one with other functions in its operations.
        let definition = with_inner_input(&definition).unwrap_or(definition);
        Ok((file, definition))
    }
}

/// Makes a definition whose requests see the member `input` of the saga's input.
fn with_inner_input(definition: &Definition) -> Result<Arc<Definition>, DefinitionError> {
    let inner = |context: &Context| Context {
        input: Input::new(context.input.get("input").cloned().unwrap_or_default()),
        ..context.clone()
    };
    let operation = |operation: &Operation| {
        let Operation { name, request, read } = operation.clone();
        Operation {
            name,
            request: Arc::new(move |context| request(&inner(context))),
            read: Arc::new(move |context, body| read(&inner(context), body)),
        }
    };
    let step = |step: &Step| {
        let effect = match &step.effect {
            Effect::Compensable(undo) => Effect::Compensable(operation(undo)),
            other => other.clone(),
        };
        Step { action: operation(&step.action), effect, ..step.clone() }
    };
    let steps = definition.steps().iter().map(step).collect();
    let mut wrapped = Definition::new(definition.name.clone(), definition.version, steps)?;
    (wrapped.deadline, wrapped.max_parallel) = (definition.deadline, definition.max_parallel);
    Ok(Arc::new(wrapped))
}

impl Definitions for Registry {
    fn find(&self, name: &str, version: i32, input: &Input) -> Option<Arc<Definition>> {
        if name == INLINE {
            return self.inline(input).ok().map(|(_, definition)| definition);
        }
        if name == DTM {
            let submission = Submission::of_input(input)?;
            return dtm::definition(&submission, self.rules.dtm_longest_wait).ok().map(Arc::new);
        }
        let built_in = || self.built_in.find(name, version, input);
        let given = self.given.load();
        given.get(&(SmolStr::new(name), version)).map(|given| given.definition.clone()).or_else(built_in)
    }

    fn titles(&self) -> Vec<String> {
        let given = self.given.load();
        let given = given.values().map(|given| given.definition.title());
        self.built_in.titles().into_iter().chain([title(INLINE, 1), title(DTM, dtm::VERSION)]).chain(given).collect()
    }
}
