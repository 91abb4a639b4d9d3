//! The wire format between the services, identical on both sides: headers, bodies, times.
//!
//! The bodies are those of the API: members in this order, ids and amounts in the form that clients see.

pub mod actors;
pub mod catalog;
pub mod inventory;
pub mod journal;
pub mod payments;
pub mod purchases;
pub mod requests;

use chrono::{DateTime, SecondsFormat, Utc};

/// The saga of a call. Its value is the transaction id.
pub const SAGA_ID: &str = "saga-id";
/// The saga's step that a call belongs to.
pub const SAGA_STEP: &str = "saga-step";
/// Number of the attempt of the step: 1, 2, …
pub const SAGA_ATTEMPT: &str = "saga-attempt";
/// The epoch of the saga's owner; it grows with each takeover.
pub const SAGA_EPOCH: &str = "saga-epoch";
/// On a 409: the refusal is a recorded decision. Its only value is [`REFUSED`].
pub const SAGA_DECISION: &str = "saga-decision";
/// The value of [`SAGA_DECISION`], and of [`SAGA_ACTION`] if the action was refused.
pub const REFUSED: &str = "refused";
/// On the 200 of a compensation: the state in which it found its action. Its values are [`ACTION_DONE`], [`REFUSED`]
/// and [`ACTION_NONE`].
pub const SAGA_ACTION: &str = "saga-action";
/// The action was done, and is undone now.
pub const ACTION_DONE: &str = "done";
/// The action never ran, and never will.
pub const ACTION_NONE: &str = "none";
/// On a repeated answer: `true`.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
/// A client's key for a request, which makes it safe to repeat.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Identifies a request in the logs of services and client.
pub const REQUEST_ID: &str = "x-request-id";
/// W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// The path prefix that a proxy removed.
pub const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// Formats a time: RFC 3339 in UTC, with microseconds and `Z`.
pub fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// For `#[serde(with = "common::wire::rfc3339")]`: a time as formatted by [`timestamp`].
pub mod rfc3339 {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    use super::timestamp;

    /// Writes a time.
    ///
    /// # Errors
    /// Errors of the serializer.
    pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&timestamp(*time))
    }

    /// Reads a time with any offset.
    ///
    /// # Errors
    /// If it is not RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc()).map_err(serde::de::Error::custom)
    }

    /// For `#[serde(with = "common::wire::rfc3339::option")]`: a time or null.
    pub mod option {
        use chrono::{DateTime, Utc};
        use serde::{Deserialize, Deserializer, Serializer};

        #[derive(Deserialize)]
        struct Time(#[serde(with = "super")] DateTime<Utc>);

        /// Writes a time, or null.
        ///
        /// # Errors
        /// Errors of the serializer.
        pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a time or null. With `#[serde(default)]` the member may also be absent.
        ///
        /// # Errors
        /// If it is neither.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
            Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(time)| time))
        }
    }
}

#[cfg(test)]
mod tests;
