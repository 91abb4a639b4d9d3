//! The API description of `/sagas…` (how to write one: `common::http::openapi`).

use common::http::openapi::{Description, Header, schema};
use common::http::page::LIMITS;
use common::wire::requests::ResolveRequest;
use saga_definitions::limits::MAX_NAME;
use serde_json::{Value, json};

use super::answer::{Accepted, Settled};
use super::definitions::{DefinitionView, List};
use super::list::Page;
use super::run::SagaRequest;
use super::view::SagaView;
use crate::api::inspect::Inspection;
use crate::api::operate::{Asked, ResolutionView};
use saga_engine::Status;

pub(in crate::api) fn start() -> Description {
    Description::new("startSaga", "Starts a saga of any definition but the checkout")
        .detail(
            "Waits for the end, unless the client prefers otherwise. Accepted means that the saga is in the saga log: it \
             continues even if the connection is lost. A repetition with the same `Idempotency-Key` starts no second \
             saga; these keys are apart from those of purchases. Without a version it is the highest that all live nodes \
             know.",
        )
        .header(Header::IdempotencyKey)
        .header(Header::SagaSecret)
        .header(Header::Prefer)
        .body::<SagaRequest>(json!({ "definition": "trip", "version": 1, "input": { "city": "Sucre" } }))
        .answer::<Settled>(200, "COMPLETED: all steps are done.")
        .mark(200, Header::IdempotentReplayed)
        .answer::<Accepted>(202, "PENDING: the saga is running; `Location` is its status URL.")
        .mark(202, Header::Location)
        .mark(202, Header::PreferenceApplied)
        .mark(202, Header::IdempotentReplayed)
        .answer::<Settled>(409, "COMPENSATED: a step was refused or its outcome unknown; every step with a compensation is undone.")
        .mark(409, Header::IdempotentReplayed)
        .problem(
            422,
            "Bad fields, listed in `errors`, those of the input by their JSON pointers; an unknown definition; or the \
             key was used for a saga with different contents or another `Saga-Secret`.",
        )
        .answer::<Settled>(502, "FAILED: a step could not be undone yet; the saga is still retried.")
        .mark(502, Header::IdempotentReplayed)
        .problem(
            503,
            "Temporarily unavailable. With a `transaction_id` it is not known whether the saga was accepted; its status \
             shows it, for certain from `decided_by` on.",
        )
        .mark(503, Header::RetryAfter)
}

pub(in crate::api) fn status() -> Description {
    of_saga(Description::new("showSaga", "Status of a saga"))
        .header(Header::SagaSecret)
        .detail("Available for every saga that was ever accepted, from any replica. A 404 is final.")
        .answer::<SagaView>(200, "The saga with its input, outputs and steps.")
        .problem(404, "No saga has this id, or it was started with another `Saga-Secret`.")
        .bad_fields_422()
}

pub(in crate::api) fn list() -> Description {
    Description::new("listSagas", "The sagas, newest first, in pages")
        .detail("Purchases are among them. Newest first is by the saga's id, as in the list of purchases.")
        .query(
            "definition",
            schema::text(1, MAX_NAME),
            "Only sagas of the definition with this name, in all its versions.",
        )
        .query("status", schema::one_of(Status::ALL.map(Status::as_str)), "Only sagas with this status.")
        .query("user_id", schema::text(1, 100), "Only purchases of this user.")
        .query("limit", schema::whole_number(LIMITS), "Page size; 100 if omitted.")
        .query("cursor", schema::uuid(), "The `next_cursor` of the previous page.")
        .answer::<Page>(200, "A page of the list.")
        .bad_fields_422()
}

pub(in crate::api) fn events() -> Description {
    Description::new("listenToSagas", "Changes of sagas and of their steps, as they happen")
        .detail("The same stream as that of purchases: it has the changes of all sagas.")
        .query("saga", schema::uuid(), "Only this saga. Without it, in production, the token of operators is needed.")
        .query("last_event_id", schema::string(), "Same as the header, for clients that cannot set one.")
        .header(Header::LastEventId)
        .header(Header::SagaSecret)
        .header(Header::SagaCellForwarded)
        .answer_of(200, "text/event-stream", schema::string(), "The stream; it ends when the service stops.")
        .problem(404, "No saga has this id, or it was started with another `Saga-Secret`.")
        .bad_fields_422()
}

pub(in crate::api) fn cancel() -> Description {
    of_saga(Description::new("cancelSaga", "Cancels a running saga"))
        .header(Header::SagaSecret)
        .answer::<Asked>(202, "The saga is being reverted, or will be in a moment.")
        .problem(404, "No saga has this id, or it was started with another `Saga-Secret`.")
        .problem(409, "The saga has ended.")
        .bad_fields_422()
}

pub(in crate::api) fn retry() -> Description {
    of_saga(Description::new("retrySaga", "Retries a saga now, in its current direction"))
        .answer::<Asked>(202, "The saga is retried.")
        .problem(404, "No saga has this id.")
        .problem(409, "The saga has ended.")
        .bad_fields_422()
}

pub(in crate::api) fn resolve() -> Description {
    of_saga(Description::new("resolveSaga", "Records that a person has settled a saga of the attention list"))
        .body::<ResolveRequest>(json!({ "note": "cancelled by telephone" }))
        .answer::<ResolutionView>(200, "The resolution is recorded, now or by an earlier request.")
        .problem(404, "No saga has this id.")
        .problem(409, "The saga is not in the attention list, or it runs forward.")
        .bad_fields_422()
}

pub(in crate::api) fn inspect() -> Description {
    of_saga(Description::new("inspectSaga", "Records of a saga in the saga log and at each participant, side by side"))
        .answer::<Inspection>(200, "The records of each, or why it did not answer.")
        .problem(404, "Neither the saga log nor a participant has this id.")
        .bad_fields_422()
}

fn of_saga(description: Description) -> Description {
    description.path("saga_id", schema::uuid(), "The saga's id.").header(Header::SagaCellForwarded)
}

pub(in crate::api) fn definitions() -> Description {
    Description::new("listDefinitions", "The definitions that this node knows, with the graphs of their steps")
        .answer::<List>(200, "All definitions.")
}

pub(in crate::api) fn definition() -> Description {
    of_definition(Description::new("showDefinition", "One definition"))
        .answer::<DefinitionView>(200, "The definition.")
        .problem(404, "This node knows no such definition.")
        .bad_fields_422()
}

pub(in crate::api) fn put() -> Description {
    of_definition(Description::new("putDefinition", "Gives a definition to all nodes"))
        .detail(
            "A name and a version mean one definition for ever. The body has the form of a file, as JSON: see the \
             reference of definitions. Every node knows it within a moment.",
        )
        .body::<Value>(json!({
            "steps": [{
                "name": "flight",
                "participant": "payments",
                "action": { "method": "POST", "path": "/bookings", "body": { "transaction_id": "{saga.id}" } },
                "compensation": { "method": "DELETE", "path": "/bookings/by-transaction/{saga.id}" }
            }]
        }))
        .answer::<DefinitionView>(200, "An equal definition was given before.")
        .answer::<DefinitionView>(201, "The definition is known.")
        .problem(409, "The name and version belong to another definition.")
        .bad_fields_422()
}

fn of_definition(description: Description) -> Description {
    description.path("name", schema::text(1, MAX_NAME), "Its name.").path(
        "version",
        schema::whole_number(1..=i64::from(i32::MAX)),
        "Its version.",
    )
}
