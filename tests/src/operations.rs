//! The participants' operations as a table, so that suites loop over it instead of repeating code.

use reqwest::{Method, RequestBuilder};

use crate::{
    Stack,
    http::{Answer, send},
    stack::with_json,
};

/// Placeholder for the transaction id in paths, bodies and expectations.
const ID: &str = "$ID";

/// Every operation of the failure lab, with its service.
pub const FAULTY: [(&str, &str); 7] = [
    ("catalog", "product"),
    ("payments", "charge"),
    ("payments", "refund"),
    ("inventory", "decrease"),
    ("inventory", "restore"),
    ("purchases", "create"),
    ("purchases", "cancel"),
];

/// An action of a participant and its compensation.
pub struct Operation {
    /// The participant.
    pub service: &'static str,
    /// The action's name in journals and failure settings.
    pub action: &'static str,
    /// The compensation's name in journals and failure settings.
    pub compensation: &'static str,
    /// The table of its effects, with one row for each decision on an action.
    pub table: &'static str,
    action_path: &'static str,
    compensation_method: Method,
    compensation_path: &'static str,
    /// Bodies with the same meaning, the usual one first.
    same: &'static [&'static str],
    /// Bodies with another meaning.
    other: &'static [&'static str],
    /// Shapes of answers (see [`crate::shape`]).
    done: &'static str,
    refused: &'static str,
    compensated: &'static str,
    nothing_to_compensate: &'static str,
    /// SQL: number of live effects of transaction `$1`.
    live: &'static str,
    /// SQL: number of business rows of transaction `$1`.
    rows: &'static str,
}

/// Every participant with effects.
pub const OPERATIONS: [Operation; 3] = [
    Operation {
        service: "payments",
        action: "charge",
        compensation: "refund",
        table: "app_payment",
        action_path: "/payments/",
        compensation_method: Method::POST,
        compensation_path: "/payments/by-transaction/$ID/refund/",
        same: &[
            r#"{"user_id":"user-1","transaction_id":"$ID","amount":99.90,"product_id":"1"}"#,
            r#"{"user_id":"user-1","transaction_id":"$ID","amount":99.9,"product_id":1}"#,
            r#"{"amount":"99.9","product_id":1,"user_id":"user-1","more":[{}],"transaction_id":"$ID"}"#,
            r#"{ "user_id": "user-1", "transaction_id": "$ID", "amount": "99.90", "product_id": "1" }"#,
        ],
        other: &[
            r#"{"user_id":"user-1","transaction_id":"$ID","amount":99.91,"product_id":"1"}"#,
            r#"{"user_id":"user-2","transaction_id":"$ID","amount":99.90,"product_id":"1"}"#,
            r#"{"user_id":"user-1","transaction_id":"$ID","amount":99.90,"product_id":"2"}"#,
            r#"{"user_id":"user-1","transaction_id":"$ID","amount":99.90,"product_id":null}"#,
            r#"{"user_id":"user-1","transaction_id":"$ID","amount":99.90}"#,
        ],
        done: r#"{"payment_id":"<integer>","status":"success","message":"Payment processed successfully",
            "transaction_id":"$ID","user_id":"user-1","product_id":"1","amount":"99.90"}"#,
        refused: r#"{"payment_id":"<integer>","status":"error","message":"Error processing payment",
            "transaction_id":"$ID","user_id":"user-1","product_id":"1"}"#,
        compensated: r#"{"status":"compensated","message":"Payment refunded successfully","payment_id":"<integer>",
            "transaction_id":"$ID","user_id":"user-1","amount":"99.90"}"#,
        nothing_to_compensate: r#"{"status":"compensated","message":"<text>","payment_id":null,
            "transaction_id":"$ID","user_id":"<any>","amount":"<any>"}"#,
        live: "select count(*) from app_payment where transaction_id = $1 and status = 'success'",
        rows: "select count(*) from app_payment where transaction_id = $1 and status <> 'tombstone'",
    },
    Operation {
        service: "inventory",
        action: "decrease",
        compensation: "restore",
        table: "stock_movement",
        action_path: "/inventory/decrease/",
        compensation_method: Method::POST,
        compensation_path: "/inventory/restore/by-transaction/$ID/",
        same: &[
            r#"{"product_id":"1","quantity":1,"transaction_id":"$ID"}"#,
            r#"{"product_id":1,"quantity":1,"transaction_id":"$ID"}"#,
            r#"{"product_id":"1","transaction_id":"$ID"}"#,
            r#"{"transaction_id":"$ID","product_id":1,"quantity":null,"more":{}}"#,
        ],
        other: &[
            r#"{"product_id":"2","quantity":1,"transaction_id":"$ID"}"#,
            r#"{"product_id":"1","quantity":2,"transaction_id":"$ID"}"#,
        ],
        done: r#"{"status":"success","message":"Inventory decreased successfully","product_id":"1",
            "remaining_quantity":"<integer>"}"#,
        refused: r#"{"status":"error","message":"Insufficient stock for product 1 (random failure)"}"#,
        compensated: r#"{"status":"success","message":"<text>","transaction_id":"$ID","product_id":"1","quantity":1}"#,
        nothing_to_compensate: r#"{"status":"success","message":"<text>","transaction_id":"$ID","product_id":null,
            "quantity":null}"#,
        live: "select coalesce(sum(case kind when 'decrement' then 1 else -1 end), 0)::bigint
                 from stock_movement where transaction_id = $1 and status = 'done'",
        rows: "select count(*) from stock_movement where transaction_id = $1 and status = 'done'",
    },
    Operation {
        service: "purchases",
        action: "create",
        compensation: "cancel",
        table: "app_purchase",
        action_path: "/purchases/",
        compensation_method: Method::DELETE,
        compensation_path: "/purchases/by-transaction/$ID/cancel/",
        same: &[
            r#"{"user_id":"user-1","transaction_id":"$ID","product_id":"1","payment_id":"42","amount":99.90}"#,
            r#"{"user_id":"user-1","transaction_id":"$ID","product_id":1,"payment_id":42,"amount":99.9}"#,
            r#"{"amount":"99.90","payment_id":"42","product_id":1,"transaction_id":"$ID","user_id":"user-1","more":0}"#,
        ],
        other: &[
            r#"{"user_id":"user-2","transaction_id":"$ID","product_id":"1","payment_id":"42","amount":99.90}"#,
            r#"{"user_id":"user-1","transaction_id":"$ID","product_id":"2","payment_id":"42","amount":99.90}"#,
            r#"{"user_id":"user-1","transaction_id":"$ID","product_id":"1","payment_id":"43","amount":99.90}"#,
            r#"{"user_id":"user-1","transaction_id":"$ID","product_id":"1","payment_id":"42","amount":9.99}"#,
        ],
        done: r#"{"purchase_id":"<integer>","status":"success","user_id":"user-1","transaction_id":"$ID",
            "product_id":"1","payment_id":"42","amount":"99.90"}"#,
        refused: r#"{"status":"error","message":"Purchase failed","error":"CONFLICT"}"#,
        compensated: r#"{"status":"success","message":"Purchase cancelled successfully","transaction_id":"$ID"}"#,
        nothing_to_compensate: r#"{"status":"success","message":"<text>","transaction_id":"$ID"}"#,
        live: "select count(*) from app_purchase where transaction_id = $1 and status = 'success'",
        rows: "select count(*) from app_purchase where transaction_id = $1 and status in ('success', 'cancelled')",
    },
];

