//! Where settings come from, and how they are loaded.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use config::{ConfigError, ValueKind};
use foundation::names::closest;
use sha2::{Digest, Sha256};

use super::{
    LogFormat, Settings,
    check::{check_file, check_flags, check_variables},
    error::{ConfigErrors, ConfigProblem, Findings},
    layers::{Layer, parse_toml, variable_of},
    lookup::Found,
    named, otel,
    profiles::{DEFAULT, EMBEDDED, Program, defaults, schema},
    rules, variables,
};

/// Where settings come from. Each load reads the files anew.
#[derive(Clone)]
pub struct ConfigSource {
    /// Folder with `default.toml` and `<profile>.toml`; `None`: the compiled-in files.
    pub dir: Option<PathBuf>,
    /// Name of the profile.
    pub profile: String,
    /// Environment variables. Variables that begin with `ECOMMERCE__` override those of OpenTelemetry (`OTEL_*`), which
    /// override the files; of two variables with one name, the later one counts.
    pub env: Vec<(String, String)>,
    /// Settings given as flags of the command line; they override the variables.
    pub flags: Vec<FlagSetting>,
}

/// A setting given as a flag of the command line.
#[derive(Clone)]
pub struct FlagSetting {
    /// Name of the flag, such as `--node-id`, for messages.
    pub flag: &'static str,
    /// Dotted key that it sets.
    pub key: String,
    /// Its value, as typed.
    pub value: String,
}

impl FlagSetting {
    /// Creates the setting of a flag.
    pub fn new(flag: &'static str, key: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { flag, key: key.into(), value: value.to_string() }
    }
}

impl ConfigSource {
    /// Creates a source for a compiled-in profile, without variables, for tests and tools.
    pub fn embedded(profile: impl Into<String>) -> Self {
        Self { dir: None, profile: profile.into(), env: Vec::new(), flags: Vec::new() }
    }

