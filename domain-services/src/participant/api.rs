//! The path of an operation from its parsed request to its answer.
//!
//! ```text
//! parsed request ─► 503?  ─► cut?  ─► latency ─► ledger (twice?) ─► reply lost? ─► answer
//!                   └──── simulated: the failure lab ────┘
//! ```
//! The draw of the business decision is made here and passed with the item; the ledger uses it only if no decision is
//! recorded yet. The transport's draws are made for each delivery. A simulated latency is a timer that holds neither
//! a connection nor a place in the ledger's queue.

use common::{
    faults::{FailureDraw, FaultSampler},
    group_commit::BatchSender,
    http::{Access, ApiError, Because, Request, Response, Routes, StatusCode, json, transport_faults},
    ids::TransactionId,
    names::MAX_NAME,
    request_hash::RequestHash,
    wire,
};

use super::{
    Action, Participant,
    answer::{self, RETRY_AFTER_S, answer},
    describe,
    ledger::{Intent, Item, JournaledWriter},
    request::transaction_in_path,
    step_journal::{self, Origin},
};

/// Shared state of a participant's handlers. Clones share it.
pub(crate) struct ParticipantApi<P: Participant> {
    pub(crate) ledger: BatchSender<JournaledWriter<P>>,
    pub(crate) sampler: FaultSampler,
}

impl<P: Participant> Clone for ParticipantApi<P> {
    fn clone(&self) -> Self {
        Self { ledger: self.ledger.clone(), sampler: self.sampler.clone() }
    }
}

impl<P: Participant> ParticipantApi<P> {
    /// Runs an action, once.
    pub(crate) async fn act(
        &self,
        request: &Request,
        transaction_id: TransactionId,
        action: P::Action,
    ) -> Result<Response, ApiError> {
        let operation = action.operation();
        let delivery = Delivery::of(request, operation, transaction_id.as_str());
        let hash = RequestHash::of(operation, &action.canonical_fields());
        let draw = self.sampler.decision(operation, transaction_id.as_str());
        let origin = origin(request, &transaction_id);
        let intent = Intent::Act { action, hash, draw };
        self.deliver(delivery, Item { transaction_id, origin, intent }).await
    }

    /// Undoes the action of a transaction, once, or leaves a tombstone so that the action never happens.
    pub(crate) async fn compensate(
        &self,
        request: &Request,
        transaction_id: TransactionId,
    ) -> Result<Response, ApiError> {
        let delivery = Delivery::of(request, P::COMPENSATION, transaction_id.as_str());
        // A compensation must not refuse, so its failure rate makes it unavailable: a draw of the transport, made for
        // each attempt and never recorded.
        delivery.toss_unavailable(&self.sampler)?;
        let origin = origin(request, &transaction_id);
        self.deliver(delivery, Item { transaction_id, origin, intent: Intent::Compensate }).await
    }

    /// Returns the journal entries of a transaction.
    pub(crate) async fn journal(&self, request: Request) -> Result<Response, ApiError> {
        let transaction_id = transaction_in_path(&request)?;
        let view = self
            .ledger
            .read_for_display(move |connection| {
                Box::pin(async move { step_journal::view::<P>(connection, transaction_id).await })
            })
            .await
            .map_err(answer::unreadable)?;
        Ok(json(StatusCode::OK, &view))
    }

    async fn deliver(&self, delivery: Delivery, item: Item<P::Action>) -> Result<Response, ApiError> {
        let fate = self.sampler.transport(delivery.operation, &delivery.subject, &delivery.attempt);
        if fate.unavailable {
            return Err(simulated_unavailable(P::NAME));
        }
        if fate.cut_connection {
            return Ok(transport_faults::cut_connection());
        }
        pause(&self.sampler, delivery.operation).await;
        let transaction_id = item.transaction_id.clone();
        let written = if fate.duplicate {
            futures::join!(self.ledger.write(item.clone()), self.ledger.write(item)).0
        } else {
            self.ledger.write(item).await
        };
        if fate.lost_reply {
            return Ok(transport_faults::lost_reply());
        }
        answer(written, &transaction_id)
    }
}

