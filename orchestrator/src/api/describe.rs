//! The API description of the orchestrator: one function per route (how to write one: `common::http::openapi`).

use common::http::openapi::{Description, Header, schema};
use common::http::page::LIMITS;
use common::wire::requests::{OrderRequest, ResolveRequest};
use serde_json::json;

use super::Root;
use super::answer::{Accepted, Settled};
use super::inspect::Inspection;
use super::list::Page;
use super::operate::{self, Asked, ResolutionView, Woken};
use super::view::WithDefinition;
use saga_engine::Status;

pub(super) const ABOUT: &str = "Runs purchases as sagas: it calls catalog, payments, inventory and purchases in turn, \
    and if a step is refused it refunds the payment and cancels the purchase; stock that was taken stays taken, unless \
    `checkout.compensate_inventory` is set. An accepted purchase ends COMPLETED or COMPENSATED; a FAILED one could not \
    be undone yet and is retried until it is, or until an operator resolves it.";

pub(super) fn start() -> Description {
    Description::new("buy", "Starts a purchase")
        .detail(
            "Waits for the end, unless the client prefers otherwise. Accepted means that the purchase is in the saga \
             log: it continues even if the connection is lost. A repetition with the same `Idempotency-Key` and user \
             starts no second purchase.",
        )
        .header(Header::IdempotencyKey)
        .header(Header::SagaSecret)
        .header(Header::Prefer)
        .body::<OrderRequest>(json!({ "user_id": "user-123", "product_id": 1, "amount": 99.99 }))
        .answer::<Settled<'_>>(200, "COMPLETED: all steps are done.")
        .mark(200, Header::IdempotentReplayed)
        .answer::<Accepted<'_>>(202, "PENDING: the purchase is running; `Location` is its status URL.")
        .mark(202, Header::Location)
        .mark(202, Header::PreferenceApplied)
        .mark(202, Header::IdempotentReplayed)
        .answer::<Settled<'_>>(
            409,
            "COMPENSATED: a step was refused, or a service gave no answer; what can be undone is undone.",
        )
        .mark(409, Header::IdempotentReplayed)
        .problem(
            422,
            "Bad fields, listed in `errors`; or the key was used for a purchase with different contents or another \
             `Saga-Secret`.",
        )
        .answer::<Settled<'_>>(502, "FAILED: a step could not be undone yet; the purchase is still retried.")
        .mark(502, Header::IdempotentReplayed)
        .problem(
            503,
            "Temporarily unavailable. With a `transaction_id` it is not known whether the purchase was accepted; its \
             status shows it, for certain from `decided_by` on.",
        )
        .mark(503, Header::RetryAfter)
}

pub(super) fn status() -> Description {
    Description::new("showPurchase", "Status of a saga")
        .detail(
            "Available for every saga that was ever accepted, from any replica. A 404 is final. While it is not \
             known whether the saga was accepted, the answer is 503; it is decided from the time in `decided_by` \
             on.",
        )
        .path("transaction_id", schema::uuid(), "The transaction id.")
        .header(Header::SagaSecret)
        .header(Header::SagaCellForwarded)
        .answer::<WithDefinition>(200, "The saga with all its steps.")
        .problem(404, "No saga has this id, or it was started with another `Saga-Secret`.")
        .bad_fields_422()
}

pub(super) fn list() -> Description {
    Description::new("listPurchases", "The sagas, newest first, in pages")
        .detail(
            "Newest first is by transaction id, that is, by the clock of the node that accepted the saga: if a \
             clock was set back, or clocks differ, a later saga can be listed below an earlier one. Sagas take \
             precedence over lists: a list that would wait for other lists for more than two seconds is answered 503 \
             with `Retry-After`.",
        )
        .query("status", schema::one_of(Status::ALL.map(Status::as_str)), "Only sagas with this status.")
        .query("user_id", schema::text(1, 100), "Only purchases of this user.")
        .query("limit", schema::whole_number(LIMITS), "Page size; 100 if omitted.")
        .query("cursor", schema::uuid(), "The `next_cursor` of the previous page.")
        .answer::<Page>(200, "A page of the list.")
        .bad_fields_422()
}

