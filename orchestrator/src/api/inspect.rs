//! `GET /saga/{id}/inspect`: one transaction in the log, in this node's memory and in each participant's journal, side
//! by side.
//!
//! The participants' journals are read at the time of the request. A participant that does not answer is listed with
//! the reason; the others are shown regardless.

mod requests;

use std::collections::BTreeMap;

use common::http::{ApiError, Request, Response, StatusCode, json};
use common::wire::journal::JournalEntry;
use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use utoipa::ToSchema;

use self::requests::StepRequests;
use super::{ApiContext, saga_id, unknown, unreadable, unreadable_row};
use crate::store::full_row::{self, FullRow};
use saga_engine::SagaId;
use saga_engine::definition::Definitions as _;

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
    /// The requests of each step that was called, made anew from the row; empty without a row, or if this node does not
    /// know the definition.
    #[schema(value_type = BTreeMap<String, StepRequests>)]
    requests: BTreeMap<SmolStr, StepRequests>,
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
    let asked = journals.iter().map(|(name, journal)| async move {
        let held = match journal.read(id).await {
            Ok(journal) => JournalReply::Journal { journal },
            Err(error) => JournalReply::NoAnswer { error },
        };
        (name.clone(), held)
    });
    let row = api.saga_log.read(move |connection| Box::pin(full_row::read(connection, id)));
    let (log, participants) = futures::join!(row, join_all(asked));
    let log = log.map_err(unreadable)?.transpose().map_err(unreadable_row)?;
    let mut participants: BTreeMap<_, _> = participants.into_iter().collect();
    let nobody_knows =
        participants.values().all(|held| matches!(held, JournalReply::Journal { journal } if journal.is_empty()));
    if log.is_none() && nobody_knows {
        return Ok(None);
    }
    if let Some(row) = &log {
        // A service without a part in the saga has nothing to show.
        participants.retain(|name, held| {
            row.calls(name) || matches!(held, JournalReply::Journal { journal } if !journal.is_empty())
        });
    }
    let memory = api.running.get(id).map(|saga| saga.in_full());
    let requests = log.as_ref().and_then(|row| {
        let definition = api.definitions.find(&row.name, row.version, &row.input)?;
        Some(requests::of_steps(&definition, id, row))
    });
    Ok(Some(Inspection { transaction_id: id, log, memory, requests: requests.unwrap_or_default(), participants }))
}
