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
    if is_loopback(server.as_str()) { straight() } else { http_client() }
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

/// Parses the address of a server, as a flag gives it; the error says what to write instead.
pub(crate) fn address(text: &str) -> Result<Url, String> {
    let is_server = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if let Some(url) = Url::parse(text).ok().filter(is_server) {
        return Ok(url);
    }
    let with_scheme = format!("http://{text}");
    let begins_with_host = text.starts_with(|first: char| first.is_alphanumeric() || first == '[');
    if begins_with_host && !text.contains("://") && Url::parse(&with_scheme).is_ok() {
        Err(format!("expected an address with http:// or https:// before it, such as {with_scheme}"))
    } else {
        Err("expected an address such as http://127.0.0.1:8000 or https://shop.example".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_one_without_is_answered_with_it() {
        for good in ["http://127.0.0.1:8000", "https://shop.example/orchestrator/", "http://[::1]:8000"] {
            assert_eq!(
                address(good).map(|url| url.as_str().trim_end_matches('/') == good.trim_end_matches('/')),
                Ok(true)
            );
        }
        for bare in ["127.0.0.1:21000", "localhost:8000", "shop.example", "[::1]:8000", "shop.example/orchestrator"] {
            let error = address(bare).unwrap_err();
            assert!(error.ends_with(&format!("such as http://{bare}")), "{bare}: {error}");
        }
        for wrong in ["", " ", "/", "http://", "ftp://shop.example", "unix:/run/shop"] {
            let error = address(wrong).unwrap_err();
            assert!(
                error.contains("http://127.0.0.1:8000 or https://") || wrong == "unix:/run/shop",
                "{wrong}: {error}"
            );
        }
    }
}
