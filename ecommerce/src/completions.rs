//! `completions`: prints the script that completes the program's words in a shell.
//!
//! The script asks the program itself, with the variable [`VARIABLE`], so that ids and profiles are completed too, and a
//! newer program needs no newer script.

use std::{env, process::ExitCode};

use clap::Args;
use clap_complete::{CompleteEnv, Shell, env::Shells};

use crate::{
    cli,
    ending::{Ended, Failure},
    output,
};

/// Set by the script: the shell whose words are to be completed.
pub(crate) const VARIABLE: &str = "ECOMMERCE_COMPLETE";
const PROGRAM: &str = "ecommerce";

#[derive(Args)]
pub(crate) struct Completions {
    /// Shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Ended, Failure> {
        let shells = Shells::builtins();
        let name = self.shell.to_string();
        let shell = shells.completer(&name).ok_or_else(|| Failure::Usage(format!("{name} cannot be completed")))?;
        let mut script = Vec::new();
        shell
            .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
            .map_err(|error| Failure::broken("the script", &error))?;
        output::print(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Ended::Done)
    }
}

/// Answers the script of a shell, if it is what started the program.
pub(crate) fn answer() -> Option<ExitCode> {
    let folder = env::current_dir().ok();
    let completed = CompleteEnv::with_factory(cli).var(VARIABLE).try_complete(env::args_os(), folder.as_deref());
    match completed {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => {
            output::complain(&error.to_string());
            Some(ExitCode::FAILURE)
        }
    }
}
