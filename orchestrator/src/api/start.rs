//! The start of a saga, and the wait for its end, as the log holds it: of a purchase and of any other saga.
//!
//! ```text
//! key known? ──yes──► same contents? ──no──► 422
//!     │                    └─yes──► wait for the end of that saga, or give its stored answer
//!     └─no──► start a saga ──► its end, or 202 at the wait limit ; if another saga took the key first: as above
//! ```

use std::time::Duration;

use common::http::{ApiError, Because, HeaderValue, PartOf, Request, Response, SagaSecret};
use common::wire;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::preference::Preference;
use super::{ApiContext, answer, dtm, sagas, unconfirmed, unknown, unreadable, unreadable_row};
use crate::checkout::Order;
use crate::store::reader::{self, KeyHolder};
use saga_engine::SagaId;
use saga_engine::actor::{Standing, StartAnswer};
use saga_engine::coordinator::{CoordinatorMsg, StartSaga};
use saga_engine::lease::LeaseState;
use saga_engine::record::{Fingerprint, IdempotencyKey, KeyScope};
use saga_engine::stored::StoredSaga;

/// Interval of reads of a row whose saga has no actor here.
const ASK_THE_ROW_EVERY: Duration = Duration::from_millis(100);
/// `Retry-After` while all sagas are on hold, in seconds: an operator has to release the hold.
const HELD_RETRY_AFTER_S: u64 = 30;
/// Time limit for a saga to be in the log, for a client that does not wait for the end.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after its lease has run out a node may still read the saga log for a client.
const RENEWED_WITHIN: Duration = Duration::from_secs(1);

/// Whether the saga is known to be in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// It was read there.
    InTheLog,
    /// Only this process knows of it.
    Uncertain,
}

/// The saga that a request starts.
pub(super) enum Wanted {
    Purchase(Order),
    Saga(sagas::Wanted),
    Dtm(dtm::Submitted),
}

impl Wanted {
    fn noun(&self) -> &'static str {
        match self {
            Wanted::Purchase(_) => "purchase",
            Wanted::Saga(_) | Wanted::Dtm(_) => "saga",
        }
    }

    fn scope(&self) -> KeyScope {
        match self {
            Wanted::Purchase(order) => KeyScope::User(order.user_id.to_string()),
            Wanted::Saga(_) => KeyScope::Sagas,
            Wanted::Dtm(_) => KeyScope::Gid,
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        match self {
            Wanted::Purchase(order) => super::purchase::fingerprint(order),
            Wanted::Saga(wanted) => wanted.fingerprint(),
            Wanted::Dtm(_) => Fingerprint { version: 0, hash: Vec::new() },
        }
    }

    /// Tells whether the saga that holds the key was started by an equal request.
    fn equals(&self, fingerprint: &Fingerprint, holder: &KeyHolder) -> bool {
        match self {
            Wanted::Purchase(order) => super::purchase::same_contents(order, fingerprint, holder),
            Wanted::Saga(wanted) => wanted.equals(fingerprint, holder),
            Wanted::Dtm(_) => true,
        }
    }
}

/// A request in progress.
pub(super) struct Asked {
    pub(super) api: ApiContext,
    request: Request,
    preference: Preference,
    wanted: Wanted,
    key: Option<IdempotencyKey>,
    secret: Option<SagaSecret>,
    started_at: Instant,
    /// End of the client's wait.
    deadline: Instant,
}

/// Starts the saga of a request, or answers for the saga that holds its key.
pub(super) async fn start(api: ApiContext, request: Request, wanted: Wanted) -> Result<Response, ApiError> {
    Asked::of(api, request, wanted)?.answer().await
}

/// Waits until this node is probably cut off from the saga log. A lease that ran out because the whole process stalled is
/// renewed before.
async fn run_out_for_long(lease: &LeaseState) {
    lease.run_out().await;
    tokio::time::sleep(RENEWED_WITHIN).await;
}

fn no_lease(why: &str) -> ApiError {
    ApiError::unavailable(format!("this node holds no lease: {why}; nothing was done"), 1).because(Because::NoLease)
}

