//! `wait`: ends once a service's database has every migration of this program. For the start of a service beside
//! `migrate`, such as an init container: the service itself would end with an error, and be restarted with a back-off.

use std::time::Duration;

use clap::{Args, builder::PossibleValuesParser};
use common::telemetry;
use tokio::time::sleep;

use crate::{
    configuration::{self, Configuration},
    ending::{Ended, Failure},
    output,
    services::{self, SERVICES},
    signals::{Hangup, Signals},
};

/// Pause between two looks at the database.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Wait {
    /// Service whose database is waited for
    #[arg(value_parser = PossibleValuesParser::new(SERVICES))]
    service: String,
    #[command(flatten)]
    configuration: Configuration,
}

impl Wait {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let settings = configuration::with_databases(self.configuration.load()?, &[&self.service])?;
        let signals = Signals::listen(Hangup::Stops, Duration::ZERO)?;
        let mut shown = String::new();
        loop {
            let reason = tokio::select! {
                () = signals.shutdown.announced.cancelled() => return Ok(signals.ended()),
                looked = services::check_migrated(&settings, &self.service) => match looked {
                    Ok(()) => break,
                    Err(failure @ (Failure::Usage(_) | Failure::WrongVersion(_))) => return Err(failure),
                    Err(
                        Failure::Unreachable(reason) | Failure::Broken(reason) | Failure::Answered { line: reason, .. },
                    ) => reason,
                },
            };
            if reason != shown {
                telemetry::notice(&format!("waiting: {reason}"));
                shown = reason;
            }
            tokio::select! {
                () = signals.shutdown.announced.cancelled() => return Ok(signals.ended()),
                () = sleep(LOOK_AGAIN_AFTER) => {}
            }
        }
        output::tell(&format!("the database of {} is up to date", self.service));
        Ok(Ended::Done)
    }
}
