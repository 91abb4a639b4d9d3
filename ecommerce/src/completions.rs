//! `completions`: prints the completion script of a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{
    Cli,
    ending::{Ended, Failure},
    output,
};

#[derive(Args)]
pub(crate) struct Completions {
    /// Shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Ended, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "ecommerce", &mut script);
        output::print(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Ended::Done)
    }
}
