//! `sagas`: sagas of any definition, and the definitions.

mod check;
mod file;
mod list;
mod put;
mod run;
mod show;

use clap::{Args, Subcommand};

use crate::{
    ending::{Ended, Failure},
    help,
};

#[derive(Args)]
pub(crate) struct Sagas {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a saga and wait for its outcome
    #[command(after_help = help::SAGAS_RUN)]
    Run(run::Run),
    /// List sagas, newest first
    #[command(after_help = help::SAGAS_LIST)]
    List(list::List),
    /// Show a saga with its steps, or a definition with its graph
    #[command(after_help = help::SAGAS_SHOW)]
    Show(show::Show),
    /// Check a definition and give it to all orchestrators
    #[command(after_help = help::SAGAS_PUT)]
    Put(put::Put),
    /// Check files without starting anything: all problems at once, each with its line
    #[command(after_help = help::SAGAS_CHECK)]
    Check(check::Check),
}

impl Sagas {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        match self.command {
            Command::Run(run) => run.run().await,
            Command::List(list) => list.run().await,
            Command::Show(show) => show.run().await,
            Command::Put(put) => put.run().await,
            Command::Check(check) => check.run(),
        }
    }
}

/// Returns the name and version of a definition, as `sagas show` takes them.
pub(crate) fn title(name: Option<String>, version: Option<i32>) -> Option<String> {
    match (name, version) {
        (Some(name), Some(version)) => Some(format!("{name}/{version}")),
        (name, _) => name,
    }
}
