//! The common parts of the participants' API descriptions.

use common::{
    http::openapi::{Description, Header, ToSchema, schema},
    wire::journal::JournalView,
};

use common::http::page::LIMITS;

/// Adds the answers of a journaled action: done, refused, and replayed.
pub(crate) fn action<Done: ToSchema, Refused: ToSchema>(
    description: Description,
    done: &'static str,
    refused: &'static str,
) -> Description {
    description
        .answer::<Done>(200, done)
        .mark(200, Header::IdempotentReplayed)
        .answer::<Refused>(409, refused)
        .mark(409, Header::SagaDecision)
        .mark(409, Header::IdempotentReplayed)
        .problem(422, "The transaction id was used for a request with other contents; nothing was done.")
        .bad_fields_400()
}

/// Adds the answers of a compensation, which must not refuse.
pub(crate) fn compensation<Done: ToSchema>(description: Description, done: &'static str) -> Description {
    description
        .answer::<Done>(200, done)
        .mark(200, Header::IdempotentReplayed)
        .mark(200, Header::SagaAction)
        .bad_fields_400()
}

/// Adds the path parameter for a transaction id.
pub(crate) fn transaction_in_path(description: Description) -> Description {
    description.path("transaction_id", schema::text(1, 100), "The transaction.")
}

/// Adds the paging parameters of a list.
pub(crate) fn page(description: Description) -> Description {
    description
        .query("limit", schema::whole_number(LIMITS), "How many; 100 where it is left out.")
        .query("cursor", schema::whole_number(0..=i64::MAX), "The `next_cursor` of the part before.")
        .bad_fields_400()
}

pub(crate) fn journal() -> Description {
    let description = Description::new("journal", "What this service has decided about a transaction")
        .detail("Decisions, refusals among them, are kept for ever; a repetition is answered from here.");
    transaction_in_path(description)
        .answer::<JournalView>(200, "Its decisions; none where it has not heard of the transaction.")
        .bad_fields_400()
}
