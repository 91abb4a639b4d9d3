//! The API description of the dashboard's routes.

use common::http::openapi::{Description, schema};
use common::http::page::LIMITS;
use common::wire::inventory::RestockReply;
use common::wire::requests::RestockRequest;
use serde_json::json;

use super::attention::CausesView;
use super::changes::ChangesView;
use super::faults::{AllFaultsChange, AllFaultsView};
use super::list::{ListView, MAX_TEXT};
use super::recent::{RANGES, RecentView};
use super::services::ServicesView;
use super::stock::StockView;
use super::summary::SummaryView;
use crate::store::reader::NEWEST_FIRST;
use saga_engine::Status;

pub(super) fn page() -> Description {
    Description::new("dashboard", "The dashboard, as a page")
        .answer_of(200, "text/html; charset=utf-8", schema::string(), "The page.")
        .answer_of(304, "text/html; charset=utf-8", schema::string(), "The browser's copy is current.")
}

pub(super) fn file() -> Description {
    let types = ["text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8"];
    let types = types.into_iter().chain(["image/svg+xml", "text/plain; charset=utf-8"]);
    let description = Description::new("dashboardFile", "A file of the dashboard")
        .path("file", schema::text(1, 200), "The name, including slashes.")
        .problem(404, "No file has this name.");
    let description =
        types.fold(description, |all, media_type| all.answer_of(200, media_type, schema::string(), "The file."));
    description.answer_of(304, "text/plain; charset=utf-8", schema::string(), "The browser's copy is current.")
}

pub(super) fn summary() -> Description {
    Description::new("showSummary", "Sagas by status, and facts about this node")
        .detail("The cost does not depend on the number of sagas. At most a second old.")
        .answer::<SummaryView>(200, "Numbers of the whole system.")
}

pub(super) fn recent() -> Description {
    Description::new(
        "showRecent",
        "The sagas that ended within a range of time: rates, durations, and reasons to turn back",
    )
    .detail("From the newest 20,000 ended sagas; `since` is the time of the oldest one if the range has more.")
    .query("minutes", schema::one_of(RANGES.map(|range| range.name)), "Length of the range; 5 if omitted.")
    .answer::<RecentView>(200, "The ends of the range.")
    .bad_fields_422()
}

pub(super) fn attention() -> Description {
    Description::new("showCauses", "The attention list grouped by cause, longest waiting first")
        .answer::<CausesView>(200, "The causes.")
}

pub(super) fn list() -> Description {
    Description::new("searchPurchases", "All sagas, newest first, in pages, without a total")
        .detail(NEWEST_FIRST)
        .query("status", schema::one_of(Status::ALL.map(Status::as_str)), "Only sagas with this status.")
        .query("definition", schema::text(1, 63), "Only sagas of the definition with this name, in all its versions.")
        .query("user_id", schema::text(1, 100), "Only purchases of this user.")
        .query(
            "text",
            schema::text(0, MAX_TEXT),
            "Only sagas with this text in id, definition, user, product, input, error or outputs.",
        )
        .query("limit", schema::whole_number(LIMITS), "Page size; 100 if omitted.")
        .query("cursor", schema::uuid(), "The `next_cursor` of the previous page.")
        .answer::<ListView>(200, "A page of the list.")
        .bad_fields_422()
}

pub(super) fn changes() -> Description {
    Description::new("showChanges", "The changes of one saga that are kept, as its events")
        .detail(
            "As long as `orchestrator.events_keep_ms` keeps them; of a saga that outlasts very many others, the first.",
        )
        .path("saga_id", schema::uuid(), "The saga.")
        .answer::<ChangesView>(200, "The changes, oldest first.")
        .problem(404, "There is no such saga.")
        .bad_fields_422()
}

pub(super) fn services() -> Description {
    Description::new("showServices", "The supervision trees of all services and their replicas")
        .answer::<ServicesView>(200, "The trees; replicas without an answer are listed with the reason.")
        .problem(404, "This route is disabled by the configuration.")
}

pub(super) fn faults() -> Description {
    Description::new("showAllFaults", "The failure settings of all services and their replicas")
        .answer::<AllFaultsView>(200, "The settings in force; replicas without an answer are listed with the reason.")
        .problem(404, "This route is disabled by the configuration.")
}

pub(super) fn change_faults() -> Description {
    Description::new("changeAllFaults", "Changes failure settings of services and all their replicas")
        .detail("Each service applies its part as a whole or not at all. Valid until the next reload or restart.")
        .body::<AllFaultsChange>(json!({ "payments": { "charge": { "failure_rate": 0.5 } } }))
        .answer::<AllFaultsView>(200, "The settings now in force.")
        .problem(404, "This route is disabled by the configuration.")
        .bad_fields_422()
}

pub(super) fn stock() -> Description {
    Description::new("showAllStock", "The products with their stock, in pages")
        .query("limit", schema::whole_number(LIMITS), "Page size; 100 if omitted.")
        .query("cursor", schema::whole_number(0..=i64::MAX), "The `next_cursor` of the previous page.")
        .answer::<StockView>(200, "A page of the products.")
        .bad_fields_422()
}

pub(super) fn restock() -> Description {
    Description::new("restockProduct", "Increases the stock of a product")
        .detail("Counts once per `transaction_id`, so a request without an answer is repeated with the same one.")
        .body::<RestockRequest>(json!({ "product_id": "1", "quantity": 50, "transaction_id": "delivery-7" }))
        .answer::<RestockReply>(200, "The stock was increased.")
        .problem(409, "The stock would exceed its maximum.")
        .bad_fields_422()
}