// A future holds what its arguments hold, and is copied into its task: so these borrow, and rare cases are boxed.
impl Asked {
    pub(super) fn of(api: ApiContext, request: Request, wanted: Wanted) -> Result<Asked, ApiError> {
        let key = match &wanted {
            Wanted::Dtm(submitted) => Some(submitted.submission.gid.clone()),
            Wanted::Purchase(_) | Wanted::Saga(_) => {
                request.idempotency_key(ApiError::bad_fields_422)?.map(|key| key.bare().to_owned())
            }
        };
        let key = key.map(|key| IdempotencyKey { scope: wanted.scope(), key, fingerprint: wanted.fingerprint() });
        let secret = match &wanted {
            // Its client asks by the gid.
            Wanted::Dtm(_) => None,
            Wanted::Purchase(_) | Wanted::Saga(_) => request.saga_secret()?,
        };
        let preference = match &wanted {
            Wanted::Dtm(submitted) if submitted.waits => Preference::default(),
            Wanted::Dtm(_) => Preference::ASYNC,
            Wanted::Purchase(_) | Wanted::Saga(_) => Preference::of(&request),
        };
        let started_at = Instant::now();
        let deadline = started_at + preference.wait_limit(api.wait_limit);
        Ok(Asked { api, request, preference, wanted, key, secret, started_at, deadline })
    }

    pub(super) async fn answer(&self) -> Result<Response, ApiError> {
        // Looked up before admission: a repeat starts no saga, so it is accepted even under full load.
        match &self.key {
            Some(key) => Box::pin(self.answer_for(key)).await,
            None => self.start().await,
        }
    }

    async fn answer_for(&self, key: &IdempotencyKey) -> Result<Response, ApiError> {
        let holder = tokio::select! {
            biased;
            holder = self.key_holder(key) => holder?,
            () = run_out_for_long(&self.api.lease) => return Err(no_lease("its key cannot be looked up")),
        };
        match holder {
            Some(holder) => self.replay(holder).await,
            None => self.start().await,
        }
    }

    /// Refuses a saga while all are on hold, or while this node has no lease.
    fn check_lease(&self) -> Result<(), ApiError> {
        match self.api.lease.hold() {
            Some(hold) => {
                let detail = format!("all {}s are on hold ({}); nothing was done", self.wanted.noun(), hold.reason);
                Err(ApiError::unavailable(detail, HELD_RETRY_AFTER_S).because(Because::Hold))
            }
            None => self.api.lease.check().map_err(|lost| no_lease(&lost)),
        }
    }

    async fn start(&self) -> Result<Response, ApiError> {
        if self.api.lease.has_run_out() || self.api.lease.hold().is_some() {
            self.check_lease()?;
        }
        let (definition, input) = match &self.wanted {
            Wanted::Purchase(order) => (self.api.checkout.clone(), order.to_input()),
            Wanted::Saga(wanted) => Box::pin(wanted.resolve(&self.api)).await?,
            Wanted::Dtm(submitted) => self.api.definitions.of_submission(&submitted.submission)?,
        };
        let id = self.api.world.new_saga_id();
        let (waiter, mut answer) = oneshot::channel();
        let secret = self.secret.as_ref().map(|secret| secret.hash(id.0));
        let start = StartSaga { id, definition, input, key: self.key.clone(), secret, waiter };
        self.api
            .coordinator
            .cast(CoordinatorMsg::StartSaga(Box::new(start)))
            .map_err(|_| ApiError::unavailable("the coordinator is being restarted; nothing was done", 1))?;
        if self.preference.respond_async {
            return Ok(part_of(Box::pin(self.leave(id, &mut answer)).await?, id));
        }
        Ok(part_of(self.wait(id, answer).await?, id))
    }

    /// Waits for the answer of the saga's actor.
    async fn wait(&self, id: SagaId, mut answer: oneshot::Receiver<StartAnswer>) -> Result<Response, ApiError> {
        // A purchase without a product by this time begins without one: near `begin_limit` the begin could be refused.
        let begin_by = self.started_at + self.api.begin_limit / 2;
        let mut until = self.deadline.min(begin_by);
        let told = loop {
            // One timer for both: most requests end before either.
            let due = self.api.lease.runs_out_at().map_or(until, |run_out| run_out.min(until));
            let told = tokio::select! {
                biased;
                told = tokio::time::timeout_at(due, &mut answer) => told,
                // Another owner continues the saga; the client gets its status URL.
                () = self.api.handing_over.cancelled() => return Box::pin(self.leave(id, &mut answer)).await,
            };
            if told.is_err() && self.api.lease.has_run_out() {
                return self.cut_off(id, Begin::Uncertain);
            }
            if told.is_err() && due < until {
                continue;
            }
            if told.is_ok() || until == self.deadline {
                break told;
            }
            until = self.deadline;
            // If the coordinator is down, it drops the saga's answer too, which ends this wait.
            let _ = self.api.coordinator.cast(CoordinatorMsg::BeginSoon(id));
        };
        match told {
            Ok(Ok(told)) => self.answered(told).await,
            // The saga's actor died; recovery continues from the row, if there is one.
            Ok(Err(_)) => Box::pin(self.ask_the_row(id, Begin::Uncertain)).await,
            Err(_) => Box::pin(self.leave(id, &mut answer)).await,
        }
    }

