//! The command-line options that select the configuration.

use std::path::PathBuf;

use clap::Args;
use common::{
    config::{ConfigSource, DEVELOPMENT, Found, Settings},
    telemetry,
};
use secrecy::{ExposeSecret, SecretString};

use crate::ending::Failure;

/// The configuration to load.
#[derive(Args)]
pub(crate) struct Configuration {
    /// Profile: development, bench, production, or a file of your own in the configuration folder
    #[arg(long, value_name = "NAME", default_value = DEVELOPMENT, env = "ECOMMERCE_PROFILE")]
    profile: String,
    /// Folder with default.toml and the profiles [default: ./config if it is this program's, else the built-in files]
    #[arg(long, value_name = "DIR", env = "ECOMMERCE_CONFIG_DIR")]
    config_dir: Option<PathBuf>,
    /// PostgreSQL server: postgres://user:password@host:port/ (a secret is better given by the variable)
    #[arg(long, value_name = "URL", env = "ECOMMERCE_DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
}

impl Configuration {
    /// Loads the settings and initializes logs and metrics from them.
    pub(crate) fn load(&self) -> Result<Settings, Failure> {
        let source = ConfigSource::of_process(self.config_dir.clone(), self.profile.as_str());
        let mut settings = source.load()?;
        if let Some(url) = &self.database_url {
            settings.database.url = SecretString::from(url.trim_end());
        }
        telemetry::init(&settings.telemetry);
        if let (None, Found::Foreign(dir)) = (&self.config_dir, Found::in_current_folder()) {
            telemetry::notice(&format!(
                "{} is not used: its default.toml belongs to another program; --config-dir uses it anyway",
                dir.display()
            ));
        }
        let _ = telemetry::metrics_handle();
        Ok(settings)
    }

    /// As [`Configuration::load`], but a database is required.
    pub(crate) fn load_with_database(&self) -> Result<Settings, Failure> {
        let settings = self.load()?;
        match settings.database.url.expose_secret().is_empty() {
            false => Ok(settings),
            true => Err(Failure::Usage(
                "no database is configured: set ECOMMERCE__DATABASE__URL, database.url or --database-url".to_owned(),
            )),
        }
    }
}

/// Logs the source of the settings when a service starts.
pub(crate) fn announce(settings: &Settings) {
    if let Some(source) = &settings.reload {
        telemetry::notice(&format!("settings: {source}"));
    }
}
