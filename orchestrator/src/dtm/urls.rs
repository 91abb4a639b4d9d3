//! The URLs that branches may have.

use percent_encoding::percent_decode_str;
use reqwest::Url;
use saga_definitions::limits::MAX_TARGET_BYTES;

/// Prefixes of URLs, normalised; each ends with a slash.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedUrls(Vec<String>);

impl AllowedUrls {
    /// Makes the list from the configuration, which has checked each prefix.
    pub(crate) fn new(prefixes: &[String]) -> AllowedUrls {
        let normal = |prefix: &String| {
            let mut url = Url::parse(prefix).ok()?;
            url.set_query(None);
            url.set_fragment(None);
            let url = url.to_string();
            Some(if url.ends_with('/') { url } else { format!("{url}/") })
        };
        AllowedUrls(prefixes.iter().filter_map(normal).collect())
    }

    /// Returns the normal form of a URL that may be called: dot segments are resolved, the host is in lower case, and the
    /// default port is left out.
    ///
    /// # Errors
    /// Why it may not be called.
    pub(crate) fn check(&self, text: &str) -> Result<String, String> {
        if text.len() > MAX_TARGET_BYTES {
            return Err(format!("a URL of {} bytes is longer than {MAX_TARGET_BYTES} bytes", text.len()));
        }
        let mut url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{text:?} is not an http or https URL"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a user or a password is not allowed".to_owned());
        }
        // Some servers decode a path before they resolve its dot segments.
        if percent_decode_str(url.path()).decode_utf8_lossy().split(['/', '\\']).any(|segment| segment == "..") {
            return Err(format!("{text:?} has an encoded step upwards (..)"));
        }
        url.set_fragment(None);
        let without_query = url.as_str().split('?').next().unwrap_or_default();
        if self.0.iter().any(|prefix| without_query.starts_with(prefix.as_str())) {
            Ok(url.to_string())
        } else {
            Err(format!("{without_query} is not below any of dtm.allowed_urls"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_below_a_prefix_are_allowed() {
        let allowed = AllowedUrls::new(&["http://a".to_owned(), "https://B.example:443/api".to_owned()]);
        for (url, normal) in [
            ("http://a/", "http://a/"),
            ("http://A:80/x?y=1#z", "http://a/x?y=1"),
            ("http://a/x/../y", "http://a/y"),
            ("https://b.example/api/x", "https://b.example/api/x"),
        ] {
            assert_eq!(allowed.check(url).as_deref(), Ok(normal), "{url}");
        }
        for url in [
            "http://a.evil/",
            "http://a:81/",
            "https://a/",
            "http://a@evil/",
            "http://user@a/",
            "https://b.example/apix",
            "https://b.example/api/../x",
            "https://b.example/api/%2e%2e/x",
            "https://b.example/api\\..\\x",
            "https://b.example/api/..%2fx",
            "https://b.example/api/x%2F..%2f..",
            "https://b.example/api/..%5Cx",
            "ftp://a/",
            "/relative",
            "",
        ] {
            assert!(allowed.check(url).is_err(), "{url}");
        }
        let long = format!("http://a/{}", "x".repeat(MAX_TARGET_BYTES));
        assert_eq!(allowed.check(&long), Err("a URL of 8009 bytes is longer than 8000 bytes".to_owned()));
        assert!(AllowedUrls::default().check("http://a/").is_err());
    }
}