pub(super) fn events() -> Description {
    Description::new("listen", "Changes of sagas and of their steps, as they happen")
        .detail(
            "Server-sent events of all replicas, in commit order, none skipped. `event` is `saga` or `step`; `data` is \
             a JSON object. The stream of one saga begins with its current state. `event` is `gap` if events are \
             missing, because they are no longer kept or the database was restored; the stream of one saga then \
             sends its current state.",
        )
        .query(
            "saga",
            schema::uuid(),
            "Only this saga. Without it, in production, a token of services or operators is needed.",
        )
        .query("last_event_id", schema::string(), "Same as the header, for clients that cannot set one.")
        .header(Header::LastEventId)
        .header(Header::SagaSecret)
        .header(Header::SagaCellForwarded)
        .answer_of(200, "text/event-stream", schema::string(), "The stream; it ends when the service stops.")
        .problem(404, "No saga has this id, or it was started with another `Saga-Secret`.")
        .bad_fields_422()
}

pub(super) fn cancel() -> Description {
    Description::new("cancelPurchase", "Cancels a running saga")
        .detail("A saga that was started without a `Saga-Secret` needs a token in production.")
        .path("transaction_id", schema::uuid(), "The transaction id.")
        .header(Header::SagaSecret)
        .header(Header::SagaCellForwarded)
        .answer::<Asked>(202, "The saga is being reverted, or will be in a moment.")
        .problem(404, "No saga has this id, or it was started with another `Saga-Secret`.")
        .problem(409, "The saga has ended.")
        .bad_fields_422()
}

pub(super) fn attention() -> Description {
    Description::new("listAttention", "The attention list: sagas that need a person, longest waiting first, in pages")
        .query("limit", schema::whole_number(LIMITS), "Page size; 100 if omitted.")
        .query("cursor", schema::string(), "The `next_cursor` of the previous page.")
        .answer::<operate::Page>(200, "A page of the list.")
        .bad_fields_422()
}

pub(super) fn retry_all() -> Description {
    Description::new("retryAttention", "Retries every unfinished saga of the attention list now")
        .answer::<Woken>(202, "The number of sagas that are retried.")
}

pub(super) fn release() -> Description {
    Description::new("release", "Releases the hold on all sagas")
        .detail(
            "After a restore all sagas are on hold: none begins or is recovered until it is known that the databases \
             fit together. `/health/` shows whether there is a hold.",
        )
        .answer::<operate::Released>(200, "There is no hold.")
}

pub(super) fn retry() -> Description {
    Description::new("retryPurchase", "Retries a saga now, in its current direction")
        .path("transaction_id", schema::uuid(), "The transaction id.")
        .header(Header::SagaCellForwarded)
        .answer::<Asked>(202, "The saga is retried.")
        .problem(404, "No saga has this id.")
        .problem(409, "The saga has ended.")
        .bad_fields_422()
}

pub(super) fn resolve() -> Description {
    Description::new("resolvePurchase", "Records that a person has settled a saga of the attention list")
        .detail("A compensating saga ends FAILED; an ended one only leaves the attention list. The first note is kept.")
        .path("transaction_id", schema::uuid(), "The transaction id.")
        .header(Header::SagaCellForwarded)
        .body::<ResolveRequest>(json!({ "note": "paid back by hand" }))
        .answer::<ResolutionView>(200, "The resolution is recorded, now or by an earlier request.")
        .problem(404, "No saga has this id.")
        .problem(409, "The saga is not in the attention list, or it runs forward.")
        .bad_fields_422()
}

pub(super) fn inspect() -> Description {
    Description::new("inspectPurchase", "Records of a saga in the saga log and at each participant, side by side")
        .path("transaction_id", schema::uuid(), "The transaction id.")
        .header(Header::SagaCellForwarded)
        .answer::<Inspection>(200, "The records of each, or why it did not answer.")
        .problem(404, "Neither the saga log nor a participant has this id.")
        .bad_fields_422()
}

pub(super) fn root() -> Description {
    Description::new("root", "Name and version of the service")
        .answer::<Root>(200, "The orchestrator, its state and its version.")
        .answer_of(
            302,
            "text/plain; charset=utf-8",
            schema::string(),
            "Redirect to the dashboard, if text/html is accepted.",
        )
        .mark(302, Header::Location)
}
