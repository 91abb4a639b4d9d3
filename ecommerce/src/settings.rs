//! The options that say which configuration is meant.

use std::path::PathBuf;

use clap::Args;
use common::config::{ConfigSource, Settings};
use secrecy::SecretString;

use crate::Usage;

/// Which configuration.
#[derive(Args, Clone)]
pub(crate) struct Configuration {
    /// The profile: development, bench, production, or a file of your own in the configuration folder
    #[arg(long, default_value = "development", env = "ECOMMERCE_PROFILE")]
    profile: String,
    /// The folder with default.toml and the profiles [default: ./config if it is there, else the built-in files]
    #[arg(long)]
    config_dir: Option<PathBuf>,
    /// A PostgreSQL server, as the URL of any database on it
    #[arg(long, env = "ECOMMERCE_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

impl Configuration {
    /// Loads it.
    pub(crate) fn load(&self) -> anyhow::Result<Settings> {
        let here = PathBuf::from("config");
        let dir = self.config_dir.clone().or_else(|| here.join("default.toml").is_file().then_some(here));
        let mut settings =
            ConfigSource::of_process(dir, self.profile.clone()).load().map_err(|errors| Usage(errors.to_string()))?;
        if let Some(url) = &self.database_url {
            settings.database.url = SecretString::from(url.as_str());
        }
        Ok(settings)
    }
}
