//! The commands in the order of their use, for the help of the program.

use std::io;

use clap::Command;
use rustix::termios::tcgetwinsize;

use crate::output::wrapped;

/// Width of a pipe, and of a terminal that does not report its own.
const USUAL_WIDTH: usize = 100;
/// Longer lines are hard to read.
const WIDEST: usize = 120;
const INDENT: usize = 2;

/// All commands, by group.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run the services", &["up", "serve", "migrate", "wait", "health"]),
    ("Purchases", &["order", "status", "list", "watch", "cancel", "restock", "load"]),
    ("Operation", &["attention", "retry", "resolve", "inspect", "audit", "hold", "release"]),
    ("Sagas and participants of your own", &["sagas", "conformance", "simulate"]),
    ("Shell", &["completions", "help"]),
];

/// Shows the commands of the program in groups.
pub(crate) fn grouped(cli: Command) -> Command {
    let terminal = tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0);
    let width = terminal.unwrap_or(USUAL_WIDTH).min(WIDEST);
    let commands = commands(&cli, width);
    cli.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{commands}Options:\n{{options}}{{after-help}}"
    ))
    .max_term_width(WIDEST)
}

fn commands(cli: &Command, width: usize) -> String {
    let name_width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or(0);
    let start = INDENT + name_width + 2;
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text.push_str(&format!("{heading}:\n"));
        for name in names {
            let about = cli.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            // clap adds `help` when it parses.
            let about = about.unwrap_or_else(|| "Show this help, or that of a command".to_owned());
            let lines = wrapped(&about, width.saturating_sub(start));
            text.push_str(&format!("{:INDENT$}{name:name_width$}  ", ""));
            text.push_str(&lines.join(&format!("\n{:start$}", "")));
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    #[test]
    fn every_command_is_in_one_group() {
        let listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let cli = Cli::command();
        let all: BTreeSet<&str> = cli.get_subcommands().map(Command::get_name).chain(["help"]).collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), all);
        assert_eq!(listed.len(), all.len(), "none twice");
    }

    #[test]
    fn a_description_is_wrapped_below_itself() {
        for width in [40, 60, 80, 120] {
            let text = commands(&Cli::command(), width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}\n{text}");
            let column = text.lines().find(|line| line.starts_with("  audit")).unwrap().find("Check").unwrap();
            let below = text.lines().filter(|line| line.starts_with("   ")).collect::<Vec<_>>();
            assert!(below.iter().all(|line| line.len() - line.trim_start().len() == column), "{width}\n{text}");
            assert_eq!(below.is_empty(), width == 120, "{width}\n{text}");
        }
    }
}
