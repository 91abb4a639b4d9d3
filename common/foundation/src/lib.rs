//! The foundation of both the saga engine and the services: supervised actors, ids that sort by time, times as text,
//! trace contexts and spans, names that users give, how
//! participants are judged, JSON taken apart as text. No configuration, no HTTP, no SQL.

pub mod ids;
pub mod judgement;
pub mod members;
pub mod names;
pub mod secret;
pub mod supervision;
pub mod time;
pub mod trace_context;
pub mod traces;
