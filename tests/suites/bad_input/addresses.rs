//! Unknown paths, wrong methods, bad query parameters.

use reqwest::Method;
use tests::{Stack, StackOptions, http::send, problem, with_stack};

use super::{assert_nothing_happened, check_all, row};

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_paths_that_are_unknown_are_404() {
    #[rustfmt::skip]
    let paths = [
        ("catalog", Method::GET, "/products/77/"), ("catalog", Method::GET, "/products/-1/"),
        ("catalog", Method::GET, "/products/1.0/"), ("catalog", Method::GET, "/products/%20/"),
        ("catalog", Method::GET, "/products/%00/"), ("catalog", Method::GET, "/products/1'%20or%20'1'='1/"),
        ("catalog", Method::GET, "/products/1/2/"), ("catalog", Method::GET, "/product/1/"),
        ("payments", Method::GET, "/payments/77/"), ("payments", Method::GET, "/payments/%00/"),
        ("payments", Method::GET, "/payments/+1/"), ("payments", Method::GET, "/payments/by-transaction/unknown/"),
        ("payments", Method::GET, "/payments/by-transaction/%00/"),
        ("payments", Method::POST, "/payments/77/refund/"), ("payments", Method::POST, "/payments/abc/refund/"),
        ("payments", Method::POST, "/payments/9223372036854775808/refund/"),
        ("inventory", Method::GET, "/inventory/unseen/"), ("inventory", Method::GET, "/inventory/%00/"),
        ("inventory", Method::GET, "/inventory/%E2%80%AE/"),
        ("purchases", Method::GET, "/purchases/77/"), ("purchases", Method::GET, "/purchases/%00/"),
        ("purchases", Method::GET, "/purchases/9223372036854775808/"),
        ("purchases", Method::DELETE, "/purchases/77/cancel/"),
        ("purchases", Method::DELETE, "/purchases/9223372036854775808/cancel/"),
        ("orchestrator", Method::GET, "/saga/status/019500c6-0000-7000-8000-000000000000"),
        ("orchestrator", Method::GET, "/saga/status"), ("orchestrator", Method::GET, "/saga"),
        ("orchestrator", Method::GET, "/SAGA/TRANSACTIONS"),
    ];
    let rows = paths.map(|(service, method, path)| row(service, method, path, "{}", 404));
    check_all(rows.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_ids_in_paths_are_checked_like_those_in_bodies() {
    let long = "x".repeat(101);
    let mut rows = Vec::new();
    for bad in ["%00", "%20", "a%00b", &long] {
        #[rustfmt::skip]
        let paths = [
            ("payments", Method::POST, format!("/payments/by-transaction/{bad}/refund/")),
            ("inventory", Method::POST, format!("/inventory/restore/by-transaction/{bad}/")),
            ("purchases", Method::DELETE, format!("/purchases/by-transaction/{bad}/cancel/")),
            ("purchases", Method::DELETE, format!("/purchases/{bad}/cancel/")),
            ("catalog", Method::GET, format!("/journal/{bad}/")),
            ("payments", Method::GET, format!("/journal/{bad}/")),
            ("inventory", Method::GET, format!("/journal/{bad}/")),
            ("purchases", Method::GET, format!("/journal/{bad}/")),
        ];
        rows.extend(
            paths.map(|(service, method, path)| {
                row(service, method, &path, "", 400).complaining_of(&["transaction_id"])
            }),
        );
    }
    check_all(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn query_parameters_that_are_none_are_bad_fields() {
    let mut rows = Vec::new();
    for (service, path, status) in
        [("catalog", "/products/", 400), ("purchases", "/purchases/", 400), ("orchestrator", "/saga/transactions", 422)]
    {
        for limit in ["0", "-1", "1001", "x", "1.5", "", "99999999999999999999", "%00", "+5"] {
            rows.push(
                row(service, Method::GET, &format!("{path}?limit={limit}"), "", status).complaining_of(&["limit"]),
            );
        }
        for cursor in ["x", "-1", "%00", "99999999999999999999999"] {
            rows.push(
                row(service, Method::GET, &format!("{path}?cursor={cursor}"), "", status).complaining_of(&["cursor"]),
            );
        }
    }
    for (service, path, status) in [("purchases", "/purchases/", 400), ("orchestrator", "/saga/transactions", 422)] {
        for user in ["", "%20", "%00", "a%00"] {
            rows.push(
                row(service, Method::GET, &format!("{path}?user_id={user}"), "", status).complaining_of(&["user_id"]),
            );
        }
    }
    check_all(rows).await;
}

/// The routes with free text in their path or query.
fn places_of_text(text: &str) -> [(&'static str, String); 8] {
    [
        ("catalog", format!("/products/{text}/")),
        ("payments", format!("/payments/{text}/")),
        ("payments", format!("/payments/by-transaction/{text}/")),
        ("inventory", format!("/inventory/{text}/")),
        ("purchases", format!("/purchases/{text}/")),
        ("purchases", format!("/purchases/?user_id={text}")),
        ("orchestrator", format!("/saga/status/{text}")),
        ("orchestrator", format!("/saga/transactions?user_id={text}")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn percent_encoding_that_is_no_text_is_400() {
    let bad = ["%ff", "%C3%28", "%ED%A0%80", "a%80"];
    let rows = bad.into_iter().flat_map(places_of_text);
    check_all(rows.map(|(service, path)| row(service, Method::GET, &path, "", 400)).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_percent_sign_is_no_failure_of_the_service() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for (service, path) in ["%", "%z", "%zz", "%%30"].into_iter().flat_map(places_of_text) {
            let answer = stack.get(service, &path).await;
            // Taken literally or rejected; in either case no item has that name.
            assert!([200, 400, 404, 422].contains(&answer.status), "{service} {path}: {answer:?}");
            if answer.status != 200 {
                problem::assert_problem(&answer, answer.status);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_methods_are_405_and_name_the_right_ones() {
    #[rustfmt::skip]
    let rows = [
        ("catalog", Method::POST, "/products/random/", vec!["GET"]),
        ("catalog", Method::PUT, "/products/1/", vec!["GET"]),
        ("catalog", Method::DELETE, "/products/", vec!["GET"]),
        ("payments", Method::GET, "/payments/", vec!["POST"]),
        ("payments", Method::DELETE, "/payments/1/", vec!["GET"]),
        ("payments", Method::GET, "/payments/1/refund/", vec!["POST"]),
        ("payments", Method::PUT, "/payments/by-transaction/t/refund/", vec!["POST"]),
        ("payments", Method::POST, "/payments/by-transaction/t/", vec!["GET"]),
        ("inventory", Method::GET, "/inventory/restore/by-transaction/t/", vec!["POST"]),
        ("inventory", Method::DELETE, "/inventory/1/", vec!["GET"]),
        ("purchases", Method::PUT, "/purchases/", vec!["GET", "POST"]),
        ("purchases", Method::POST, "/purchases/1/cancel/", vec!["DELETE"]),
        ("purchases", Method::GET, "/purchases/by-transaction/t/cancel/", vec!["DELETE"]),
        ("purchases", Method::DELETE, "/purchases/1/", vec!["GET"]),
        ("orchestrator", Method::GET, "/saga/transaction", vec!["POST"]),
        ("orchestrator", Method::POST, "/saga/transactions", vec!["GET"]),
        ("orchestrator", Method::DELETE, "/saga/status/7", vec!["GET"]),
        ("orchestrator", Method::POST, "/", vec!["GET"]),
    ];
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for (service, method, path, allowed) in rows {
            let answer = send(stack.request(method.clone(), service, path)).await;
            problem::assert_problem(&answer, 405);
            let allow: Vec<&str> = answer.header("allow").unwrap_or_default().split(", ").collect();
            for method in &allowed {
                assert!(allow.contains(method), "{service} {path}: {allow:?}");
            }
            assert!(!allow.contains(&method.as_str()), "{service} {path}: {allow:?}");
        }
        assert_nothing_happened(stack).await;
    })
    .await;
}
