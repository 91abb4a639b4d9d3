//! The API description of the orchestrator: one function a route (how to write one: `common::http::openapi`).

use common::http::openapi::{Description, Header, schema};
use common::wire::requests::OrderRequest;
use serde_json::json;

use super::Root;
use super::answer::{Accepted, Settled};
use super::list::{LIMITS, Page};
use super::view::SagaView;
use crate::saga::Status;

pub(super) const ABOUT: &str = "Buys things: it asks catalog, payments, inventory and purchases in turn, and undoes what was \
    done when one of them refuses. A purchase that was accepted ends COMPLETED or COMPENSATED; one that is FAILED could not \
    be undone yet and goes on being retried.";

pub(super) fn start() -> Description {
    Description::new("buy", "Buys something")
        .detail(
            "Waits for the end, unless the client prefers not to. **Accepted** means that it is in the saga log: it goes on \
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
        .problem(503, "Not now. With a `transaction_id` it is not known whether the purchase was accepted: its status tells.")
        .mark(503, Header::RetryAfter)
}

pub(super) fn status() -> Description {
    Description::new("showPurchase", "How a purchase stands")
        .detail("Answers for every purchase that was ever accepted, from any replica.")
        .path("transaction_id", schema::uuid(), "Which one.")
        .answer::<SagaView>(200, "The purchase, with all its steps.")
        .problem(404, "There is no such purchase.")
        .bad_fields_422()
}

pub(super) fn list() -> Description {
    Description::new("listPurchases", "The purchases, newest first, in parts")
        .query("status", schema::one_of(Status::ALL.map(Status::as_str)), "Only those that stand so.")
        .query("user_id", schema::text(1, 100), "Only those of this user.")
        .query("limit", schema::whole_number(LIMITS), "How many; 100 where it is left out.")
        .query("cursor", schema::uuid(), "The `next_cursor` of the part before.")
        .answer::<Page>(200, "A part of the list.")
        .bad_fields_422()
}

pub(super) fn root() -> Description {
    Description::new("root", "What this is").answer::<Root>(200, "The orchestrator, its state and its version.")
}
