//! `inspect`: the entries of the saga log and of each participant for one transaction, side by side.

use std::collections::BTreeMap;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::Target,
    ending::{Ended, Failure},
    ids::{self, SagaId, saga_id},
    output::{self, View},
    steps::{self, Step, Takeover},
};

#[derive(Args)]
pub(crate) struct Inspect {
    /// Id of the purchase; a unique beginning or end of it is enough
    #[arg(value_parser = saga_id, add = ids::completer())]
    id: SagaId,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Inspection {
    transaction_id: String,
    log: Option<Value>,
    participants: BTreeMap<String, JournalReply>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JournalReply {
    Journal { journal: Vec<Entry> },
    NoAnswer { error: String },
}

#[derive(Deserialize)]
struct Entry {
    operation: String,
    status: i64,
    decided_at: Option<String>,
    attempt: Option<i64>,
    epoch: Option<i64>,
    tombstone: bool,
    reply: Value,
}

/// The most informative members of the row, in display order.
const SHOWN: [&str; 13] = [
    "definition",
    "status",
    "direction",
    "error",
    "outputs",
    "owner_node",
    "epoch",
    "created_at",
    "ended_at",
    "wake_at",
    "attention",
    "resolved_note",
    "resolved_by",
];

impl Inspect {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let id = self.target.find(&self.id).await?;
        let url = self.target.url(&["saga", &id.to_string(), "inspect"])?;
        let answer = self.target.get(url).await?;
        answer.print(self.target.output.format(), shown)?;
        Ok(Ended::Done)
    }
}

fn shown(inspection: Inspection, view: &View) -> String {
    let Inspection { transaction_id, log, participants } = inspection;
    let facts = match &log {
        None => vec![[output::cell("log"), output::cell("has no such saga")]],
        Some(row) => SHOWN.iter().map(|name| [output::cell(name), output::optional(text(&row[*name]))]).collect(),
    };
    let member = |name: &str| log.as_ref().map(|row| row[name].clone()).unwrap_or_default();
    let steps: Vec<Step> = serde_json::from_value(member("steps")).unwrap_or_default();
    let takeovers: Vec<Takeover> = serde_json::from_value(member("takeovers")).unwrap_or_default();
    let mut decisions = Vec::new();
    for (participant, held) in participants {
        let journal = match held {
            JournalReply::NoAnswer { error } => {
                decisions.push([
                    output::cell(participant),
                    output::cell("no answer"),
                    output::optional(None::<&str>),
                    output::optional(None::<&str>),
                    output::optional(None::<&str>),
                    output::cell(error),
                ]);
                continue;
            }
            JournalReply::Journal { journal } => journal,
        };
        if journal.is_empty() {
            let nothing = || output::optional(None::<&str>);
            decisions.push([output::cell(&participant), nothing(), nothing(), nothing(), nothing(), nothing()]);
        }
        for entry in journal {
            let Entry { operation, status, decided_at, attempt, epoch, tombstone, reply } = entry;
            let operation = if tombstone { format!("{operation} (tombstone)") } else { operation };
            let asked = attempt.map(|attempt| match epoch {
                Some(epoch) => format!("attempt {attempt}, epoch {epoch}"),
                None => format!("attempt {attempt}"),
            });
            decisions.push([
                output::cell(&participant),
                output::cell(operation),
                output::cell(status.to_string()),
                view.moment(decided_at),
                output::optional(asked),
                output::cell(reply.to_string()),
            ]);
        }
    }
    let header = ["participant", "operation", "status", "decided", "requested by", "reply"];
    let mut tables = vec![output::table(["id", &transaction_id], facts)];
    if !steps.is_empty() {
        tables.extend(steps::tables(steps, takeovers, view));
    }
    tables.push(if decisions.is_empty() {
        "no participant of this saga offers a journal".to_owned()
    } else {
        output::table(header, decisions)
    });
    tables.join("\n")
}

/// Formats a value without the quotes of a string; null becomes `None`.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
