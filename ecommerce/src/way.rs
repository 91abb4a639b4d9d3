//! The route of a request: directly to its server, or through a proxy of the environment (`http_proxy`, `all_proxy`,
//! `no_proxy`).
//!
//! Loopback addresses are always requested directly: on a remote proxy they would mean the proxy's own machine. A
//! failed request names the proxy that it used.

use common::{loopback::is_loopback, tls::http_client};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, Url};

/// Makes a client builder without proxies.
pub(crate) fn straight() -> ClientBuilder {
    http_client().no_proxy()
}

/// Makes a client builder for a server.
pub(crate) fn to(server: &Url) -> ClientBuilder {
    match is_loopback(server.as_str()) {
        true => straight(),
        false => http_client(),
    }
}

/// Returns a phrase that names the proxy for a server, to follow the address; empty without one. A password in the
/// proxy's address is not shown.
pub(crate) fn proxy(server: &Url) -> String {
    let proxy = || {
        let address = server.as_str().parse().ok()?;
        Some(Matcher::from_env().intercept(&address)?.uri().to_string())
    };
    match Some(server).filter(|server| !is_loopback(server.as_str())).and_then(|_| proxy()) {
        Some(proxy) => format!(" (through the proxy {proxy} of http_proxy or all_proxy; no_proxy bypasses it)"),
        None => String::new(),
    }
}
