//! The command-line options that select the configuration.

use std::{env, path::PathBuf};

use clap::Args;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use common::{
    config::{ConfigSource, DEVELOPMENT, FlagSetting, Found, Settings, TelemetrySettings},
    telemetry::{self, ServiceName},
};
use secrecy::ExposeSecret;

use crate::ending::Failure;

/// Heading of the options that select the configuration.
const HEADING: &str = "Configuration";

/// The flag of the database server and its variable, in messages.
const DATABASE_URL: &str = "--database-url or ECOMMERCE_DATABASE_URL";

/// The files of the configuration.
#[derive(Args)]
pub(crate) struct ConfigurationFiles {
    /// Profile: development, bench, production, or a file of your own in the configuration folder
    #[arg(long, value_name = "NAME", default_value = DEVELOPMENT, env = "ECOMMERCE_PROFILE", help_heading = HEADING)]
    #[arg(add = ArgValueCandidates::new(profiles))]
    profile: String,
    /// Folder with default.toml and the profiles [default: ./config if it is this program's, else the built-in files]
    #[arg(long, value_name = "DIR", env = "ECOMMERCE_CONFIG_DIR", help_heading = HEADING)]
    config_dir: Option<PathBuf>,
}

/// The configuration to load.
#[derive(Args)]
pub(crate) struct Configuration {
    #[command(flatten)]
    files: ConfigurationFiles,
    /// PostgreSQL server of the services without a database_url of their own: postgres://user:password@host:port/ (a
    /// secret is better given by the variable)
    #[arg(long, value_name = "URL", env = "ECOMMERCE_DATABASE_URL", hide_env_values = true, help_heading = HEADING)]
    database_url: Option<String>,
}

impl ConfigurationFiles {
    /// Reads the settings of a command that runs no service from the files and variables.
    pub(crate) fn read(&self) -> Result<Settings, Failure> {
        Ok(self.source().load_for_tool()?)
    }

    fn source(&self) -> ConfigSource {
        ConfigSource::of_process(self.config_dir.clone(), self.profile.as_str())
    }
}

impl Configuration {
    /// Loads the settings of a command that runs no service, and initializes logs and metrics from them.
    pub(crate) fn load(&self) -> Result<Settings, Failure> {
        Ok(self.initialize(self.source(Vec::new()).load_for_tool()?, ServiceName::Of("ecommerce")))
    }

    /// As [`Configuration::load`], for a command that runs services: they need their tokens. `service` is the name in their
    /// log lines, `flags` are the settings among the command's own flags. Problems of the settings are logged in the format
    /// that the settings name.
    pub(crate) fn load_for_services(&self, service: ServiceName, flags: Vec<FlagSetting>) -> Result<Settings, Failure> {
        let source = self.source(flags);
        let settings = source.load().inspect_err(|_| {
            let defaults = ConfigSource::embedded(DEVELOPMENT).load().expect("the built-in profile is valid");
            let telemetry = TelemetrySettings { format: source.log_format(), ..defaults.telemetry };
            telemetry::init(&telemetry, service);
        })?;
        Ok(self.initialize(settings, service))
    }

    fn source(&self, mut flags: Vec<FlagSetting>) -> ConfigSource {
        let url = self.database_url.as_ref().map(|url| FlagSetting::new(DATABASE_URL, "database.url", url.trim_end()));
        flags.extend(url);
        ConfigSource { flags, ..self.files.source() }
    }

    fn initialize(&self, settings: Settings, service: ServiceName) -> Settings {
        telemetry::init(&settings.telemetry, service);
        if let (None, Found::Foreign(dir)) = (&self.files.config_dir, Found::in_current_folder()) {
            telemetry::notice(&format!(
                "{} is not used: its default.toml belongs to another program; --config-dir uses it anyway",
                dir.display()
            ));
        }
        let _ = telemetry::metrics_handle();
        settings
    }
}

/// Completes the name of a profile. The folder is that of the typed words or of the environment.
fn profiles() -> Vec<CompletionCandidate> {
    let words: Vec<String> = env::args().collect();
    let value = words.windows(2).find(|pair| pair[0] == "--config-dir").map(|pair| pair[1].clone());
    let joined = words.iter().find_map(|word| word.strip_prefix("--config-dir=").map(str::to_owned));
    let folder = value.or(joined).or_else(|| env::var("ECOMMERCE_CONFIG_DIR").ok()).filter(|folder| !folder.is_empty());
    let source = ConfigSource::of_process(folder.map(PathBuf::from), DEVELOPMENT);
    source.profiles().unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the settings if they have a database for each of these services.
pub(crate) fn with_databases(settings: Settings, services: &[&str]) -> Result<Settings, Failure> {
    match without_database(&settings, services).as_slice() {
        [] => Ok(settings),
        missing => Err(Failure::Usage(format!(
            "no database is configured for {}: set ECOMMERCE__DATABASE__URL, database.url or --database-url, or \
                 services.{}.database_url",
            missing.join(", "),
            missing[0],
        ))),
    }
}

/// Returns those of the services that have no URL of a database.
pub(crate) fn without_database<'a>(settings: &Settings, services: &[&'a str]) -> Vec<&'a str> {
    let has_none = |service: &&str| settings.server_url(service).expose_secret().is_empty();
    services.iter().copied().filter(has_none).collect()
}

/// Logs the source of the settings when a service starts, and warns about settings that should have other values.
pub(crate) fn announce(settings: &Settings) {
    for warning in &settings.warnings {
        telemetry::warning(&warning.to_string());
    }
    if let Some(source) = &settings.reload {
        telemetry::notice(&format!("settings: {source}"));
    }
}