    /// Creates the source of a process: the given folder, else `./config` if it is [ours](Found), else the compiled-in
    /// files; with the environment variables of the process.
    pub fn of_process(dir: Option<PathBuf>, profile: impl Into<String>) -> Self {
        let found = || match Found::in_current_folder() {
            Found::Ours(dir) => Some(dir),
            Found::Foreign(_) | Found::Nothing => None,
        };
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| variables::is_ours(name) || name.starts_with(otel::PREFIX))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        Self { dir: dir.or_else(found), profile: profile.into(), env, flags: Vec::new() }
    }

    /// Sets a key above files and earlier variables, like an environment variable of that name:
    /// `with("faults.payments.charge.failure_rate", 0.9)`.
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.env.push((variable_of(key), value.to_string()));
        self
    }

    /// Loads and checks all layers.
    ///
    /// # Errors
    /// Every problem of every layer at once: unreadable files, syntax, unknown keys, wrong types, values out of range,
    /// settings that contradict each other.
    pub fn load(&self) -> Result<Settings, ConfigErrors> {
        self.load_from(self.read_files())
    }

    /// As [`ConfigSource::load`], for a program that runs no service: it needs none of the services' tokens.
    ///
    /// # Errors
    /// See [`ConfigSource::load`].
    pub fn load_for_tool(&self) -> Result<Settings, ConfigErrors> {
        self.load_for(Program::Tool, self.read_files())
    }

    /// Like [`ConfigSource::load`], from files read earlier.
    ///
    /// # Errors
    /// See [`ConfigSource::load`].
    pub fn load_from(&self, files: ConfigFiles) -> Result<Settings, ConfigErrors> {
        self.load_for(Program::Service, files)
    }

    /// Returns the format of log lines, for logging the problems of settings that cannot be loaded. A format that cannot be
    /// read counts as text.
    pub fn log_format(&self) -> LogFormat {
        let (effective, _) = self.layers(Program::Tool, self.read_files());
        let format = effective.0.get("telemetry.format").map(|value| &value.kind);
        if format.is_some_and(|format| *format == ValueKind::String("json".to_owned())) {
            LogFormat::Json
        } else {
            LogFormat::Text
        }
    }

    fn load_for(&self, program: Program, files: ConfigFiles) -> Result<Settings, ConfigErrors> {
        let (mut effective, mut findings) = self.layers(program, files);
        effective.trim_secrets();
        rules::check(&self.profile, program, &effective, &mut findings);
        ConfigErrors::unless_none(findings.problems)?;
        let mut settings = self.settings(effective)?;
        settings.warnings = findings.warnings;
        Ok(settings)
    }

    /// Reads all layers, and returns the values that have the type of their keys.
    fn layers(&self, program: Program, files: ConfigFiles) -> (Layer, Findings) {
        let schema = schema();
        let ConfigFiles { texts, problems } = files;
        let mut findings = Findings { problems, warnings: Vec::new() };
        let mut layers = vec![defaults(&schema)];
        let mut files = Vec::new();
        for (place, text) in texts {
            match parse_toml(&place, &text) {
                Ok(table) => {
                    layers.push(check_file(&schema, &place, &table, &mut findings));
                    files.push((place, table));
                }
                Err(problem) => findings.problems.push(problem),
            }
        }
        // A program that runs no service sends no traces, so variables for other programs do not stop it.
        if program == Program::Service {
            layers.push(otel::read(&self.env, &mut findings));
        }
        variables::check_names(&schema, &self.env, &mut findings);
        layers.push(check_variables(&schema, &self.env, &mut findings));
        layers.push(check_flags(&schema, &self.flags, &mut findings));

        let mut effective = Layer::default();
        for layer in layers {
            otel::lay_over(&mut effective, layer);
        }
        for (place, file) in &files {
            named::add_empty(&mut effective, &schema, place, file);
        }
        (effective, findings)
    }

    fn settings(&self, mut effective: Layer) -> Result<Settings, ConfigErrors> {
        // Types and ranges were checked above; an error here is a rule missing there.
        let missing_rule = |error: ConfigError| ConfigProblem::new("", self.to_string(), error.to_string());
        let named = named::take(&mut effective).map_err(missing_rule)?;
        let mut settings: Settings = effective.read().map_err(missing_rule)?;
        settings.named_participants = named;
        settings.profile.clone_from(&self.profile);
        settings.reload = Some(self.clone());
        settings.fill_in_urls();
        Ok(settings)
    }

    /// Returns the files that this source reads from its folder, in the order of the layers.
    pub fn paths(&self) -> Vec<PathBuf> {
        let Some(dir) = &self.dir else {
            return Vec::new();
        };
        let mut names = vec![DEFAULT];
        if self.profile != DEFAULT {
            names.push(&self.profile);
        }
        names.into_iter().map(|name| dir.join(format!("{name}.toml"))).collect()
    }

    /// Reads the files of the layers above the schema. An unreadable file is reported as a problem by the load.
    pub fn read_files(&self) -> ConfigFiles {
        let mut files = ConfigFiles { texts: Vec::new(), problems: Vec::new() };
        match self.profiles() {
            Ok(known) if self.profile != DEFAULT && !known.contains(&self.profile) => {
                files.problems.push(self.unknown_profile(&known));
            }
            Ok(_) => {}
            Err(problem) => {
                files.problems.push(problem);
                return files;
            }
        }
        if self.dir.is_none() {
            let embedded = EMBEDDED.iter().filter(|(name, _)| *name != DEFAULT && *name == self.profile);
            files.texts = embedded.map(|(name, text)| (format!("built-in {name}.toml"), (*text).to_owned())).collect();
        }
        for path in self.paths() {
            let place = path.display().to_string();
            match fs::read_to_string(&path) {
                Ok(text) => files.texts.push((place, text)),
                // default.toml may be absent, and an unknown profile is reported above.
                Err(_) if is_absent(&path) => {}
                Err(error) => files.problems.push(ConfigProblem::new("", place, format!("cannot be read: {error}"))),
            }
        }
        files
    }

    /// Returns the names of the available profiles, sorted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn profiles(&self) -> Result<Vec<String>, ConfigProblem> {
        match &self.dir {
            None => Ok(EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name != DEFAULT).collect()),
            Some(dir) => profiles_in(dir).map_err(|error| {
                let message = format!("cannot be read, expected a folder with default.toml and profiles: {error}");
                ConfigProblem::new("", dir.display().to_string(), message)
            }),
        }
    }

    fn unknown_profile(&self, known: &[String]) -> ConfigProblem {
        let hint = match closest(&self.profile, known.iter().map(String::as_str)) {
            Some(near) => format!(" (did you mean {near}?)"),
            None => String::new(),
        };
        let found = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let place = self.dir.as_ref().map_or("built-in profiles".to_owned(), |dir| dir.display().to_string());
        ConfigProblem::new("profile", place, format!("{:?} is unknown{hint}, profiles found: {found}", self.profile))
    }
}

/// The files of a source as read at one moment, so that the hash and the loaded settings belong together.
pub struct ConfigFiles {
    /// Place and text, in the order of the layers.
    texts: Vec<(String, String)>,
    /// Files that could not be read.
    problems: Vec<ConfigProblem>,
}

impl ConfigFiles {
    /// Returns a hash over all contents and read problems. A different hash means that a load may differ.
    pub fn hash(&self) -> [u8; 32] {
        let problems = self.problems.iter().map(ToString::to_string);
        let texts = self.texts.iter().flat_map(|(place, text)| [place.clone(), text.clone()]);
        let mut hash = Sha256::new();
        for part in texts.chain(problems) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// For a log line: the folder and the profile, without variables, whose values may be secrets.
impl fmt::Display for ConfigSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dir {
            Some(dir) => write!(formatter, "profile {} in {}", self.profile, dir.display()),
            None => write!(formatter, "built-in profile {}", self.profile),
        }
    }
}

impl fmt::Debug for ConfigSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<&String> = self.env.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("ConfigSource")
            .field("dir", &self.dir)
            .field("profile", &self.profile)
            .field("env", &variables)
            .field("flags", &self.flags.iter().map(|setting| setting.flag).collect::<Vec<_>>())
            .finish()
    }
}

/// Returns whether a path has no file. A link that leads nowhere is one, and so is a file that may not be looked at.
pub fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn profiles_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        if let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
            && is_toml
            && name != DEFAULT
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
