//! `GET /docs`: a page that shows `/openapi.json` and can send requests.
//!
//! It is our own single document without a framework, so that it loads nothing else. Its Content-Security-Policy allows
//! only its own script and requests to its own service. API texts are inserted as text, never as markup.

use std::sync::LazyLock;

use hyper::{
    StatusCode,
    header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};

use crate::http::{Response, with_body};

/// The page with its parts; prefix and nonce are filled in per request.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let script = concat!(include_str!("page/schema.js"), include_str!("page/send.js"), include_str!("page/page.js"));
    include_str!("page/page.html").replace("@STYLE@", include_str!("page/page.css")).replace("@SCRIPT@", script)
});

/// Returns the page for a browser that sees the service behind a prefix: a plain path, or empty.
pub(super) fn show(prefix: &str) -> Response {
    // A nonce for one response: it allows the style and the script of this response only.
    let nonce = format!("{:032x}", rand::random::<u128>());
    let page = PAGE.replace("@PREFIX@", prefix).replace("@NONCE@", &nonce);
    let mut response = with_body(StatusCode::OK, "text/html; charset=utf-8", page);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
