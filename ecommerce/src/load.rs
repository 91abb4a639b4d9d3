//! `load`: makes many purchases at once and reports the results.
//!
//! ```text
//! orchestrator answers? ─► restock ─► failure settings ─► buyers ─► failure settings ─► table, report ─► audit
//!                                                              (closed loop: each buyer continues after its answer;
//!                                                               open loop: one purchase every 1/rate seconds)
//! ```
//! Every purchase is followed to its end, whatever the first answer is: a 202 by its status, a 503 by a retry with the
//! same key. So each purchase is counted once, with its outcome.

mod buyer;
mod charts;
mod expectation;
mod pace;
mod participants;
mod report;
mod run;
mod summary;
mod tally;

use std::{
    io::{self, IsTerminal},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use clap::{ArgAction, Args};
use common::{
    config::Settings,
    loopback::is_loopback,
    money::{self, Money},
};
use ecommerce::facts::Limits;
use orchestrator::invariants::Run;
use reqwest::Url;

use self::{expectation::Expectation, pace::Pace, summary::Summary};
pub(crate) use self::{
    expectation::REFUSING,
    participants::{Participants, delivery_id},
};
use crate::{
    audit,
    client::Target,
    configuration::Configuration,
    ending::{Ended, Failure},
    output::{self, OutputFile},
    signals::{Hangup, Signals},
};

#[derive(Args)]
pub(crate) struct Load {
    /// Number of purchases
    #[arg(long, value_name = "N", default_value = "200")]
    sagas: NonZeroU32,
    /// Maximum number of purchases at once
    #[arg(long, value_name = "C", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// Open loop: purchases started per second [default: closed loop, each buyer waits for its answer]
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Amount of each purchase
    #[arg(long, default_value = "9.99", value_parser = amount)]
    amount: Money,
    /// File of the HTML report
    #[arg(long, value_name = "FILE", default_value = "load-report.html")]
    report: PathBuf,
    /// Write no report
    #[arg(long, conflicts_with = "report")]
    no_report: bool,
    /// Buy without a question on a target that is not this computer
    #[arg(long, short)]
    yes: bool,
    /// Do not restock first: some products may run out
    #[arg(long)]
    no_restock: bool,
    /// Audit the databases afterwards, as `ecommerce audit` does [default: ask, on a terminal]
    #[arg(long, action = ArgAction::SetTrue, conflicts_with = "no_audit")]
    audit: bool,
    /// Do not audit the databases
    #[arg(long)]
    no_audit: bool,
    /// Data folder of the `ecommerce up` to audit if no database is configured
    #[arg(long, value_name = "DIR", env = "ECOMMERCE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    target: Target,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=1_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected purchases per second: a number from 0.01 to 1000000".to_owned()),
    }
}

fn amount(text: &str) -> Result<Money, String> {
    Money::parse(text).map_err(|error| error.to_string())
}

/// The request body of a purchase.
fn body(amount: Money) -> Result<String, Failure> {
    #[derive(serde::Serialize)]
    struct Order {
        user_id: &'static str,
        #[serde(with = "money::as_number")]
        amount: Money,
    }
    serde_json::to_string(&Order { user_id: "load", amount })
        .map_err(|error| Failure::broken("cannot serialize the order", &error))
}

