//! What both sides of a call must agree on: names of headers, the forms of times, and the JSON that more than one
//! service reads.

use chrono::{DateTime, SecondsFormat, Utc};

/// Which saga asks.
pub const SAGA_ID: &str = "saga-id";
/// For which of its steps.
pub const SAGA_STEP: &str = "saga-step";
/// At which attempt.
pub const SAGA_ATTEMPT: &str = "saga-attempt";
/// Under which owner.
pub const SAGA_EPOCH: &str = "saga-epoch";
/// `refused` on a 409 that is a recorded decision, and on nothing else.
pub const SAGA_DECISION: &str = "saga-decision";
/// The value of [`SAGA_DECISION`].
pub const REFUSED: &str = "refused";
/// `true` on an answer that was given before.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
/// The client's key for a request that it may repeat.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Names one request in every log.
pub const REQUEST_ID: &str = "x-request-id";
/// W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// What a proxy has stripped from the path.
pub const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// Returns a time as clients see it: RFC 3339 in UTC, with microseconds and `Z`.
pub fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Times as [`timestamp`] writes them, for serde's `with`.
pub mod rfc3339 {
    use super::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a time.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::timestamp(*at))
    }

    /// Reads a time.
    ///
    /// # Errors
    /// The deserializer's own.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(deserializer)
    }

    /// The same for a time that may be missing.
    pub mod option {
        use super::{DateTime, Deserialize, Deserializer, Serializer, Utc};

        /// Writes a time or null.
        ///
        /// # Errors
        /// The serializer's own.
        pub fn serialize<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a time or null.
        ///
        /// # Errors
        /// The deserializer's own.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
            Option::<DateTime<Utc>>::deserialize(deserializer)
        }
    }
}

/// The supervision tree, as `/debug/actors` gives it.
pub mod actors {
    use super::{DateTime, Utc};
    use serde::{Deserialize, Serialize};
    use serde_json::Value;

    /// One actor and what is below it.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct ActorView {
        /// `stack/service/actor`.
        pub name: String,
        /// What it is.
        pub kind: String,
        /// `starting`, `running`, `restarting`, `stopped` or `failed`.
        pub status: String,
        /// How often it was restarted.
        pub restarts: u32,
        /// Why, the last time.
        pub last_restart_reason: Option<String>,
        /// Since when it runs.
        #[serde(with = "super::rfc3339::option")]
        pub started_at: Option<DateTime<Utc>>,
        /// How many messages it has handled, restarts included.
        pub messages_handled: u64,
        /// How many wait, where that is known.
        pub queue_depth: Option<usize>,
        /// Its own state.
        pub state: Value,
        /// What it supervises.
        pub children: Vec<ActorView>,
    }
}

/// What a participant holds for a transaction, as `GET /journal/{transaction_id}/` gives it.
pub mod journal {
    use super::{DateTime, Utc};
    use serde::{Deserialize, Serialize};
    use serde_json::Value;

    /// All of it.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct JournalView {
        /// The transaction.
        pub transaction_id: String,
        /// What was decided, in the order of the decisions.
        pub entries: Vec<JournalEntry>,
    }

    /// One decision.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct JournalEntry {
        /// The operation.
        pub operation: String,
        /// The status that was answered.
        pub status: i16,
        /// The body that was answered.
        pub reply: Value,
        /// When it was decided.
        #[serde(with = "super::rfc3339")]
        pub decided_at: DateTime<Utc>,
        /// Whether a saga asked; otherwise somebody called the service directly.
        pub from_saga: bool,
        /// The saga's step.
        pub step: Option<String>,
        /// The saga's attempt.
        pub attempt: Option<i32>,
        /// The saga's owner.
        pub epoch: Option<i32>,
        /// Whether it stands for an action that never ran and never will.
        pub tombstone: bool,
    }
}

/// The catalog's replies.
pub mod catalog {
    use serde::{Deserialize, Serialize};

    use crate::money::Money;

    /// A product.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Product {
        /// Its id.
        pub product_id: i64,
        /// Its name.
        pub name: String,
        /// What it is.
        pub description: String,
        /// What it costs.
        pub price: Money,
        /// Its category.
        pub category: String,
        /// For show: inventory keeps the real one.
        pub stock: i32,
    }

    /// A part of the list.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct ProductPage {
        /// The products, by id.
        pub products: Vec<Product>,
        /// Where the next part begins; null at the end.
        pub next_cursor: Option<String>,
    }
}

/// The inventory's replies.
pub mod inventory {
    use super::{DateTime, Utc};
    use serde::{Deserialize, Serialize};

    use crate::ids::{ProductId, TransactionId};

