//! The API description of the dashboard's routes.

use common::http::openapi::{Description, schema};
use common::http::page::LIMITS;
use serde_json::json;

use super::faults::{AllFaultsChange, AllFaultsView};
use super::list::{ListView, MAX_TEXT};
use super::services::ServicesView;
use super::summary::SummaryView;
use crate::store::reader::NEWEST_FIRST;
use saga_engine::Status;

pub(super) fn page() -> Description {
    Description::new("dashboard", "The dashboard, as a page")
        .answer_of(200, "text/html; charset=utf-8", schema::string(), "The page.")
        .answer_of(304, "text/html; charset=utf-8", schema::string(), "The browser has it.")
}

pub(super) fn file() -> Description {
    let types = ["text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8"];
    let types = types.into_iter().chain(["image/svg+xml", "text/plain; charset=utf-8"]);
    let description = Description::new("dashboardFile", "A file of the dashboard")
        .path("file", schema::text(1, 200), "Its name, slashes included.")
        .problem(404, "There is no such file.");
    let description =
        types.fold(description, |all, media_type| all.answer_of(200, media_type, schema::string(), "The file."));
    description.answer_of(304, "text/plain; charset=utf-8", schema::string(), "The browser has it.")
}

pub(super) fn summary() -> Description {
    Description::new("showSummary", "How many purchases stand how, and how they ended lately")
        .detail("Cheap however many there are; at most a second old.")
        .answer::<SummaryView>(200, "The system in numbers.")
}

pub(super) fn list() -> Description {
    Description::new("searchPurchases", "The purchases, newest first, in parts, without counting them")
        .detail(NEWEST_FIRST)
        .query("status", schema::one_of(Status::ALL.map(Status::as_str)), "Only those that stand so.")
        .query("user_id", schema::text(1, 100), "Only those of this user.")
        .query("text", schema::text(0, MAX_TEXT), "Only those with this in their id, user, product or error.")
        .query("limit", schema::whole_number(LIMITS), "How many; 100 where it is left out.")
        .query("cursor", schema::uuid(), "The `next_cursor` of the part before.")
        .answer::<ListView>(200, "A part of the list.")
        .bad_fields_422()
}

pub(super) fn services() -> Description {
    Description::new("showServices", "The supervision trees of all services and their replicas")
        .answer::<ServicesView>(200, "The trees; those that did not answer are named.")
        .problem(404, "This is off here.")
}

pub(super) fn faults() -> Description {
    Description::new("showAllFaults", "The failure settings of all services and their replicas")
        .answer::<AllFaultsView>(200, "The settings in force; those that did not answer are named.")
        .problem(404, "This is off here.")
}

pub(super) fn change_faults() -> Description {
    Description::new("changeAllFaults", "Changes failure settings of services and all their replicas")
        .detail("A service takes its part as a whole or not at all. It lasts until the next reload or restart.")
        .body::<AllFaultsChange>(json!({ "payments": { "charge": { "failure_rate": 0.5 } } }))
        .answer::<AllFaultsView>(200, "The settings that are in force now.")
        .problem(404, "This is off here.")
        .bad_fields_422()
}
