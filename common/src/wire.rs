//! What goes over the wire between the services, and what both sides must spell alike: headers, bodies, times.
//!
//! The bodies are those of the API: members in this order, ids and amounts in the form in which clients see them.

pub mod actors;
pub mod catalog;
pub mod inventory;
pub mod journal;
pub mod payments;
pub mod purchases;
pub mod requests;

use chrono::{DateTime, SecondsFormat, Utc};

/// The saga that a call belongs to. Its value is the transaction id.
pub const SAGA_ID: &str = "saga-id";
/// The step that a call belongs to.
pub const SAGA_STEP: &str = "saga-step";
/// Which attempt of the step a call is: 1, 2, …
pub const SAGA_ATTEMPT: &str = "saga-attempt";
/// Which owner of the saga calls: it grows with each takeover.
pub const SAGA_EPOCH: &str = "saga-epoch";
/// On a 409: that it is a recorded decision. Its only value is [`REFUSED`].
pub const SAGA_DECISION: &str = "saga-decision";
/// The value of [`SAGA_DECISION`], and of [`SAGA_ACTION`] where the action had been refused.
pub const REFUSED: &str = "refused";
/// On the 200 of a compensation: what it found of its action. Its values are [`ACTION_DONE`], [`REFUSED`] and
/// [`ACTION_NONE`].
pub const SAGA_ACTION: &str = "saga-action";
/// The action had happened, and was undone.
pub const ACTION_DONE: &str = "done";
/// The action had never run, and never will.
pub const ACTION_NONE: &str = "none";
/// On an answer that was given before: `true`.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
/// A client's own key of a request, so that it can be repeated.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Names a request in logs, of ours and of the client.
pub const REQUEST_ID: &str = "x-request-id";
/// W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// The path prefix that a proxy stripped.
pub const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// Shows a time: RFC 3339 in UTC, with microseconds and `Z`.
pub fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// For `#[serde(with = "common::wire::rfc3339")]`: a time as [`timestamp`] shows it.
pub mod rfc3339 {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    use super::timestamp;

    /// Writes a time.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&timestamp(*time))
    }

    /// Reads a time, of any offset.
    ///
    /// # Errors
    /// When it is not RFC 3339.
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
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a time, or null. With `#[serde(default)]` the member may be absent too.
        ///
        /// # Errors
        /// When it is neither.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
            Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(time)| time))
        }
    }
}

#[cfg(test)]
mod tests;