/// Returns the journal route, common to all participants with a journal.
pub(crate) fn journal_route<P: Participant>(api: &ParticipantApi<P>) -> Routes {
    let show = |api: ParticipantApi<P>, request| async move { api.journal(request).await };
    Routes::new(P::NAME).get("/journal/{transaction_id}/", Access::Service, describe::journal, with(api, show))
}

/// One delivery of a request, as seen by the transport's draws.
struct Delivery {
    operation: &'static str,
    /// The transaction; for a read, the saga or the request.
    subject: String,
    attempt: String,
}

impl Delivery {
    /// Takes the attempt from the saga's headers. Without them the request id is the attempt: a manual retry by a
    /// client counts as another attempt too.
    fn of(request: &Request, operation: &'static str, subject: &str) -> Self {
        let attempt = match request.header(wire::SAGA_ATTEMPT) {
            Some(attempt) => format!("{}/{attempt}", request.header(wire::SAGA_EPOCH).unwrap_or_default()),
            None => request.request_id.clone(),
        };
        Self { operation, subject: subject.to_owned(), attempt }
    }

    /// Draws by the failure rate of an operation that must not refuse, as a draw of the transport.
    ///
    /// # Errors
    /// The simulated 503.
    fn toss_unavailable(&self, sampler: &FaultSampler) -> Result<(), ApiError> {
        match sampler.decision(self.operation, &format!("{}\0{}", self.subject, self.attempt)) {
            FailureDraw::Accept => Ok(()),
            FailureDraw::Refuse => Err(simulated_unavailable(sampler.service())),
        }
    }
}

/// Makes a route's handler of a function and its shared state.
pub(crate) fn with<D, F, Answer>(
    api: &D,
    handle: F,
) -> impl Fn(Request) -> Answer + Send + Sync + 'static + use<D, F, Answer>
where
    D: Clone + Send + Sync + 'static,
    F: Fn(D, Request) -> Answer + Send + Sync + 'static,
{
    let api = api.clone();
    move |request| handle(api.clone(), request)
}

/// Runs a read under the failure lab.
pub(crate) async fn simulated_read(
    sampler: &FaultSampler,
    request: &Request,
    operation: &'static str,
    work: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    let subject = request.header(wire::SAGA_ID).unwrap_or(&request.request_id);
    let delivery = Delivery::of(request, operation, subject);
    delivery.toss_unavailable(sampler)?;
    let fate = sampler.transport(operation, subject, &delivery.attempt);
    if fate.unavailable {
        return Err(simulated_unavailable(sampler.service()));
    }
    if fate.cut_connection {
        return Ok(transport_faults::cut_connection());
    }
    pause(sampler, operation).await;
    let answer = work.await;
    // A duplicate read has no effect, so there is nothing to simulate.
    if fate.lost_reply { Ok(transport_faults::lost_reply()) } else { answer }
}

async fn pause(sampler: &FaultSampler, operation: &str) {
    let latency = sampler.latency(operation);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

fn simulated_unavailable(service: &str) -> ApiError {
    ApiError::unavailable(format!("{service} is unavailable (simulated); nothing was done"), RETRY_AFTER_S)
        .because(Because::Simulated)
}

/// Reads the origin from the headers. Malformed headers are ignored: no decision depends on them.
fn origin(request: &Request, transaction_id: &TransactionId) -> Origin {
    let number = |name| request.header(name).and_then(|text| text.parse().ok());
    Origin {
        from_saga: request.header(wire::SAGA_ID).is_some_and(|saga| is_of(transaction_id.as_str(), saga)),
        step: request.header(wire::SAGA_STEP).map(|step| step.chars().take(MAX_NAME).collect()),
        attempt: number(wire::SAGA_ATTEMPT),
        epoch: number(wire::SAGA_EPOCH),
        trace: Some(request.trace),
    }
}

/// Tells whether a transaction is a saga's: its id is that of the saga, or the key of a step, `<saga id>:<step>`.
fn is_of(transaction_id: &str, saga: &str) -> bool {
    transaction_id.strip_prefix(saga).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}