impl Load {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        if !self.may_buy()? {
            output::tell("nothing was bought");
            return Ok(Ended::Refused);
        }
        let settings = self.configuration.load()?;
        let mut list = self.target.url(&["saga", "transactions"])?;
        list.query_pairs_mut().append_pair("limit", "1");
        // A wrong address or token must be reported before anything is changed.
        self.target.get(list).await?;
        let participants = Participants::of(&self.target, &settings)?;
        if let Some(file) = self.report_file() {
            file.prepare()?;
        }
        let stock = if self.no_restock { "unchanged".to_owned() } else { participants.restock(self.sagas.get()).await };
        let faults = participants.faults().await;
        let signals = Signals::listen(Hangup::Stops, Duration::ZERO)?;
        let work = run::Work {
            shop: buyer::Shop::new(&self.target, body(self.amount)?, self.concurrency)?,
            sagas: u64::from(self.sagas.get()),
            concurrency: self.concurrency,
            pace: self.rate.map_or(Pace::Closed, |rate| Pace::Open { rate }),
        };
        let ran = run::run(work, &signals).await;
        let call_limit = Duration::from_millis(settings.participants.timeout_ms);
        let expectation = Expectation::of(faults, participants.faults().await, call_limit);
        let summary = Summary::new(&ran, stock, expectation);
        let written = self.write_report(&ran, &summary);
        if !self.target.output.is_document() {
            output::tell(&summary.shown());
            if let Ok(Some(report)) = &written {
                output::tell(&format!("report: {report}"));
            }
        }
        let audited = if self.is_audited(&participants, &signals) { Some(self.audit(settings).await?) } else { None };
        if self.target.output.is_document() {
            self.target.output.tell(&summary.json(written.as_ref().ok().cloned().flatten(), audited.as_ref())?);
        }
        written?;
        if signals.force.is_cancelled() {
            return Ok(Ended::Forced);
        }
        let is_clean = audited.is_none_or(|report| report.is_clean());
        Ok(if is_clean && summary.all_ended_well() { Ended::Done } else { Ended::Refused })
    }

    /// Returns the file of the report, if one is written.
    fn report_file(&self) -> Option<OutputFile<'_>> {
        let file = OutputFile { path: &self.report, contents: "the report", flag: "--report" };
        (!self.no_report).then_some(file)
    }

    /// Writes the report and returns its path.
    fn write_report(&self, ran: &run::RunResults, summary: &Summary) -> Result<Option<String>, Failure> {
        let Some(file) = self.report_file() else { return Ok(None) };
        let page = report::page(ran, summary).map_err(|error| Failure::Broken(format!("the report: {error}")))?;
        file.write(&page)?;
        Ok(Some(self.report.display().to_string()))
    }

    /// Decides whether purchases are made: on this computer, and elsewhere after a question.
    fn may_buy(&self) -> Result<bool, Failure> {
        let url = self.target.url(&[])?;
        if self.yes || is_loopback(url.as_str()) {
            return Ok(true);
        }
        let sagas = self.sagas;
        if self.target.output.is_document() || !is_attended() {
            return Err(Failure::Usage(format!(
                "{url} is not this computer: --yes makes {sagas} purchases there, which take real money and stock"
            )));
        }
        output::ask(&format!("make {sagas} purchases at {url}, which take money and stock there? [y/N] "))?;
        Ok(answer().is_some_and(|answer| answer.starts_with('y')))
    }

    /// Decides whether the data is audited; at a terminal the user is asked.
    fn is_audited(&self, participants: &Participants, signals: &Signals) -> bool {
        if self.audit || self.no_audit || self.target.output.is_document() {
            return self.audit;
        }
        if !is_attended() || !participants.are_known() || signals.shutdown.begun.is_cancelled() {
            return false;
        }
        if output::ask("audit the databases now (ecommerce audit)? [Y/n] ").is_err() {
            return false;
        }
        answer().is_some_and(|answer| !answer.starts_with('n'))
    }

    async fn audit(&self, settings: Settings) -> Result<orchestrator::invariants::Report, Failure> {
        let report = audit::report(settings, self.data_dir.clone(), Run::Live, Limits::default()).await?;
        if !self.target.output.is_document() {
            output::tell(&audit::shown(&report));
        }
        Ok(report)
    }
}

/// Returns whether a person can be asked.
fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Reads the answer to a question, in lowercase; `None` at the end of input.
fn answer() -> Option<String> {
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    if !answer.ends_with('\n') {
        output::tell("");
    }
    read.ok().filter(|count| *count > 0).map(|_| answer.trim().to_lowercase())
}

/// Returns whether two URLs address the same server and path.
fn is_same_place(one: &Url, other: &Url) -> bool {
    let host = |url: &Url| url.host_str().map(|host| host.replace("localhost", "127.0.0.1"));
    host(one) == host(other)
        && one.port_or_known_default() == other.port_or_known_default()
        && one.path().trim_end_matches('/') == other.path().trim_end_matches('/')
}
