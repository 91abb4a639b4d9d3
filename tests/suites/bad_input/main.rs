//! Bad input: every bad request gets the contract's status and a problem with the right fields, and never makes a
//! service fail.

mod addresses;
mod bodies;
mod fields;

use reqwest::Method;
use tests::{Stack, StackOptions, http::send, problem, stack::SERVICES, with_stack};

/// A bad request and its expected answer.
struct Row {
    service: &'static str,
    method: Method,
    path: String,
    body: Vec<u8>,
    status: u16,
    fields: &'static [&'static str],
}

fn row(service: &'static str, method: Method, path: &str, body: impl Into<Vec<u8>>, status: u16) -> Row {
    Row { service, method, path: path.to_owned(), body: body.into(), status, fields: &[] }
}

impl Row {
    fn complaining_of(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = fields;
        self
    }

    async fn check(&self, stack: &Stack) -> Result<(), String> {
        let request = stack.request(self.method.clone(), self.service, &self.path);
        let request = request.header("content-type", "application/json").body(self.body.clone());
        let answer = send(request).await;
        let checked = match self.fields {
            [] => problem::check(&answer, self.status),
            fields => problem::check_fields(&answer, self.status, fields),
        };
        checked.map_err(|wrong| {
            let body = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]);
            format!("{} {} {} {body}\n    {wrong}: {}", self.service, self.method, self.path, answer.text)
        })
    }
}

/// Checks all rows on one stack, then that the services are unaffected.
async fn check_all(rows: Vec<Row>) {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut wrong = Vec::new();
        for row in &rows {
            wrong.extend(row.check(stack).await.err());
        }
        assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        assert_nothing_happened(stack).await;
    })
    .await;
}

async fn assert_nothing_happened(stack: &Stack) {
    for service in SERVICES {
        stack.get(service, "/health/").await.expect(200);
    }
    for service in ["payments", "inventory", "purchases"] {
        let decisions = stack.database(service).await;
        assert_eq!(decisions.number("select count(*) from journal", &[]).await, 0, "{service}");
    }
    let sagas = stack.database("orchestrator").await;
    assert_eq!(sagas.number("select count(*) from saga", &[]).await, 0);
}

/// An endpoint with a body: its path, a good body whose members are replaced one by one, and the status of bad fields.
struct Endpoint {
    service: &'static str,
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    bad_fields: u16,
    /// Number of required fields; they come first.
    required: usize,
}

const ENDPOINTS: [Endpoint; 5] = [
    Endpoint {
        service: "payments",
        path: "/payments/",
        fields: &[("user_id", r#""u""#), ("amount", "1"), ("product_id", "1"), ("transaction_id", r#""t""#)],
        bad_fields: 400,
        required: 2,
    },
    Endpoint {
        service: "inventory",
        path: "/inventory/decrease/",
        fields: &[("product_id", "1"), ("quantity", "1"), ("transaction_id", r#""t""#)],
        bad_fields: 400,
        required: 1,
    },
    Endpoint {
        service: "inventory",
        path: "/inventory/restock/",
        fields: &[("product_id", "1"), ("quantity", "1")],
        bad_fields: 400,
        required: 2,
    },
    Endpoint {
        service: "purchases",
        path: "/purchases/",
        fields: &[
            ("user_id", r#""u""#),
            ("transaction_id", r#""t""#),
            ("product_id", "1"),
            ("payment_id", "1"),
            ("amount", "1"),
        ],
        bad_fields: 400,
        required: 5,
    },
    Endpoint {
        service: "orchestrator",
        path: "/saga/transaction",
        fields: &[("user_id", r#""u""#), ("amount", "1"), ("product_id", "1")],
        bad_fields: 422,
        required: 2,
    },
];

impl Endpoint {
    /// Returns a good body except for one field, which is left out for `None`.
    fn body(&self, field: &str, value: Option<&str>) -> String {
        let members = self.fields.iter().filter_map(|(name, good)| {
            if *name == field {
                value.map(|value| format!("\"{name}\":{value}"))
            } else {
                Some(format!("\"{name}\":{good}"))
            }
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    fn post(&self, body: impl Into<Vec<u8>>, status: u16) -> Row {
        row(self.service, Method::POST, self.path, body, status)
    }

    fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, _)| *name == field)
    }
}