    /// Responds when the lease has run out: other nodes continue the saga, if it is in the log, and this node will not
    /// know its end for long.
    fn cut_off(&self, id: SagaId, begin: Begin) -> Result<Response, ApiError> {
        let has_begun = || self.api.running.get(id).is_some_and(|saga| saga.progress().log.is_begun());
        if begin == Begin::InTheLog || has_begun() {
            Ok(self.accepted(id))
        } else {
            Err(unknown::in_doubt(&self.api, id))
        }
    }

    async fn answered(&self, told: StartAnswer) -> Result<Response, ApiError> {
        match told {
            StartAnswer::Settled(standing) => Ok(self.of_standing(&standing)),
            StartAnswer::Accepted(id) => Ok(self.accepted(id)),
            StartAnswer::AskTheRow(id) => Box::pin(self.ask_the_row(id, Begin::Uncertain)).await,
            StartAnswer::KeyHeld(id) => Box::pin(self.lost_the_race(id)).await,
            StartAnswer::NotStarted(reason) => {
                tracing::debug!(reason, "a saga was not started");
                self.check_lease()?;
                let detail = format!("the saga log cannot be written now: {reason}; nothing was done");
                Err(ApiError::unavailable(detail, 1).because(Because::Database))
            }
            StartAnswer::Overloaded => {
                let detail = "too many sagas are running; nothing was done";
                Err(ApiError::unavailable(detail, 1).because(Because::Sagas))
            }
            StartAnswer::InDoubt(id) => Err(unknown::in_doubt(&self.api, id)),
            StartAnswer::RowGone(id) => {
                Err(ApiError::internal(format!("the row of saga {id} no longer exists")).with_transaction_id(id))
            }
        }
    }

    /// Responds as soon as the saga is in the log, or does not start: `answer` is the result of its start.
    async fn leave(&self, id: SagaId, answer: &mut oneshot::Receiver<StartAnswer>) -> Result<Response, ApiError> {
        let (waiter, detached) = oneshot::channel();
        let sent = self.api.coordinator.cast(CoordinatorMsg::Detach(id, waiter));
        let told = async { if sent.is_ok() { detached.await.ok() } else { None } };
        let told = tokio::select! {
            biased;
            told = tokio::time::timeout(LEAVING_TIMEOUT, told) => told,
            () = self.api.lease.run_out() => return self.cut_off(id, Begin::Uncertain),
        };
        match told {
            Ok(Some(StartAnswer::AskTheRow(_)) | None) | Err(_) if let Ok(told) = answer.try_recv() => {
                Box::pin(self.answered(told)).await
            }
            Ok(Some(told)) => Box::pin(self.answered(told)).await,
            Ok(None) | Err(_) => self.ask_the_row_until(Instant::now(), id, Begin::Uncertain).await,
        }
    }

    async fn ask_the_row(&self, id: SagaId, begin: Begin) -> Result<Response, ApiError> {
        self.ask_the_row_until(self.deadline, id, begin).await
    }

    /// Waits for the end of a saga without an actor in this process, and responds from its row.
    async fn ask_the_row_until(&self, deadline: Instant, id: SagaId, begin: Begin) -> Result<Response, ApiError> {
        let api = &self.api;
        loop {
            let row = tokio::select! {
                biased;
                row = api.saga_log.read(move |connection| Box::pin(reader::by_id(connection, id))) => row,
                () = api.lease.run_out() => return self.cut_off(id, begin),
            };
            let is_late = Instant::now() >= deadline || api.handing_over.is_cancelled();
            match row {
                Ok(Some(Err(row))) => return Err(unreadable_row(row)),
                Ok(Some(Ok(row))) if !self.has_secret_of(&row) => return Err(self.other_contents()),
                Ok(Some(Ok(row))) if row.is_settled() || is_late => {
                    let confirmed = tokio::select! {
                        biased;
                        confirmed = api.replicated.confirm(&row) => confirmed,
                        () = api.lease.run_out() => return self.cut_off(id, begin),
                    };
                    match confirmed {
                        Ok(()) if row.is_settled() => return Ok(self.of_row(&row)),
                        Ok(()) => return Ok(self.accepted(id)),
                        Err(reason) if is_late => {
                            tracing::warn!(saga.id = %id, reason, "it is not known whether a saga is replicated");
                            return Err(unknown::in_doubt(api, id));
                        }
                        Err(_) => tokio::time::sleep(ASK_THE_ROW_EVERY).await,
                    }
                }
                Ok(None) if is_late => return Err(unknown::in_doubt(api, id)),
                Err(error) if is_late => {
                    tracing::warn!(%error, "the saga log could not be read");
                    return Err(unknown::in_doubt(api, id));
                }
                Ok(_) | Err(_) => tokio::time::sleep(ASK_THE_ROW_EVERY).await,
            }
        }
    }

