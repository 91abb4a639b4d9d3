//! The API description matches the routes, behind any prefix.

use std::collections::BTreeSet;

use hyper::header::HeaderValue;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::kit::{Answer, call, front, request, settings};
use crate::{
    config::Settings,
    http::{
        Access, HttpService, Request, Response, Routes, StatusCode,
        openapi::{Description, Header, schema},
    },
};

/// A shelf.
#[derive(Serialize, ToSchema)]
struct Shelf {
    /// The books on it.
    books: u32,
}

/// Another type with the same schema name.
#[derive(Serialize, ToSchema)]
#[schema(as = Shelf)]
struct Other {
    boards: String,
}

fn show() -> Description {
    Description::new("showShelf", "Shows a shelf")
        .path("shelf_id", schema::text(1, 100), "Which one.")
        .answer::<Shelf>(200, "The shelf.")
        .problem(404, "There is no such shelf.")
}

fn fill() -> Description {
    Description::new("fillShelf", "Fills a shelf")
        .path("shelf_id", schema::text(1, 100), "Which one.")
        .header(Header::IdempotencyKey)
        .body::<Shelf>(json!({ "books": 7 }))
        .answer::<Shelf>(200, "The shelf is full.")
        .mark(200, Header::IdempotentReplayed)
}

async fn shelf(_: Request) -> Result<Response, crate::http::ApiError> {
    Ok(crate::http::json(StatusCode::OK, &Shelf { books: 7 }))
}

fn library(change: impl FnOnce(&mut Settings)) -> HttpService {
    let routes = Routes::new("test")
        .about("Keeps books.")
        .get("/shelves/{shelf_id}/", Access::Public, show, shelf)
        .put("/rows/{*shelf_id}", Access::Client, fill, shelf);
    front(routes, settings(change))
}

async fn document(front: &HttpService) -> Value {
    let answer = call(front, request("GET", "/openapi.json", "")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    answer.json()
}

fn statuses(operation: &Value) -> BTreeSet<&str> {
    operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_route_is_described_by_what_it_says_and_by_what_the_front_adds() {
    let document = document(&library(|_| {})).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["description"].as_str().unwrap().starts_with("Keeps books."));
    let paths: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in ["/shelves/{shelf_id}/", "/rows/{shelf_id}", "/health/", "/metrics/", "/openapi.json", "/docs"] {
        assert!(paths.contains(&path), "{path} is not in {paths:?}");
    }
    let show = &document["paths"]["/shelves/{shelf_id}/"]["get"];
    assert_eq!(statuses(show), BTreeSet::from(["200", "400", "404", "405", "408", "413", "429", "500", "503"]));
    assert_eq!(
        show["responses"]["200"]["content"]["application/json"]["schema"],
        json!({ "$ref": "#/components/schemas/Shelf" })
    );
    assert_eq!(document["components"]["schemas"]["Shelf"]["properties"]["books"]["description"], "The books on it.");
    let fill = &document["paths"]["/rows/{shelf_id}"]["put"];
    assert_eq!(
        statuses(fill),
        BTreeSet::from(["200", "400", "401", "403", "405", "408", "413", "415", "429", "500", "503"])
    );
    assert_eq!(fill["requestBody"]["required"], true);
    assert!(fill["responses"]["200"]["headers"]["Idempotent-Replayed"].is_object(), "{fill:#}");
    assert_eq!(fill["responses"]["503"], json!({ "$ref": "#/components/responses/Unavailable" }));
    assert!(document["components"]["responses"]["Unavailable"]["headers"]["Retry-After"].is_object());
}

#[tokio::test]
async fn a_token_is_optional_until_it_is_set() {
    let security = async |front: HttpService| {
        let document = document(&front).await;
        let operations = [("/shelves/{shelf_id}/", "get"), ("/rows/{shelf_id}", "put")];
        operations.map(|(path, method)| document["paths"][path][method]["security"].clone())
    };
    let tokens = json!([{ "apiToken": [] }, { "serviceToken": [] }, { "operatorToken": [] }]);
    let optional = json!([{}, { "apiToken": [] }, { "serviceToken": [] }, { "operatorToken": [] }]);
    assert_eq!(security(library(|_| {})).await, [json!([{}]), optional]);
    let closed = library(|settings| settings.auth.api_token = "secret".into());
    assert_eq!(security(closed).await, [json!([{}]), tokens]);
}

/// Requests a path like a proxy that removed a prefix.
async fn behind(prefix: &'static str, path: &str) -> Answer {
    let mut request = request("GET", path, "");
    request.headers_mut().insert("x-forwarded-prefix", HeaderValue::from_static(prefix));
    call(&library(|_| {}), request).await
}

#[tokio::test]
async fn the_description_and_its_page_work_behind_a_prefix() {
    for (prefix, server, link) in [
        ("/library", "/library", "href=\"/library/openapi.json\""),
        ("", "/", "href=\"/openapi.json\""),
        ("/a\"><script>", "/", "href=\"/openapi.json\""),
    ] {
        let document = behind(prefix, "/openapi.json").await.json();
        assert_eq!(document["servers"], json!([{ "url": server }]), "{prefix}");
        for path in ["/docs", "/docs/"] {
            let page = behind(prefix, path).await;
            let text = String::from_utf8(page.body.to_vec()).unwrap();
            assert!(text.contains(link), "{prefix}: {text}");
        }
    }
}

#[tokio::test]
async fn the_page_runs_its_own_script_and_loads_nothing_from_elsewhere() {
    let page = || call_page("GET");
    let first = page().await;
    assert_eq!((first.status, first.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = first.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let text = String::from_utf8(first.body.to_vec()).unwrap();
    assert_eq!(text.matches(&format!("nonce=\"{nonce}\"")).count(), 2, "one style, one script");
    assert_eq!((text.matches("<script").count(), text.matches("<style").count()), (1, 1));
    for foreign in ["http://", "https://", "src=", "@import", "url(", "innerHTML", " style="] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    assert!(!text.contains('@') || text.contains("@media") && text.matches('@').count() == 1, "a part is missing");
    assert!(!page().await.header("content-security-policy").contains(nonce), "a nonce is used once");
    let head = call_page("HEAD").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

async fn call_page(method: &str) -> Answer {
    call(&library(|_| {}), request(method, "/docs", "")).await
}

#[tokio::test]
async fn descriptions_that_contradict_each_other_or_their_routes_are_found() {
    let another: fn() -> Description = || Description::new("another", "Another").answer::<Other>(200, "Another.");
    let nameless: fn() -> Description =
        || Description::new("showShelf", "The same id").answer::<Shelf>(200, "A shelf.");
    let placed: fn() -> Description =
        || Description::new("placed", "An unknown parameter").path("id", schema::string(), "").answer::<Shelf>(200, "");
    let hopeless: fn() -> Description = || Description::new("hopeless", "It never works").problem(404, "Nothing.");
    let fine: fn() -> Description = || Description::new("fine", "No mistake").answer::<Shelf>(200, "A shelf.");
    for (name, describe, status) in [
        ("fine", fine, 200),
        ("another", another, 500),
        ("nameless", nameless, 500),
        ("placed", placed, 500),
        ("hopeless", hopeless, 500),
    ] {
        let routes = Routes::new("test").get("/shelves/{shelf_id}/", Access::Public, show, shelf);
        let front = front(routes.get("/more/", Access::Public, describe, shelf), settings(|_| {}));
        assert_eq!(call(&front, request("GET", "/openapi.json", "")).await.status, status, "{name}");
    }
}
