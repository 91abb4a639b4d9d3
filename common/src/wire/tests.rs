//! Bodies and times have the format that the API promises.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{catalog::Product, inventory::DecreaseReply, payments::ChargeReply, purchases::PurchaseReply, *};

/// Checks that a body is serialized exactly as the API describes it, and read back as the same value.
fn check<T: Serialize + DeserializeOwned>(json: &str) {
    let body: T = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&body).unwrap(), json);
}

#[test]
fn bodies_have_the_members_and_forms_of_the_api() {
    check::<Product>(
        r#"{"product_id":1,"name":"Lamp","description":"","price":"491.80","category":"Electronics","stock":76}"#,
    );
    check::<ChargeReply>(
        r#"{"payment_id":42,"status":"success","message":"Payment processed successfully","transaction_id":"txn-456","user_id":"user-123","product_id":null,"amount":"99.99"}"#,
    );
    check::<payments::ChargeRefused>(
        r#"{"payment_id":43,"status":"error","message":"Error processing payment","transaction_id":"txn-457","user_id":"user-123","product_id":null}"#,
    );
    check::<payments::RefundReply>(
        r#"{"status":"compensated","message":"Payment refunded successfully","payment_id":42,"transaction_id":"txn-456","user_id":"user-123","amount":"99.99"}"#,
    );
    check::<DecreaseReply>(
        r#"{"status":"success","message":"Inventory decreased successfully","product_id":"1","remaining_quantity":98}"#,
    );
    check::<PurchaseReply>(
        r#"{"purchase_id":15,"status":"success","user_id":"user-123","transaction_id":"txn-456","product_id":"1","payment_id":"42","amount":"99.99"}"#,
    );
    check::<purchases::CancelReply>(
        r#"{"status":"success","message":"Purchase cancelled successfully","transaction_id":"txn-456"}"#,
    );
    check::<inventory::Stock>(r#"{"product_id":"1","quantity":3,"last_updated":"2026-01-02T03:04:05.000006Z"}"#);
    check::<journal::JournalView>(
        r#"{"transaction_id":"t","entries":[{"operation":"charge","status":409,"reply":{},"decided_at":"2026-01-02T03:04:05.000000Z","from_saga":true,"step":"charge","attempt":1,"epoch":null,"tombstone":false}]}"#,
    );
    check::<ActorView>(
        r#"{"name":"s/payments","kind":"supervisor","status":"running","restarts":0,"last_restart_reason":null,"started_at":null,"messages_handled":0,"queue_depth":null,"state":null,"children":[]}"#,
    );
}

#[test]
fn a_time_is_utc_with_microseconds_and_z() {
    let time = DateTime::parse_from_rfc3339("2026-01-02T05:04:05.123456789+02:00").unwrap().to_utc();
    assert_eq!(timestamp(time), "2026-01-02T03:04:05.123456Z");
    assert_eq!(timestamp(DateTime::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
}

#[test]
fn a_time_of_any_offset_is_read_and_shown_as_utc() {
    #[derive(Serialize, Deserialize)]
    struct Times {
        #[serde(with = "rfc3339")]
        begun: DateTime<Utc>,
        #[serde(with = "rfc3339::option", default)]
        ended: Option<DateTime<Utc>>,
    }
    let read = |json: &str| serde_json::from_str::<Times>(json);
    let times = read(r#"{"begun":"2026-01-02T05:04:05+02:00"}"#).unwrap();
    let shown: Value = serde_json::to_value(&times).unwrap();
    assert_eq!(shown["begun"], "2026-01-02T03:04:05.000000Z");
    assert_eq!(shown["ended"], Value::Null);
    assert!(read(r#"{"begun":"2026-01-02T03:04:05Z","ended":"2026-01-02T03:04:06Z"}"#).unwrap().ended.is_some());
    assert!(read(r#"{"begun":"yesterday"}"#).is_err());
    assert!(read(r#"{"begun":"2026-01-02T03:04:05Z","ended":1}"#).is_err());
}
