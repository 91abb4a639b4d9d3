//! Missing fields and fields with bad values.

use super::{ENDPOINTS, check_all};

/// Texts that are not valid as any kind of id.
fn bad_ids() -> Vec<String> {
    let mut bad =
        ["true", "[]", "{}", "[\"1\"]", "\"\"", "\" \"", "\"\\t\\n\"", "\"\\u0000\"", "\"a\\u0000b\"", "\"\\ud800\""]
            .map(str::to_owned)
            .to_vec();
    bad.push(format!("\"{}\"", "x".repeat(101)));
    bad.push(format!("\"{}\"", "ж".repeat(101)));
    bad
}

/// Numbers that are not valid ids: a product or payment id may be a plain whole number.
const BAD_NUMBERS: [&str; 5] = ["-1", "1.0", "1.5", "1e2", "-0"];

/// Invalid amounts, as numbers and as texts.
const BAD_AMOUNTS: [&str; 30] = [
    "0",
    "0.00",
    "-1",
    "-0.01",
    "100000000",
    "99999999.991",
    "99999999.995",
    "100000000.00",
    "1.234",
    "1.230",
    "1e2",
    "1E2",
    "1e-2",
    "1e400",
    "true",
    "[]",
    "{}",
    "[1]",
    "1111111111111111111111111111111111111111111111111111111111111111",
    "0.0000000000000000000000000000000000000000000000000000000000000001",
    "\"\"",
    "\" 1\"",
    "\"1 \"",
    "\"+1\"",
    "\"-1\"",
    "\"1,5\"",
    "\"NaN\"",
    "\"0x10\"",
    "\"1.\"",
    "\"١\"",
];

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_are_none_are_bad_fields_everywhere() {
    let endpoints = ENDPOINTS.iter().filter(|endpoint| endpoint.has("amount"));
    let rows = endpoints.flat_map(|endpoint| {
        let bad = BAD_AMOUNTS.iter().copied().chain([
            "\".5\"",
            "\"Infinity\"",
            "\"1e2\"",
            "\"01\"",
            "\"1.230\"",
            "\"\\u0000\"",
        ]);
        bad.map(|bad| {
            endpoint.post(endpoint.body("amount", Some(bad)), endpoint.bad_fields).complaining_of(&["amount"])
        })
    });
    check_all(rows.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_none_are_bad_fields_everywhere() {
    const IDS: [[&str; 1]; 4] = [["user_id"], ["transaction_id"], ["product_id"], ["payment_id"]];
    let mut rows = Vec::new();
    for endpoint in &ENDPOINTS {
        for id in IDS.iter().filter(|[id]| endpoint.has(id)) {
            let is_number_too = ["product_id", "payment_id"].contains(&id[0]);
            let numbers = BAD_NUMBERS.map(str::to_owned);
            // The id of a user or transaction must be a text.
            let more = if is_number_too { numbers.to_vec() } else { vec!["1".to_owned()] };
            // In a purchase these dots are a well-formed product id; the product is then not found.
            let is_wanted = endpoint.service == "orchestrator" && id[0] == "product_id";
            let dots = ["\".\"", "\"..\""].map(str::to_owned).into_iter().filter(|_| !is_wanted);
            for bad in bad_ids().into_iter().chain(more).chain(dots) {
                let body = endpoint.body(id[0], Some(&bad));
                rows.push(endpoint.post(body, endpoint.bad_fields).complaining_of(id));
            }
        }
    }
    check_all(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_fields_are_all_named_at_once() {
    let mut rows = Vec::new();
    for endpoint in &ENDPOINTS {
        let required: Vec<&'static str> = endpoint.fields[..endpoint.required].iter().map(|(name, _)| *name).collect();
        let required: &'static [&'static str] = required.leak();
        for empty in ["{}", r#"{"other":1}"#] {
            rows.push(endpoint.post(empty, endpoint.bad_fields).complaining_of(required));
        }
        for field in required {
            let missing: &'static [&'static str] = vec![*field].leak();
            rows.push(endpoint.post(endpoint.body(field, None), endpoint.bad_fields).complaining_of(missing));
            rows.push(endpoint.post(endpoint.body(field, Some("null")), endpoint.bad_fields).complaining_of(missing));
        }
    }
    check_all(rows).await;
}
