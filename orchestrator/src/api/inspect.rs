//! `GET /saga/{id}/inspect`: one transaction in the log, in this node's memory and in each participant's journal, side
//! by side.
//!
//! The participants' journals are read at the time of the request. A participant that does not answer is listed with
//! the reason; the others are shown regardless.

use std::collections::BTreeMap;
use std::time::Duration;

use common::config::Settings;
use common::http::{ApiError, HeaderValue, Request, Response, StatusCode, bearer, json, outgoing_bearer, read_answer};
use common::reason::with_causes;
use common::wire::journal::{JournalEntry, JournalView};
use futures::future::join_all;
use reqwest::redirect::Policy;
use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::{ApiContext, saga_id, unknown, unreadable, unreadable_row};
use crate::store::full_row::{self, FullRow};
use saga_engine::SagaId;
use saga_engine::definition::{Definition, Effect};

/// Time limit for one participant's answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The journals of the participants that keep one.
pub(crate) struct Journals(BTreeMap<SmolStr, Journal>);

/// The way to one participant's journal.
struct Journal {
    http: reqwest::Client,
    url: String,
    bearer: Option<HeaderValue>,
}

impl Journals {
    /// Of our own participants, those of steps with an effect keep a journal; of those that users name, the ones whose
    /// settings say so.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new<'d>(
        settings: &Settings,
        definitions: impl Iterator<Item = &'d Definition>,
    ) -> Result<Journals, reqwest::Error> {
        let http2 = client().http2_prior_knowledge().build()?;
        let negotiated = client().build()?;
        let bearer_of_ours = outgoing_bearer(&settings.auth);
        let own = |name: &SmolStr| {
            let url = settings.services.get(&**name)?.url.clone();
            Some(Journal { http: http2.clone(), url, bearer: bearer_of_ours.clone() })
        };
        let steps = definitions.flat_map(|definition| definition.steps());
        let with_effect = steps.filter(|step| !matches!(step.effect, Effect::ReadOnly { .. }));
        let mut journals: BTreeMap<SmolStr, Journal> =
            with_effect.filter_map(|step| Some((step.participant.clone(), own(&step.participant)?))).collect();
        for (name, named) in settings.named_participants.iter().filter(|(_, named)| named.journal) {
            let has_http2 = named.http2 && named.url.starts_with("http://");
            let http = if has_http2 { http2.clone() } else { negotiated.clone() };
            journals.insert(name.into(), Journal { http, url: named.url.clone(), bearer: bearer(&named.token) });
        }
        Ok(Journals(journals))
    }
}

fn client() -> reqwest::ClientBuilder {
    common::tls::http_client().no_proxy().redirect(Policy::none()).timeout(TIMEOUT)
}

impl Journal {
    async fn read(&self, id: SagaId) -> Result<Vec<JournalEntry>, String> {
        let mut request = self.http.get(format!("{}/journal/{id}/", self.url));
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

/// One transaction in the log, in memory and in the journals.
#[derive(Serialize, ToSchema)]
pub(super) struct Inspection {
    transaction_id: SagaId,
    /// The row of the saga log; null if there is none.
    #[schema(required)]
    log: Option<FullRow>,
    /// The saga's actor on this node; null if the saga runs on another node or not at all.
    #[schema(required, value_type = Option<Object>)]
    memory: Option<Value>,
    /// Per participant: its journal, or the error.
    #[schema(value_type = BTreeMap<String, JournalReply>)]
    participants: BTreeMap<SmolStr, JournalReply>,
}

/// A participant's journal, or why it is missing.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum JournalReply {
    Journal { journal: Vec<JournalEntry> },
    NoAnswer { error: String },
}

pub(super) async fn show(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let id = saga_id(&request)?;
    let read = || look(&api, id);
    match unknown::find(&api, id, read).await {
        Err(error) if error.status() == StatusCode::NOT_FOUND => {
            Err(ApiError::not_found(format!("neither the saga log nor a participant has a record of {id}")))
        }
        found => Ok(json(StatusCode::OK, &found?)),
    }
}

/// Reads the log and all journals; `None` if neither the log nor any participant knows the transaction.
async fn look(api: &ApiContext, id: SagaId) -> Result<Option<Inspection>, ApiError> {
    let journals = api.journals.clone();
    let asked = journals.0.iter().map(|(name, journal)| async move {
        let held = match journal.read(id).await {
            Ok(journal) => JournalReply::Journal { journal },
            Err(error) => JournalReply::NoAnswer { error },
        };
        (name.clone(), held)
    });
    let row = api.saga_log.read(move |connection| Box::pin(full_row::read(connection, id)));
    let (log, participants) = futures::join!(row, join_all(asked));
    let log = log.map_err(unreadable)?.transpose().map_err(unreadable_row)?;
    let participants: BTreeMap<_, _> = participants.into_iter().collect();
    let nobody_knows =
        participants.values().all(|held| matches!(held, JournalReply::Journal { journal } if journal.is_empty()));
    if log.is_none() && nobody_knows {
        return Ok(None);
    }
    let memory = api.running.get(id).map(|saga| saga.in_full());
    Ok(Some(Inspection { transaction_id: id, log, memory, participants }))
}
