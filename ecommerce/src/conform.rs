//! `conformance`: tests a running participant against the protocol of `docs/participants.md`.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use clap::Args;
use ecommerce::conformance::{self, NotTested, Outcome, Plan, Report, RuleReport};
use futures::FutureExt;
use tokio::{process::Command, time::timeout};

use crate::{
    ending::{Ended, Failure},
    output::{self, OutputFile, OutputFormat, Reader},
};

/// Time limit of a restart command.
const RESTART_LIMIT: Duration = Duration::from_secs(120);

#[derive(Args)]
pub(crate) struct Conformance {
    /// TOML file with the address and the requests of the participant
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Bearer token, instead of that in the file
    #[arg(long, env = "ECOMMERCE_PARTICIPANT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Shell command that restarts the participant and then ends [default: the rule `restart` is skipped]
    #[arg(long, value_name = "CMD")]
    restart: Option<String>,
    /// Also write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    output: OutputFormat,
}

impl Conformance {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let plan = self.plan()?;
        let restart = self.restart.as_deref().map(|command| move || restart(command.to_owned()).boxed_local());
        let restart = restart.as_ref().map(|restart| restart as &conformance::Restart<'_>);
        let junit = self.junit.as_ref().map(|path| OutputFile { path, contents: "the results", flag: "--junit" });
        if let Some(file) = &junit {
            file.prepare()?;
        }
        let format = self.output.format();
        // The test goes on, since the file may be written nevertheless.
        let mut printed = Ok(Reader::There);
        let mut print = |text: &str| {
            if printed.is_ok() {
                printed = output::print(text);
            }
        };
        if !format.is_document() {
            print(&header(&plan));
        }
        let finished = |rule: &RuleReport| {
            if !format.is_document() {
                print(&shown(rule));
            }
        };
        let report = conformance::run(&plan, restart, finished).await?;
        if let Some(file) = &junit {
            file.write(&conformance::junit(&report))?;
        }
        printed?;
        if format.is_document() {
            format
                .print(&serde_json::to_string_pretty(&report).map_err(|error| Failure::broken("the report", &error))?)?
        } else {
            output::print(&summary(&report))?
        };
        Ok(if report.conforms { Ended::Done } else { Ended::Refused })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let file = self.config.display();
        let text = fs::read_to_string(&self.config).map_err(|error| Failure::Usage(format!("{file}: {error}")))?;
        let mut plan = Plan::parse(&text).map_err(|problems| {
            Failure::Usage(match problems.lines() {
                [problem] => format!("{file}: {problem}"),
                lines => format!("{file} is wrong in {} places:\n{problems}", lines.len()),
            })
        })?;
        if let Some(token) = &self.token {
            let wrong = |message| Failure::Usage(format!("--token (ECOMMERCE_PARTICIPANT_TOKEN) {message}"));
            plan.set_token(token).map_err(wrong)?;
        }
        Ok(plan)
    }
}

impl From<NotTested> for Failure {
    fn from(error: NotTested) -> Self {
        match error {
            NotTested::Unreachable { .. } => Self::Unreachable(error.to_string()),
            NotTested::Client(_) => Self::Broken(error.to_string()),
        }
    }
}

/// Runs the restart command. Its errors go to standard error; its output would disturb ours.
async fn restart(command: String) -> Result<(), String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let mut child = shell.spawn().map_err(|error| format!("sh cannot be started: {error}"))?;
    match timeout(RESTART_LIMIT, child.wait()).await {
        Err(_) => Err(format!("`{command}` has not ended within {} s", RESTART_LIMIT.as_secs())),
        Ok(Err(error)) => Err(format!("`{command}`: {error}")),
        Ok(Ok(status)) if !status.success() => Err(format!("`{command}` ended with {status}")),
        Ok(Ok(_)) => Ok(()),
    }
}

/// Formats the calls that the lines of the rules name.
fn header(plan: &Plan) -> String {
    let [action, compensation] = plan.calls();
    output::printable(&format!("{}: action {action}, compensation {compensation}", plan.address()))
}

/// Formats a rule: its result, then what was sent and what came back.
fn shown(rule: &RuleReport) -> String {
    const NAME_WIDTH: usize = 26;
    let line = match (&rule.reason, rule.outcome) {
        (Some(reason), Outcome::Violated) => {
            let saga = rule.saga_id.map_or_else(String::new, |id| format!(" (saga {id})"));
            format!("{reason}: {}{saga}", rule.line())
        }
        (Some(reason), Outcome::Holds | Outcome::Skipped) => reason.clone(),
        (None, _) => rule.line(),
    };
    let word = format!("{:<9}", rule.outcome.word());
    let word = match rule.outcome {
        Outcome::Holds => output::tinted(&word, output::Tint::Good),
        Outcome::Violated => output::tinted(&word, output::Tint::Bad),
        Outcome::Skipped => word,
    };
    format!("{word} {:<NAME_WIDTH$} {}", rule.name, output::printable(&line))
}

fn summary(report: &Report) -> String {
    let (violated, skipped) = (report.count(Outcome::Violated), report.count(Outcome::Skipped));
    let skipped = match skipped {
        0 => String::new(),
        skipped => format!(", {skipped} not tested"),
    };
    match violated {
        0 => format!("{} of {} rules hold{skipped}", report.count(Outcome::Holds), report.rules.len()),
        1 => format!("1 of {} rules is violated{skipped}: docs/participants.md", report.rules.len()),
        violated => format!("{violated} of {} rules are violated{skipped}: docs/participants.md", report.rules.len()),
    }
}
