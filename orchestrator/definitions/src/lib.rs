//! Saga definitions as data: TOML files, and JSON of the same shape.
//!
//! ```text
//! text ──► source: a tree with places ──► outline ──► graph, schema ──► requests ──► SagaFile ──► engine's Definition
//!                                            └─────────── problems, all at once ────────┘
//! ```
//! A definition is checked when it is read: the order of its steps, the schema of its input, and every placeholder of its
//! requests. It is fixed from then on; a saga only fills in values. There are no conditions, loops or scripts.
//!
//! # A trip of two bookings
//! ```
//! use saga_definitions::{Format, Identity, Judgement, SagaFile};
//! use serde_json::json;
//!
//! let text = r#"
//! name = "trip"
//! version = 1
//!
//! [input]
//! type = "object"
//! required = ["city"]
//! properties = { city = { type = "string" } }
//!
//! [[steps]]
//! name = "flight"
//! participant = "flights"
//! action = { method = "POST", path = "/bookings", body = { transaction_id = "{saga.id}", city = "{input.city}" } }
//! compensation = { method = "DELETE", path = "/bookings/by-transaction/{saga.id}" }
//! outputs = { booking = "/booking_id" }
//!
//! [[steps]]
//! name = "hotel"
//! participant = "hotels"
//! action = { method = "PUT", path = "/rooms/{input.city}", body = { flight = "{outputs.flight.booking}" } }
//! compensation = { method = "DELETE", path = "/rooms/by-transaction/{saga.id}" }
//! "#;
//! let participants = ["flights", "hotels"];
//! let trip = SagaFile::parse(text, Format::Toml, Identity::Inside, &participants)?.definition;
//! assert!(trip.check_input(&json!({ "city": "Sucre" })).is_ok());
//! let errors = trip.check_input(&json!({ "city": ".." })).unwrap_err();
//! assert_eq!(errors[0].pointer, "/city");
//! let definition = trip.compile(|_| Judgement::Recorded)?;
//! assert_eq!(definition.steps().len(), 2);
//!
//! let wrong = text.replace("{input.city}", "{input.town}");
//! let rejected = SagaFile::parse(&wrong, Format::Toml, Identity::Inside, &participants).unwrap_err();
//! assert_eq!(rejected.0.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod call;
mod canonical;
mod compile;
mod exact;
mod file;
mod graph;
mod headers;
mod inputs;
pub mod limits;
mod name;
mod outline;
mod parts;
mod path;
mod pointer;
mod problem;
mod repeated;
mod reply;
mod requests;
mod schema;
mod scope;
mod source;
mod steps;
mod template;
#[cfg(test)]
mod tests;

pub use file::{Accepted, SagaFile};
pub use foundation::judgement::Judgement;
pub use headers::is_reserved_header;
pub use inputs::{InputError, read_exactly};
pub use name::{INLINE, is_reserved};
pub use outline::Identity;
pub use problem::{Place, Problem, Rejected, Severity};
pub use source::Format;
