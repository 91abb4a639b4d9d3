//! `audit`: checks on the live databases that saga log, money, stock and purchases agree, and that sagas of any definition
//! agree with the journals of named participants.
//!
//! It may run during sagas: running ones are listed but not judged, unless `--settled` declares that nothing runs any
//! more. It only reads. A journal that cannot be read makes the audit incomplete, which is not a success.

use std::path::PathBuf;

use clap::Args;
use common::config::Settings;
use ecommerce::{
    embedded_postgres::{default_data_dir, running_url},
    facts::{self, Limits},
};
use orchestrator::invariants::{JournalCoverage, Report, Run, Verdict};
use secrecy::SecretString;
use serde::Serialize;

use crate::{
    configuration::{Configuration, without_database},
    ending::{Ended, Failure},
    output::{self, OutputFormat},
    services,
};

#[derive(Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    configuration: Configuration,
    /// Data folder of the `ecommerce up` to audit if no database is configured
    #[arg(long, value_name = "DIR", env = "ECOMMERCE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The system is stopped: a saga that has not ended counts as a violation
    #[arg(long)]
    settled: bool,
    /// How many sagas, newest first and purchases aside, are compared with the journals of the participants with
    /// `participants.<name>.journal = true`
    #[arg(long, value_name = "SAGAS", default_value_t = Limits::default().journals)]
    journals: u32,
    #[command(flatten)]
    output: OutputFormat,
}

#[derive(Serialize)]
struct Document<'a> {
    /// The cell whose databases these are, by the configuration.
    cell: u8,
    clean: bool,
    /// Whether each journal that was asked for could be read.
    complete: bool,
    #[serde(flatten)]
    report: &'a Report,
}

impl Audit {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let run = if self.settled { Run::Over } else { Run::Live };
        let settings = self.configuration.load()?;
        let cell = settings.orchestrator.cell;
        let limits = Limits { journals: self.journals, ..Limits::default() };
        let report = report(settings, self.data_dir, run, limits).await?;
        let (clean, complete) = (report.is_clean(), report.is_complete());
        let format = self.output.format();
        if format.is_document() {
            format.print(
                &serde_json::to_string_pretty(&Document { cell, clean, complete, report: &report })
                    .map_err(|error| Failure::broken("the report", &error))?,
            )?
        } else {
            output::print(&shown(&report))?
        };
        Ok(if clean && complete { Ended::Done } else { Ended::Refused })
    }
}

/// Services whose data is audited; the catalog has none.
pub(crate) const AUDITED: [&str; 4] = ["payments", "inventory", "purchases", orchestrator::SERVICE];

/// Sets the database of a running `up` for the services without one, if any of the given ones has none.
pub(crate) fn with_servers(
    mut settings: Settings,
    services: &[&str],
    data_dir: Option<PathBuf>,
) -> Result<Settings, Failure> {
    let missing = without_database(&settings, services);
    if !missing.is_empty() {
        settings.database.url = SecretString::from(find_server(&missing, data_dir)?);
    }
    Ok(settings)
}

/// Audits the configured databases, or those of the `up` running on a data folder.
pub(crate) async fn report(
    settings: Settings,
    data_dir: Option<PathBuf>,
    run: Run,
    limits: Limits,
) -> Result<Report, Failure> {
    let settings = with_servers(settings, &AUDITED, data_dir)?;
    audit(&settings, run, limits).await
}

/// Audits the databases of the settings.
pub(crate) async fn audit(settings: &Settings, run: Run, limits: Limits) -> Result<Report, Failure> {
    for service in AUDITED {
        services::check_migrated(settings, service).await?;
    }
    Ok(facts::audit(settings, run, limits).await?)
}

/// Finds the PostgreSQL of a running `up`.
fn find_server(missing: &[&str], data_dir: Option<PathBuf>) -> Result<String, Failure> {
    let data_dir = match data_dir {
        Some(data_dir) => data_dir,
        None => default_data_dir()?,
    };
    running_url(&data_dir).ok_or_else(|| {
        Failure::Usage(format!(
            "no database is configured for {}, and no `ecommerce up` runs on {}: set database.url, --database-url, \
             services.{}.database_url or --data-dir",
            missing.join(", "),
            data_dir.display(),
            missing[0],
        ))
    })
}

/// Formats a report for people.
pub(crate) fn shown(report: &Report) -> String {
    let invariants = report.verdicts.iter().map(|verdict| {
        let checked = format!("{} {}", verdict.looked_at, verdict.items);
        [verdict.name.to_owned(), checked, verdict.offending.to_string()].map(output::cell)
    });
    let mut lines = vec![
        format!("read, and not changed: the databases of {}", AUDITED.join(", ")),
        output::table(["invariant", "checked", "violations"], invariants),
    ];
    lines.extend(report.verdicts.iter().filter_map(details));
    let listed: Vec<String> = report.listed.iter().filter_map(details).collect();
    if !listed.is_empty() {
        lines.push("not checked:".to_owned());
        lines.extend(listed);
    }
    lines.extend(journals(report));
    lines.push(format!("money of purchases that ended: {}", report.money));
    lines.push(match (report.verdicts.iter().filter(|verdict| verdict.offending > 0).count(), report.is_complete()) {
        (0, true) => "every invariant holds".to_owned(),
        (0, false) => "every invariant holds as far as the journals could be read: the audit is incomplete".to_owned(),
        (broken, _) => format!("{broken} of {} invariants are broken", report.verdicts.len()),
    });
    lines.join("\n")
}

/// Tells how far the journals of named participants were compared, if sagas have steps at any.
fn journals(report: &Report) -> Option<String> {
    let rows = report.journals.iter().map(|(participant, covered)| {
        let JournalCoverage { sagas, steps, failed, reason, skipped, without_journal } = covered;
        let number = |number: &u64| output::cell(number.to_string());
        let why = match reason {
            Some(reason) => Some(format!("could not be read: {reason}")),
            None if *without_journal > 0 => Some("offers no journal".to_owned()),
            None if *skipped > 0 => Some("older than the sagas of --journals".to_owned()),
            None => None,
        };
        let unread = failed + skipped + without_journal;
        [output::cell(participant), number(sagas), number(steps), number(&unread), output::optional(why)]
    });
    let header = ["journal of", "sagas", "steps", "sagas not compared", "reason"];
    (!report.journals.is_empty()).then(|| output::table(header, rows))
}

/// Lists the findings of a verdict, if it has any.
fn details(verdict: &Verdict) -> Option<String> {
    let more = verdict.offending - verdict.findings.len() as u64;
    let findings =
        verdict.findings.iter().map(|finding| output::printable(&format!("  {}  {}", finding.id, finding.why)));
    let mut lines = vec![format!("{}: {}", verdict.name, verdict.offending)];
    lines.extend(findings);
    if more > 0 {
        lines.push(format!("  … and {more} more"));
    }
    (verdict.offending > 0).then(|| lines.join("\n"))
}