    // --- answers, in the form of the request's route ----------------------------------------------------------------

    fn of_standing(&self, standing: &Standing) -> Response {
        match &self.wanted {
            Wanted::Purchase(_) => answer::of_standing(standing),
            Wanted::Saga(_) => sagas::answer::of_standing(standing),
            Wanted::Dtm(submitted) => dtm::of_standing(submitted, standing),
        }
    }

    fn of_row(&self, row: &StoredSaga) -> Response {
        match &self.wanted {
            Wanted::Purchase(_) => answer::of_row(row),
            Wanted::Saga(_) => sagas::answer::of_row(row),
            Wanted::Dtm(submitted) => dtm::of_row(submitted, row),
        }
    }

    fn accepted(&self, id: SagaId) -> Response {
        match &self.wanted {
            Wanted::Purchase(_) => self.preference.mark(answer::accepted(&self.request, id)),
            Wanted::Saga(_) => self.preference.mark(sagas::answer::accepted(&self.request, id)),
            Wanted::Dtm(submitted) => dtm::accepted(submitted),
        }
    }

    // --- a key that was used before ---------------------------------------------------------------------------------

    async fn key_holder(&self, key: &IdempotencyKey) -> Result<Option<KeyHolder>, ApiError> {
        let key = key.clone();
        let find = self
            .api
            .saga_log
            .read(move |connection| Box::pin(async move { reader::by_key(connection, &key.scope, &key.key).await }));
        find.await.map_err(unreadable)?.transpose().map_err(unreadable_row)
    }

    /// Another request with the same key committed first.
    async fn lost_the_race(&self, holder: SagaId) -> Result<Response, ApiError> {
        let found = match &self.key {
            Some(key) => self.key_holder(key).await.map_err(|error| error.with_transaction_id(holder))?,
            None => None,
        };
        match found {
            Some(holder) => self.replay(holder).await,
            // Its key has been released since: the saga ended more than `key_keep_ms` ago.
            None => self.ask_the_row(holder, Begin::InTheLog).await,
        }
    }

    /// Responds with the saga that holds the key: its stored response, or its end once there is one.
    async fn replay(&self, holder: KeyHolder) -> Result<Response, ApiError> {
        // Before any answer that rests on the row: a 422 does too.
        let replicated = self.api.replicated.confirm(&holder.saga).await;
        replicated.map_err(unconfirmed(holder.saga.id))?;
        let is_same = self.key.as_ref().is_some_and(|key| self.wanted.equals(&key.fingerprint, &holder));
        if !is_same || !self.has_secret_of(&holder.saga) {
            return Err(self.other_contents());
        }
        let saga = holder.saga;
        let id = saga.id;
        let response = if saga.is_settled() {
            Ok(self.of_row(&saga))
        } else if self.preference.respond_async {
            Ok(self.accepted(id))
        } else {
            Box::pin(self.attach(id)).await
        };
        response.map(|mut response| {
            let replayed = HeaderValue::from_static("true");
            response.headers_mut().insert(wire::IDEMPOTENT_REPLAYED, replayed);
            part_of(response, id)
        })
    }

    /// Tells whether the saga was started with the secret of this request, or without one as this request.
    fn has_secret_of(&self, saga: &StoredSaga) -> bool {
        match (&self.secret, &saga.secret) {
            (Some(secret), Some(stored)) => secret.is_of(saga.id.0, stored),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn other_contents(&self) -> ApiError {
        ApiError::contents_differ(format!(
            "this Idempotency-Key was used for a {} with different contents or another Saga-Secret",
            self.wanted.noun()
        ))
    }

    /// Waits along with the first client: on the actor if the saga runs here, otherwise on the row.
    async fn attach(&self, id: SagaId) -> Result<Response, ApiError> {
        if !self.api.lease.covers_memory() || self.api.running.get(id).is_none() {
            return self.ask_the_row(id, Begin::InTheLog).await;
        }
        let (waiter, answer) = oneshot::channel();
        match self.api.coordinator.cast(CoordinatorMsg::Attach(id, waiter)) {
            Ok(()) => self.wait(id, answer).await,
            Err(_) => self.ask_the_row(id, Begin::InTheLog).await,
        }
    }
}

/// Links a request to the trace of a saga, unless it is linked already.
fn part_of(mut response: Response, id: SagaId) -> Response {
    response.extensions_mut().get_or_insert(PartOf(id.0));
    response
}