    /// Stock was taken.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct DecreaseReply {
        /// `success`.
        pub status: String,
        /// For people.
        pub message: String,
        /// Of what.
        pub product_id: ProductId,
        /// What is left.
        pub remaining_quantity: i32,
    }

    /// Stock arrived.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct RestockReply {
        /// `success`.
        pub status: String,
        /// For people.
        pub message: String,
        /// Of what.
        pub product_id: ProductId,
        /// What there is now.
        pub quantity: i32,
    }

    /// Stock was given back.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct RestoreReply {
        /// `success`.
        pub status: String,
        /// For people.
        pub message: String,
        /// Whose.
        pub transaction_id: TransactionId,
        /// Of what; null when there was nothing to give back.
        pub product_id: Option<ProductId>,
        /// How much.
        pub quantity: Option<i32>,
    }

    /// What there is.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct Stock {
        /// Of what.
        pub product_id: ProductId,
        /// How much.
        pub quantity: i32,
        /// Since when.
        #[serde(with = "super::rfc3339")]
        pub last_updated: DateTime<Utc>,
    }
}

/// The payments' replies.
pub mod payments {
    use super::{DateTime, Utc};
    use serde::{Deserialize, Serialize};

    use crate::money::Money;

    /// A payment as it stands.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct Payment {
        /// Its id.
        pub payment_id: i64,
        /// `success`, `error` or `compensated`.
        pub status: String,
        /// Whose.
        pub transaction_id: String,
        /// Who paid.
        pub user_id: String,
        /// For what.
        pub product_id: Option<String>,
        /// How much.
        pub amount: Money,
        /// When.
        #[serde(with = "super::rfc3339")]
        pub created_at: DateTime<Utc>,
        /// When it was given back.
        #[serde(with = "super::rfc3339::option")]
        pub compensated_at: Option<DateTime<Utc>>,
    }

    /// A payment was taken.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct Charged {
        /// Its id.
        pub payment_id: i64,
        /// `success`.
        pub status: String,
        /// For people.
        pub message: String,
        /// Whose.
        pub transaction_id: String,
        /// Who paid.
        pub user_id: String,
        /// For what.
        pub product_id: Option<String>,
        /// How much.
        pub amount: Money,
    }

    /// A payment was refused.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct ChargeRefused {
        /// The row that is kept of it, or the payment that was given back; null where there was none.
        pub payment_id: Option<i64>,
        /// `error`.
        pub status: String,
        /// For people.
        pub message: String,
        /// Whose.
        pub transaction_id: String,
        /// Who would have paid.
        pub user_id: Option<String>,
        /// For what.
        pub product_id: Option<String>,
    }

    /// A payment was given back, or never will be taken.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct RefundReply {
        /// `compensated`.
        pub status: String,
        /// For people.
        pub message: String,
        /// What was given back; null where nothing was.
        pub payment_id: Option<i64>,
        /// Whose.
        pub transaction_id: String,
        /// Who has it back.
        pub user_id: Option<String>,
        /// How much.
        pub amount: Option<Money>,
    }
}

/// The purchases' replies.
pub mod purchases {
    use super::{DateTime, Utc};
    use serde::{Deserialize, Serialize};

    use crate::ids::TransactionId;
    use crate::money::Money;

    /// A purchase was recorded.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct PurchaseReply {
        /// Its id.
        pub purchase_id: i64,
        /// `success`.
        pub status: String,
        /// Who buys.
        pub user_id: String,
        /// The transaction.
        pub transaction_id: String,
        /// What.
        pub product_id: String,
        /// Paid by what.
        pub payment_id: String,
        /// For how much.
        pub amount: Money,
    }

    /// A purchase as it stands.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct PurchaseView {
        /// Its id.
        pub purchase_id: i64,
        /// `success` or `cancelled`.
        pub status: String,
        /// Who bought.
        pub user_id: String,
        /// The transaction.
        pub transaction_id: String,
        /// What.
        pub product_id: String,
        /// Paid by what.
        pub payment_id: String,
        /// For how much.
        pub amount: Money,
        /// When.
        #[serde(with = "super::rfc3339")]
        pub created_at: DateTime<Utc>,
        /// When it was cancelled.
        #[serde(with = "super::rfc3339::option")]
        pub cancelled_at: Option<DateTime<Utc>>,
    }

    /// A part of the list.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct PurchasePage {
        /// The purchases, newest first.
        pub purchases: Vec<PurchaseView>,
        /// Where the next part begins; null at the end.
        pub next_cursor: Option<String>,
    }

    /// A purchase is cancelled, or never will be made.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct CancelReply {
        /// `success`.
        pub status: String,
        /// For people.
        pub message: String,
        /// Whose.
        pub transaction_id: TransactionId,
    }
}
