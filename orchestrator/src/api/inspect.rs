//! `GET /saga/{id}/inspect`: what the log, this node's memory and each participant hold of one transaction, side by side.
//!
//! The participants are asked for their journals as they are now; one that does not answer is named with its reason, and
//! holds up nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use common::config::Settings;
use common::http::{ApiError, HeaderValue, Request, Response, StatusCode, json, outgoing_bearer, read_answer};
use common::reason::with_causes;
use common::wire::journal::{JournalEntry, JournalView};
use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Desk, saga_id, unknown, unreadable, unreadable_row};
use crate::store::whole::{self, WholeRow};
use saga_engine::SagaId;
use saga_engine::definition::{Definition, Effect};

/// How long a participant may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The way to the participants' journals.
pub(crate) struct Journals {
    http: reqwest::Client,
    bearer: Option<HeaderValue>,
    /// The URL of each participant that keeps one.
    participants: BTreeMap<&'static str, String>,
}

impl Journals {
    /// Makes it. Only steps with an effect leave something in a journal.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new<'d>(
        settings: &Settings,
        definitions: impl Iterator<Item = &'d Definition>,
    ) -> Result<Journals, reqwest::Error> {
        let steps = definitions.flat_map(|definition| &definition.steps);
        let participants = steps
            .filter(|step| !matches!(step.effect, Effect::ReadOnly { .. }))
            .map(|step| (step.participant, settings.service(step.participant).url.clone()))
            .collect();
        let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().timeout(TIMEOUT).build()?;
        Ok(Journals { http, bearer: outgoing_bearer(&settings.auth), participants })
    }

    async fn read(&self, url: &str, id: SagaId) -> Result<Vec<JournalEntry>, String> {
        let mut request = self.http.get(format!("{url}/journal/{id}/"));
        if let Some(bearer) = &self.bearer {
            request = request.header("authorization", bearer);
        }
        let response = request.send().await.map_err(|error| with_causes(&error.without_url()))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!("answered {status}"));
        }
        let body = read_answer(reqwest::Body::from(response)).await?;
        let view: JournalView = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(view.entries)
    }
}

/// What everybody holds of one transaction.
#[derive(Serialize, ToSchema)]
pub(super) struct Inspection {
    transaction_id: SagaId,
    /// The row of the saga log; null where it has none.
    #[schema(required)]
    log: Option<WholeRow>,
    /// The actor on the node that was asked; null where it runs on another one, or not at all.
    #[schema(required, value_type = Option<Object>)]
    memory: Option<Value>,
    /// By participant: its journal, or why it did not answer.
    #[schema(value_type = BTreeMap<String, Held>)]
    participants: BTreeMap<&'static str, Held>,
}

/// What a participant holds.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Held {
    Journal { journal: Vec<JournalEntry> },
    NoAnswer { error: String },
}

pub(super) async fn show(desk: Desk, request: Request) -> Result<Response, ApiError> {
    let id = saga_id(&request)?;
    let read = || look(&desk, id);
    match unknown::find(&desk, id, read).await {
        Err(error) if error.status() == StatusCode::NOT_FOUND => {
            Err(ApiError::not_found(format!("neither the log nor a participant knows {id}")))
        }
        found => Ok(json(StatusCode::OK, &found?)),
    }
}

/// Asks everybody; `None` if none of them knows it.
async fn look(desk: &Desk, id: SagaId) -> Result<Option<Inspection>, ApiError> {
    let journals = desk.journals.clone();
    let asked = journals.participants.iter().map(|(name, url)| {
        let journals = &journals;
        async move {
            let held = match journals.read(url, id).await {
                Ok(journal) => Held::Journal { journal },
                Err(error) => Held::NoAnswer { error },
            };
            (*name, held)
        }
    });
    let row = desk.saga_log.read(move |connection| Box::pin(whole::read(connection, id)));
    let (log, participants) = futures::join!(row, join_all(asked));
    let log = log.map_err(unreadable)?.transpose().map_err(unreadable_row)?;
    let participants: BTreeMap<_, _> = participants.into_iter().collect();
    let nobody_knows =
        participants.values().all(|held| matches!(held, Held::Journal { journal } if journal.is_empty()));
    if log.is_none() && nobody_knows {
        return Ok(None);
    }
    let memory = desk.running.get(id).map(|saga| saga.in_full());
    Ok(Some(Inspection { transaction_id: id, log, memory, participants }))
}
