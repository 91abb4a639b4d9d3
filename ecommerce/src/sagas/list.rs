//! `sagas list`: sagas of all definitions, newest first.

use clap::{Args, builder::PossibleValuesParser};
use serde::Deserialize;

use super::title;
use crate::{
    arrangement::Arrangement,
    client::{Page, Part, Target},
    ending::{Ended, Failure},
    list::STATUSES,
    output::{self, View},
};

#[derive(Args)]
pub(crate) struct List {
    /// Only sagas of this definition, in all its versions
    #[arg(long, value_name = "NAME", value_parser = name)]
    definition: Option<String>,
    /// Only sagas with this status
    #[arg(long, ignore_case = true, value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    #[command(flatten)]
    arrangement: Arrangement,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    target: Target,
}

/// The table shows `trip/1`, but the list takes the name alone.
fn name(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        None => Ok(text.to_owned()),
        Some((name, _)) => Err(format!("expected the name without the version: {name}")),
    }
}

#[derive(Deserialize)]
struct Saga {
    saga_id: String,
    definition: Option<String>,
    version: Option<i32>,
    status: String,
    failed_step: Option<String>,
    created_at: Option<String>,
    error: Option<String>,
}

impl List {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let mut url = self.target.url(&["sagas"])?;
        let status = self.status.map(|status| status.to_ascii_uppercase());
        self.part.add_to(&mut url, [("definition", self.definition), ("status", status)]);
        let answer = self.target.get(url).await?;
        self.arrangement.apply(answer)?.print(self.target.output.format(), shown)?;
        Ok(Ended::Done)
    }
}

fn shown(page: Page<Saga>, view: &View) -> String {
    let extent = page.extent();
    let rows = page.rows.into_iter().map(|saga| {
        [
            output::cell(&saga.saga_id),
            output::state(&saga.status),
            output::optional(title(saga.definition, saga.version)),
            output::optional(saga.failed_step),
            view.moment(saga.created_at),
            output::optional(saga.error),
        ]
    });
    let table = output::table(["saga", "status", "definition", "failed step", "created", "error"], rows);
    format!("{table}\n{extent}")
}
