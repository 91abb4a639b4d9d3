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
use super::view::SagaView;
use saga_engine::Status;

pub(super) const ABOUT: &str = "Buys things: it asks catalog, payments, inventory and purchases in turn, and undoes what was \
    done when one of them refuses. A purchase that was accepted ends COMPLETED or COMPENSATED; one that is FAILED could not \
    be undone yet and goes on being retried.";

pub(super) fn start() -> Description {
    Description::new("buy", "Buys something")
        .detail(
            "Waits for the end, unless the client prefers not to. Accepted means that it is in the saga log: it goes on \
             whatever happens to the connection. A repetition with the same `Idempotency-Key` and user starts nothing.",
        )
        .header(Header::IdempotencyKey)
        .header(Header::Prefer)
        .body::<OrderRequest>(json!({ "user_id": "user-123", "product_id": 1, "amount": 99.99 }))
        .answer::<Settled<'_>>(200, "COMPLETED: everything was done.")
        .mark(200, Header::IdempotentReplayed)
        .answer::<Accepted<'_>>(202, "PENDING: it goes on; `Location` is where its end will be.")
        .mark(202, Header::Location)
        .mark(202, Header::PreferenceApplied)
        .mark(202, Header::IdempotentReplayed)
        .answer::<Settled<'_>>(409, "COMPENSATED: something was refused or could not be had, and all is undone.")
        .mark(409, Header::IdempotentReplayed)
        .problem(422, "Bad fields, each of them in `errors`; or the key was used for a purchase with other contents.")
        .answer::<Settled<'_>>(502, "FAILED: something could not be undone yet; it goes on being retried.")
        .mark(502, Header::IdempotentReplayed)
        .problem(503, "Not now. With a `transaction_id` it is not known whether the purchase was accepted: its status tells, and from \
             `decided_by` on for good.")
        .mark(503, Header::RetryAfter)
}

pub(super) fn status() -> Description {
    Description::new("showPurchase", "How a purchase stands")
        .detail(
            "Answers for every purchase that was ever accepted, from any replica. 404 is final. Where it is not known yet \
             whether the purchase was accepted, the answer is 503 with `decided_by`: from then on it is.",
        )
        .path("transaction_id", schema::uuid(), "Which one.")
        .answer::<SagaView>(200, "The purchase, with all its steps.")
        .problem(404, "There is no such purchase.")
        .bad_fields_422()
}

pub(super) fn list() -> Description {
    Description::new("listPurchases", "The purchases, newest first, in parts")
        .detail(
            "Newest first is by transaction id, that is by the clock of the node that accepted the purchase: where a \
             clock was set back, or clocks differ, a later purchase can stand below an earlier one. Lists leave the \
             database to purchases: one that would have to wait for others for more than two seconds is answered 503 \
             with `Retry-After`.",
        )
        .query("status", schema::one_of(Status::ALL.map(Status::as_str)), "Only those that stand so.")
        .query("user_id", schema::text(1, 100), "Only those of this user.")
        .query("limit", schema::whole_number(LIMITS), "How many; 100 where it is left out.")
        .query("cursor", schema::uuid(), "The `next_cursor` of the part before.")
        .answer::<Page>(200, "A part of the list.")
        .bad_fields_422()
}

pub(super) fn events() -> Description {
    Description::new("listen", "Every change of a purchase or of one of its steps, as it happens")
        .detail(
            "Server-sent events of all replicas, in the order of their commits, none skipped. `event` is `saga` or `step`; \
             `data` is a JSON object. The stream of one purchase begins with how it stands. `event` is `gap` where \
             events are missing that are no longer kept, or that a restored database does not have; the stream of one \
             purchase then tells how it stands now.",
        )
        .query("saga", schema::uuid(), "Only this purchase.")
        .query("last_event_id", schema::string(), "As the header, for those that cannot set one.")
        .header(Header::LastEventId)
        .answer_of(200, "text/event-stream", schema::string(), "The stream; it ends when the service stops.")
        .problem(404, "There is no such purchase.")
        .bad_fields_422()
}

pub(super) fn cancel() -> Description {
    Description::new("cancelPurchase", "Turns a running purchase back")
        .path("transaction_id", schema::uuid(), "Which one.")
        .answer::<Asked>(202, "It is being reverted, or will be in a moment.")
        .problem(404, "There is no such purchase.")
        .problem(409, "It has ended.")
        .bad_fields_422()
}

pub(super) fn attention() -> Description {
    Description::new("listAttention", "The purchases that a person should look at, longest waiting first, in parts")
        .query("limit", schema::whole_number(LIMITS), "How many; 100 where it is left out.")
        .query("cursor", schema::string(), "The `next_cursor` of the part before.")
        .answer::<operate::Page>(200, "A part of the list.")
        .bad_fields_422()
}

pub(super) fn retry_all() -> Description {
    Description::new("retryAttention", "Tries every purchase of the attention list again, now")
        .answer::<Woken>(202, "So many are woken.")
}

pub(super) fn release() -> Description {
    Description::new("release", "Takes the hold on all purchases away")
        .detail(
            "After a restore all purchases are on hold: none begins and none goes on, until it is known that the databases \
             fit together. `/health/` says whether that is so.",
        )
        .answer::<operate::Released>(200, "There is none any more.")
}

pub(super) fn retry() -> Description {
    Description::new("retryPurchase", "Tries a purchase again, now, in the direction that it has")
        .path("transaction_id", schema::uuid(), "Which one.")
        .answer::<Asked>(202, "It is woken.")
        .problem(404, "There is no such purchase.")
        .problem(409, "It has ended.")
        .bad_fields_422()
}

pub(super) fn resolve() -> Description {
    Description::new("resolvePurchase", "Records that a person has settled a purchase of the attention list")
        .detail("A compensating one ends FAILED; on one that has ended only the mark goes. The first note stands.")
        .path("transaction_id", schema::uuid(), "Which one.")
        .body::<ResolveRequest>(json!({ "note": "paid back by hand" }))
        .answer::<ResolutionView>(200, "It is recorded, now or before.")
        .problem(404, "There is no such purchase.")
        .problem(409, "It does not stand in the attention list, or it runs forward.")
        .bad_fields_422()
}

pub(super) fn inspect() -> Description {
    Description::new("inspectPurchase", "What the saga log and each participant hold of a purchase, side by side")
        .path("transaction_id", schema::uuid(), "Which one.")
        .answer::<Inspection>(200, "What each of them holds, or why it did not answer.")
        .problem(404, "Nobody knows it.")
        .bad_fields_422()
}

pub(super) fn root() -> Description {
    Description::new("root", "What this is")
        .answer::<Root>(200, "The orchestrator, its state and its version.")
        .answer_of(302, "text/plain; charset=utf-8", schema::string(), "To the dashboard, where text/html is accepted.")
        .mark(302, Header::Location)
}
