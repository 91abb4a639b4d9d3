//! The way of a request: straight to its server, or through a proxy of the environment (`http_proxy`, `all_proxy`,
//! `no_proxy`).
//!
//! A proxy is for servers that are far away. This machine's own addresses mean another machine to a proxy elsewhere, so
//! they are always asked straight, and a proxy that is used is named wherever a request fails.

use common::loopback::is_loopback;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, Url};

/// Begins a client that asks no proxy.
pub(crate) fn straight() -> ClientBuilder {
    reqwest::Client::builder().no_proxy()
}

/// Begins a client for a server.
pub(crate) fn to(server: &Url) -> ClientBuilder {
    match is_loopback(server.as_str()) {
        true => straight(),
        false => reqwest::Client::builder(),
    }
}

/// Names the proxy between us and a server, in words that follow the address; empty where there is none. A password in
/// the proxy's address is not shown.
pub(crate) fn proxy(server: &Url) -> String {
    let proxy = || {
        let address = server.as_str().parse().ok()?;
        Some(Matcher::from_env().intercept(&address)?.uri().to_string())
    };
    match Some(server).filter(|server| !is_loopback(server.as_str())).and_then(|_| proxy()) {
        Some(proxy) => format!(" (through the proxy {proxy}, by http_proxy or all_proxy; no_proxy leaves it out)"),
        None => String::new(),
    }
}