/// The expected answers of an operation.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// 200 to an action.
    Done,
    /// 409 to an action, from the failure lab.
    Refused,
    /// 200 to the compensation of a done action.
    Compensated,
    /// 200 to a compensation without a done action.
    NothingToCompensate,
}

impl Operation {
    /// Makes a request for the action with its usual body.
    pub fn action(&self, stack: &Stack, transaction: &str) -> RequestBuilder {
        self.action_with(stack, transaction, self.same[0])
    }

    /// Makes a request for the action with another body, from [`Operation::same`] or [`Operation::other`].
    pub fn action_with(&self, stack: &Stack, transaction: &str, body: &str) -> RequestBuilder {
        let request = stack.request(Method::POST, self.service, self.action_path);
        with_json(request, body.replace(ID, transaction))
    }

    /// Makes a request for the compensation.
    pub fn compensation(&self, stack: &Stack, transaction: &str) -> RequestBuilder {
        let path = self.compensation_path.replace(ID, transaction);
        stack.request(self.compensation_method.clone(), self.service, &path)
    }

    /// Requests the action.
    pub async fn act(&self, stack: &Stack, transaction: &str) -> Answer {
        send(self.action(stack, transaction)).await
    }

    /// Requests the compensation.
    pub async fn compensate(&self, stack: &Stack, transaction: &str) -> Answer {
        send(self.compensation(stack, transaction)).await
    }

    /// Returns bodies of the action with the same meaning as the usual one.
    pub fn same(&self) -> &'static [&'static str] {
        self.same
    }

    /// Returns bodies of the action with another meaning.
    pub fn other(&self) -> &'static [&'static str] {
        self.other
    }

    /// Asserts that an answer has the expected status, body and headers.
    ///
    /// # Panics
    /// When it differs.
    #[track_caller]
    pub fn assert_outcome(&self, answer: &Answer, transaction: &str, outcome: Outcome) {
        let (status, shape) = match outcome {
            Outcome::Done => (200, self.done),
            Outcome::Refused => (409, self.refused),
            Outcome::Compensated => (200, self.compensated),
            Outcome::NothingToCompensate => (200, self.nothing_to_compensate),
        };
        assert_eq!(answer.status, status, "{}: {}", self.service, answer.text);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{}", self.service);
        assert_eq!(answer.is_recorded_refusal(), status == 409, "{}", self.service);
        let shape = shape.replace(ID, transaction);
        let shape = serde_json::from_str(&shape).expect("the table above holds JSON");
        crate::assert_shape(&answer.json(), &shape);
    }

    /// Returns the number of live effects of a transaction.
    pub async fn live(&self, stack: &Stack, transaction: &str) -> i64 {
        stack.database(self.service).await.number(self.live, &[&transaction]).await
    }

    /// Returns the number of business rows of a transaction.
    pub async fn rows(&self, stack: &Stack, transaction: &str) -> i64 {
        stack.database(self.service).await.number(self.rows, &[&transaction]).await
    }
}
