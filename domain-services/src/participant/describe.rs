//! What the API descriptions of all participants have alike.

use common::{
    http::openapi::{Description, Header, ToSchema, schema},
    wire::journal::JournalView,
};

use common::http::page::LIMITS;

/// Adds the answers of a journaled action: done, refused, and what a repetition gets.
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

/// Adds the answers of a compensation, which has no right to refuse.
pub(crate) fn compensation<Done: ToSchema>(description: Description, done: &'static str) -> Description {
    description
        .answer::<Done>(200, done)
        .mark(200, Header::IdempotentReplayed)
        .mark(200, Header::SagaAction)
        .bad_fields_400()
}

/// Adds the place of a transaction id.
pub(crate) fn transaction_in_path(description: Description) -> Description {
    description.path("transaction_id", schema::text(1, 100), "The transaction.")
}

/// Adds the parameters that ask for a part of a list.
pub(crate) fn page(description: Description) -> Description {
    description
        .query("limit", schema::whole_number(LIMITS), "How many; 100 where it is left out.")
        .query("cursor", schema::whole_number(0..=i64::MAX), "The `next_cursor` of the part before.")
        .bad_fields_400()
}

/// Describes the journal.
pub(crate) fn journal() -> Description {
    let description = Description::new("journal", "What this service has decided about a transaction")
        .detail("Decisions, refusals among them, are kept for ever; a repetition is answered from here.");
    transaction_in_path(description)
        .answer::<JournalView>(200, "Its decisions; none where it has not heard of the transaction.")
        .bad_fields_400()
}
