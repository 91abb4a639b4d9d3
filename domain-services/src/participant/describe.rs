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
        .problem(422, "The transaction id was used for a request with different contents; nothing was done.")
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
    description.path("transaction_id", schema::text(1, 100), "The transaction id.")
}

/// Adds the paging parameters of a list.
pub(crate) fn page(description: Description) -> Description {
    description
        .query("limit", schema::whole_number(LIMITS), "Page size; 100 if omitted.")
        .query("cursor", schema::whole_number(0..=i64::MAX), "The `next_cursor` of the previous page.")
        .bad_fields_400()
}

pub(crate) fn journal() -> Description {
    let description = Description::new("journal", "The decisions of this service about a transaction")
        .detail("Decisions, including refusals, are kept forever; repeated requests are answered from them.");
    transaction_in_path(description)
        .answer::<JournalView>(200, "The decisions; an empty list for an unknown transaction.")
        .bad_fields_400()
}
