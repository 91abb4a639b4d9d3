//! `sagas`: definitions of sagas.

mod check;

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
    /// Check files without starting anything: all problems at once, each with its line
    #[command(after_help = help::SAGAS_CHECK)]
    Check(check::Check),
}

impl Sagas {
    pub(crate) fn run(self) -> Result<Ended, Failure> {
        match self.command {
            Command::Check(check) => check.run(),
        }
    }
}
