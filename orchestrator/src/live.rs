//! The live world: PostgreSQL through the saga log's group commit, participants through their clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::config::Settings;
use common::group_commit::{BatchSender, Written};
use common::ids::uuid_v7_of_cell;
use common::supervision::Handle;
use rand::RngExt;
use smol_str::SmolStr;
use tokio::time::Instant;
use uuid::Uuid;

use crate::dtm::{self, Branches};
use crate::participant_client::{Calling, ClientMsg};
use crate::store::claim::Claims;
use crate::store::lease_session::LeaseSession;
use crate::store::replicated::Replicated;
use crate::store::writer::{LogAnswer, LogItem, SagaLogWriter};
use saga_engine::SagaId;
use saga_engine::clock::DatabaseClock;
use saga_engine::definition::Definitions;
use saga_engine::lease::{LeaseState, RenewRequest, Renewal};
use saga_engine::outcome::Outcome;
use saga_engine::owner::Owner;
use saga_engine::record::{LogWrite, ValueRefused, WriteReport};
use saga_engine::recovery::{self, ClaimRequest, Claimed, Claimer};
use saga_engine::world::{Answer, Call, World};

/// The engine's [`World`] in production.
pub(crate) struct LiveWorld {
    pub(crate) saga_log: BatchSender<SagaLogWriter>,
    pub(crate) clients: BTreeMap<SmolStr, Handle<ClientMsg>>,
    /// The client of branches of DTM's clients.
    pub(crate) branches: Branches,
    pub(crate) settings: Arc<Settings>,
    /// The clock for the time in new ids.
    pub(crate) clock: Arc<DatabaseClock>,
    /// The cell that new ids name.
    pub(crate) cell: u8,
    /// Claims; its list of definitions is made anew for each look.
    pub(crate) claimer: Claimer,
    pub(crate) definitions: Arc<dyn Definitions>,
    pub(crate) lease_session: Arc<LeaseSession>,
    pub(crate) lease: Arc<LeaseState>,
    pub(crate) replicated: Arc<Replicated>,
}

impl World for LiveWorld {
    fn write(&self, write: Arc<LogWrite>, answer: Answer<WriteReport>) {
        // The call enqueues the write at once, behind the outbox's earlier writes of the same saga.
        let replicated = self.replicated.clone();
        self.saga_log.write_then(LogItem::Write(write.clone()), move |written| {
            if let Written::Committed(LogAnswer::Report(WriteReport::Durable { .. })) = &written {
                replicated.written(&write);
            }
            answer.give(match written {
                Written::Committed(LogAnswer::Report(report)) => report,
                Written::Committed(_) => WriteReport::InDoubt("the saga log gave no report".to_owned()),
                Written::Rejected(refused) => {
                    WriteReport::Rejected(ValueRefused { code: refused.sqlstate, reason: refused.reason })
                }
                Written::NotWritten(reason) => WriteReport::NotWritten(reason),
                Written::InDoubt(reason) => WriteReport::InDoubt(reason),
            });
        });
    }

    fn call(&self, call: Call, answer: Answer<Outcome>) {
        if call.participant == dtm::PARTICIPANT {
            return self.branches.call(call, answer);
        }
        // A client that is down drops the call and its answer; the saga then takes the effect as unknown.
        if let Some(client) = self.clients.get(&call.participant) {
            let _ = client.cast(ClientMsg::Call(Box::new(Calling { call, answer, since: Instant::now() })));
        }
    }

    fn may_call_actions(&self) -> bool {
        self.lease.covers_actions()
    }

    fn call_timeout(&self, participant: &str) -> Option<Duration> {
        let named = self.settings.named_participants.get(participant)?;
        Some(Duration::from_millis(named.calls.timeout_ms))
    }

    fn claim(&self, request: ClaimRequest, answer: Answer<Result<Claimed, String>>) {
        let saga_log = self.saga_log.clone();
        let claimer = Claimer { definitions: self.definitions.titles(), ..self.claimer.clone() };
        tokio::spawn(async move {
            let look = saga_log.read_in_reserve(move |connection| {
                Box::pin(async move { recovery::look(&mut Claims { claimer: &claimer, connection }, request).await })
            });
            answer.give(look.await.map_err(|error| error.to_string()));
        });
    }

    fn renew(&self, request: RenewRequest, answer: Answer<Result<Renewal, String>>) {
        let session = self.lease_session.clone();
        tokio::spawn(async move { answer.give(session.renew(request).await) });
    }

    fn give_up_lease(&self, owner: Arc<Owner>, answer: Answer<Result<(), String>>) {
        let session = self.lease_session.clone();
        tokio::spawn(async move { answer.give(session.give_up(owner).await) });
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn random(&self) -> f64 {
        rand::rng().random()
    }

    fn new_saga_id(&self) -> SagaId {
        SagaId(uuid_v7_of_cell(self.clock.now(), self.cell))
    }

    fn new_nonce(&self) -> Uuid {
        Uuid::new_v4()
    }
}
