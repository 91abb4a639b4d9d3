//! `completions`: for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{Cli, Ended};

/// The options of `completions`.
#[derive(Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<Ended> {
        clap_complete::generate(self.shell, &mut Cli::command(), "ecommerce", &mut std::io::stdout());
        Ok(Ended::Done)
    }
}
