//! `cancel`, `attention`, `retry`, `resolve`: commands on sagas that were started.

use clap::Args;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::{
    client::{Page, Part, Target},
    ending::{Ended, Failure},
    ids::{self, SagaId, saga_id},
    output::{self, View, age},
    sagas::title,
};

#[derive(Args)]
pub(crate) struct Cancel {
    /// Id of the purchase; a unique beginning or end of it is enough
    #[arg(value_parser = saga_id, add = ids::completer())]
    id: SagaId,
    #[command(flatten)]
    target: Target,
}

impl Cancel {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let id = self.target.find(&self.id).await?;
        post(&self.target, &["saga", &id.to_string(), "cancel"], None, StatusCode::ACCEPTED).await
    }
}

#[derive(Args)]
#[command(override_usage = "ecommerce retry [OPTIONS] <ID>\n       ecommerce retry [OPTIONS] --all")]
pub(crate) struct Retry {
    /// Id of the purchase; a unique beginning or end of it is enough
    #[arg(value_parser = saga_id, add = ids::completer(), required_unless_present = "all", conflicts_with = "all")]
    id: Option<SagaId>,
    /// Retry every purchase in the attention list
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    target: Target,
}

impl Retry {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        match self.id {
            Some(id) => {
                let id = self.target.find(&id).await?;
                post(&self.target, &["saga", &id.to_string(), "retry"], None, StatusCode::ACCEPTED).await
            }
            None => post(&self.target, &["saga", "attention", "retry"], None, StatusCode::ACCEPTED).await,
        }
    }
}

#[derive(Args)]
pub(crate) struct Resolve {
    /// Id of the purchase; a unique beginning or end of it is enough
    #[arg(value_parser = saga_id, add = ids::completer())]
    id: SagaId,
    /// How the purchase was settled, for later readers
    #[arg(long)]
    note: String,
    /// Who settled it [default: the name of the login]
    #[arg(long, value_name = "NAME", env = "USER")]
    by: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Resolve {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let body = serde_json::json!({ "note": self.note, "by": self.by.filter(|by| !by.is_empty()) }).to_string();
        let id = self.target.find(&self.id).await?;
        post(&self.target, &["saga", &id.to_string(), "resolve"], Some(body), StatusCode::OK).await
    }
}

/// The orchestrator's answer about one saga or several.
#[derive(Deserialize)]
struct OperatorReply {
    transaction_id: Option<String>,
    status: Option<String>,
    message: Option<String>,
    note: Option<String>,
    by: Option<String>,
    woken: Option<u64>,
}

async fn post(target: &Target, path: &[&str], body: Option<String>, expected: StatusCode) -> Result<Ended, Failure> {
    let answer = target.ask(Method::POST, target.url(path)?, body).await?;
    if answer.status != expected {
        return Err(answer.into_failure());
    }
    let said = answer.read()?;
    if target.output.is_document() {
        target.output.tell(&answer.body)
    } else {
        output::tell(&sentence(said))
    }
    Ok(Ended::Done)
}

fn sentence(said: OperatorReply) -> String {
    let OperatorReply { transaction_id, status, message, note, by, woken } = said;
    if let Some(woken) = woken {
        let are_retried = if woken == 1 { "purchase is" } else { "purchases are" };
        return format!("{woken} {are_retried} retried now");
    }
    let id = transaction_id.unwrap_or_default();
    let status = status.unwrap_or_default();
    let said = message.or(note.map(|note| resolution(&note, by.as_deref()))).unwrap_or_default();
    output::printable(&format!("{id} {status}: {said}"))
}

/// How a person settled a saga, as the orchestrator shows it.
#[derive(Deserialize)]
pub(crate) struct Resolution {
    at: String,
    note: String,
    by: Option<String>,
}

impl Resolution {
    /// Describes it with its time.
    pub(crate) fn shown(&self, view: &View) -> String {
        format!("{} {}", view.time(&self.at), resolution(&self.note, self.by.as_deref()))
    }
}

/// Describes how a person settled a saga.
fn resolution(note: &str, by: Option<&str>) -> String {
    match by {
        Some(by) => format!("resolved by {by}: {note}"),
        None => format!("resolved: {note}"),
    }
}

#[derive(Args)]
pub(crate) struct Attention {
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Entry {
    transaction_id: String,
    status: String,
    definition: Option<String>,
    version: Option<i32>,
    attention: AttentionReason,
}

#[derive(Deserialize)]
struct AttentionReason {
    reason: String,
    age_seconds: u64,
    step: Option<String>,
    attempts: u64,
    last_error: Option<String>,
}

impl Attention {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let mut url = self.target.url(&["saga", "attention"])?;
        self.part.add_to(&mut url, []);
        let answer = self.target.get(url).await?;
        answer.print(self.target.output.format(), shown)?;
        Ok(Ended::Done)
    }
}

fn shown(page: Page<Entry>, _: &View) -> String {
    if page.total == 0 {
        return "no purchase needs attention".to_owned();
    }
    let extent = page.extent();
    let rows = page.rows.into_iter().map(|entry| {
        let Entry { transaction_id, status, definition, version, attention } = entry;
        let AttentionReason { reason, age_seconds, step, attempts, last_error } = attention;
        [
            output::cell(transaction_id),
            output::state(&status),
            output::optional(title(definition, version)),
            output::optional(step),
            output::cell(attempts.to_string()),
            output::cell(age(age_seconds)),
            output::cell(last_error.unwrap_or(reason)),
        ]
    });
    let table = output::table(["id", "status", "definition", "step", "attempts", "age", "error"], rows);
    format!(
        "{table}\n{extent}\n`ecommerce retry ID` (or --all) retries now, `ecommerce resolve ID --note …` settles one"
    )
}
