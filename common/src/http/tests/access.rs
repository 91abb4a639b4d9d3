//! Access to routes by token.

use std::sync::Arc;

use hyper::header::HeaderValue;
use secrecy::SecretString;

use super::kit::{call, front, request, settings, undescribed};
use crate::{
    config::Settings,
    faults::FaultSampler,
    http::{Access, HttpService, Routes, StatusCode, debug, json, outgoing_bearer},
    supervision::ActorEntry,
};

const ACCESSES: [(&str, Access); 5] = [
    ("/public/", Access::Public),
    ("/client/", Access::Client),
    ("/known-client/", Access::KnownClient),
    ("/service/", Access::Service),
    ("/operator/", Access::Operator),
];

fn all_routes(settings: Arc<Settings>) -> HttpService {
    let answer = async |_| Ok(json(StatusCode::OK, ""));
    let routes = ACCESSES
        .iter()
        .fold(Routes::new("test"), |routes, (path, access)| routes.get(path, *access, undescribed, answer));
    front(routes, settings)
}

/// Returns the statuses of one route per access rule.
async fn knock(front: &HttpService, authorization: Option<&'static str>) -> [u16; 5] {
    let mut statuses = [0; 5];
    for (status, (path, _)) in statuses.iter_mut().zip(ACCESSES) {
        let mut request = request("GET", path, "");
        if let Some(authorization) = authorization {
            request.headers_mut().insert("authorization", HeaderValue::from_static(authorization));
        }
        let answer = call(front, request).await;
        if answer.status == 401 {
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        if answer.status >= 400 {
            answer.problem();
        }
        *status = answer.status;
    }
    statuses
}

fn set_tokens(settings: &mut Settings) {
    settings.auth.api_token = SecretString::from("api");
    settings.auth.service_token = SecretString::from("service");
    settings.auth.operator_token = SecretString::from("operator");
}

#[tokio::test]
async fn without_tokens_all_is_open_in_development_and_clients_alone_come_in_in_production() {
    let development = all_routes(settings(|_| {}));
    assert_eq!(knock(&development, None).await, [200; 5]);
    let production = all_routes(settings(|settings| settings.profile = "production".to_owned()));
    assert_eq!(knock(&production, None).await, [200, 200, 403, 403, 403]);
    assert_eq!(knock(&production, Some("Bearer ")).await, [200, 200, 403, 403, 403]);
}

#[tokio::test]
async fn a_route_that_names_one_saga_needs_more_without_that_name() {
    let answer = async |_| Ok(json(StatusCode::OK, ""));
    let routes =
        Routes::new("test").get("/events/", Access::Client, undescribed, answer).without_query("saga", Access::Service);
    let front = front(routes, settings(|settings| settings.auth.service_token = SecretString::from("service")));
    for (path, status) in [
        ("/events?saga=1", 200),
        ("/events?a=b&saga=", 200),
        ("/events", 401),
        ("/events?sagas=1", 401),
        ("/events?%73aga=1", 200),
        ("/events?saga%ff=1", 401),
    ] {
        assert_eq!(call(&front, request("GET", path, "")).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_token_opens_its_door_and_those_of_lesser_tokens() {
    let front = all_routes(settings(set_tokens));
    let cases = [
        (None, [200, 401, 401, 401, 401]),
        (Some("Bearer api"), [200, 200, 200, 403, 403]),
        (Some("Bearer service"), [200, 200, 403, 200, 403]),
        (Some("Bearer operator"), [200, 200, 200, 200, 200]),
        (Some("bearer  operator "), [200, 200, 200, 200, 200]),
        (Some("Bearer wrong"), [200, 403, 403, 403, 403]),
        (Some("Bearer operator2"), [200, 403, 403, 403, 403]),
        (Some("Bearer"), [200, 401, 401, 401, 401]),
        (Some("Bearer "), [200, 401, 401, 401, 401]),
        (Some("Basic operator"), [200, 401, 401, 401, 401]),
    ];
    for (authorization, statuses) in cases {
        assert_eq!(knock(&front, authorization).await, statuses, "{authorization:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_set_is_not_the_empty_token() {
    let front = all_routes(settings(|settings| {
        settings.auth.api_token = SecretString::from("api");
    }));
    assert_eq!(knock(&front, Some("Bearer x")).await, [200, 403, 403, 403, 403]);
    assert_eq!(knock(&front, Some("Bearer ")).await, [200, 401, 401, 401, 401]);
}

#[tokio::test]
async fn outside_production_the_api_token_guards_what_has_no_token_of_its_own() {
    let front = all_routes(settings(|settings| settings.auth.service_token = SecretString::from("service")));
    assert_eq!(knock(&front, None).await, [200, 200, 200, 401, 200]);
    assert_eq!(knock(&front, Some("Bearer service")).await, [200; 5]);
    let front = all_routes(settings(|settings| settings.auth.api_token = SecretString::from("api")));
    assert_eq!(knock(&front, None).await, [200, 401, 401, 401, 401]);
    assert_eq!(knock(&front, Some("Bearer api")).await, [200; 5]);
}

#[test]
fn services_call_each_other_with_the_token_that_opens_most() {
    let bearer = |change: fn(&mut Settings)| outgoing_bearer(&settings(change).auth);
    assert_eq!(bearer(|_| {}), None);
    assert_eq!(bearer(|settings| settings.auth.api_token = SecretString::from("api")).unwrap(), "Bearer api");
    let header = bearer(set_tokens).unwrap();
    assert_eq!(header, "Bearer service");
    assert!(header.is_sensitive());
}

#[tokio::test]
async fn a_stranger_is_turned_away_before_the_body_is_read() {
    let front = all_routes(settings(|settings| {
        set_tokens(settings);
        settings.http.body_limit_bytes = 1;
    }));
    assert_eq!(call(&front, request("GET", "/operator/", "too long")).await.status, 401);
}

fn debug_front() -> (HttpService, FaultSampler) {
    let settings = settings(|_| {});
    let sampler = FaultSampler::new("payments", &settings.faults);
    let root = ActorEntry::new("stack-1/payments", "supervisor");
    root.add_child(ActorEntry::new("stack-1/payments/ledger", "group commit"));
    (
        front(
            debug::routes(
                "payments",
                root,
                Some(debug::Lab { sampler: sampler.clone(), changes: settings.fault_changes() }),
            ),
            settings,
        ),
        sampler,
    )
}

#[tokio::test]
async fn an_operator_sees_the_tree_and_each_actor() {
    let (front, _) = debug_front();
    let tree = call(&front, request("GET", "/debug/actors", "")).await.json();
    assert_eq!(tree["children"][0]["name"], "stack-1/payments/ledger");
    for path in ["/debug/actors/stack-1/payments/ledger", "/debug/actors/payments/ledger/"] {
        assert_eq!(call(&front, request("GET", path, "")).await.json()["kind"], "group commit", "{path}");
    }
    assert_eq!(call(&front, request("GET", "/debug/actors/nobody", "")).await.problem()["status"], 404);
}

#[tokio::test]
async fn an_operator_changes_failure_settings_all_or_nothing() {
    let (front, sampler) = debug_front();
    let shown = call(&front, request("GET", "/debug/faults", "")).await.json();
    assert_eq!(shown, sampler.json());
    let bad = call(&front, request("PUT", "/debug/faults/", r#"{"charge":{"failure_rate":2},"refund":{"x":1}}"#)).await;
    assert_eq!((bad.status, bad.problem()["errors"].as_array().map(Vec::len)), (400, Some(2)));
    for body in ["[]", "{", ""] {
        assert_eq!(call(&front, request("PUT", "/debug/faults", body)).await.problem()["status"], 400, "{body}");
    }
    assert_eq!(sampler.json(), shown);
    let good = call(&front, request("PUT", "/debug/faults", r#"{"charge":{"failure_rate":0.25}}"#)).await;
    assert_eq!((good.status, good.json()["charge"]["failure_rate"].as_f64()), (200, Some(0.25)));
    assert_eq!(sampler.json(), good.json());
}

#[tokio::test]
async fn a_service_without_dice_has_no_failure_settings() {
    let root = ActorEntry::new("stack-1/orchestrator", "supervisor");
    let front = front(debug::routes("orchestrator", root, None), settings(|_| {}));
    assert_eq!(call(&front, request("GET", "/debug/faults", "")).await.status, 404);
}
