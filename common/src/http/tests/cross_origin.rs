//! Browsers from listed and unlisted origins.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request as HttpRequest, header::HeaderValue};

use super::kit::{call, front, request, routes, settings};
use crate::http::HttpService;

const SHOP: &str = "https://shop.example";

fn shop_front(origins: &[&str]) -> HttpService {
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    front(routes(), settings(|settings| settings.http.cors_origins = origins))
}

fn from(origin: &'static str, mut request: HttpRequest<Full<Bytes>>) -> HttpRequest<Full<Bytes>> {
    request.headers_mut().insert("origin", HeaderValue::from_static(origin));
    request
}

fn preflight(path: &str) -> HttpRequest<Full<Bytes>> {
    let mut request = request("OPTIONS", path, "");
    let headers = request.headers_mut();
    headers.insert("access-control-request-method", HeaderValue::from_static("POST"));
    headers.insert("access-control-request-headers", HeaderValue::from_static("content-type"));
    request
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_ask_and_read() {
    let front = shop_front(&[SHOP]);
    let answer = call(&front, from(SHOP, preflight("/things/7"))).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), SHOP);
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, POST");
    assert_eq!(answer.header("access-control-allow-headers"), "content-type");
    let answer = call(&front, from(SHOP, request("GET", "/nothing", ""))).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (404, SHOP));
    assert!(answer.header("access-control-expose-headers").contains("location"));
    assert_eq!(answer.header("vary"), "origin");
}

#[tokio::test]
async fn a_page_of_another_origin_may_not() {
    let front = shop_front(&[SHOP]);
    let answer = call(&front, from("https://evil.example", preflight("/things/7"))).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, ""));
    let answer = call(&front, from("https://evil.example", request("GET", "/things/7", ""))).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""));
}

#[tokio::test]
async fn a_star_is_for_all() {
    let answer = call(&shop_front(&["*"]), from(SHOP, request("GET", "/things/7", ""))).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn without_origins_there_is_no_preflight() {
    let front = shop_front(&[]);
    let answer = call(&front, from(SHOP, preflight("/things/7"))).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, POST"));
    let answer = call(&front, from(SHOP, request("GET", "/things/7", ""))).await;
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
}
