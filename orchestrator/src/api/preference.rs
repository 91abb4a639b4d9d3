//! The `Prefer` header (RFC 7240): how long a client waits for the end of its saga.

use std::time::Duration;

use common::http::{HeaderValue, Request, Response};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preference {
    /// `respond-async`: respond once the saga is in the log.
    pub(super) respond_async: bool,
    /// `wait=N`: wait up to N seconds for the end.
    wait: Option<Duration>,
}

impl Preference {
    /// To respond once the saga is in the log.
    pub(super) const ASYNC: Preference = Preference { respond_async: true, wait: None };

    /// Reads the header; unknown preferences are ignored, as the RFC says.
    pub(super) fn of(request: &Request) -> Preference {
        let headers = request.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        Self::parse(headers)
    }

    fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Preference {
        let mut preference = Preference::default();
        let mut has_wait = false;
        for part in headers.flat_map(outside_quotes) {
            // Parameters after a semicolon belong to preferences that this service does not support.
            let token = part.split(';').next().unwrap_or_default();
            let (name, value) = token.split_once('=').unwrap_or((token, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") && value.is_empty() {
                preference.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && !has_wait {
                // The first of several counts.
                has_wait = true;
                preference.wait = value.parse().ok().map(Duration::from_secs);
            }
        }
        preference
    }

    /// Returns how long to wait, at most `limit`.
    pub(super) fn wait_limit(self, limit: Duration) -> Duration {
        self.wait.map_or(limit, |wait| wait.min(limit))
    }

    /// Adds `Preference-Applied` if the preference was honoured.
    pub(super) fn mark(self, mut response: Response) -> Response {
        if self.respond_async {
            let applied = HeaderValue::from_static("respond-async");
            response.headers_mut().insert("preference-applied", applied);
        }
        response
    }
}

/// Splits a list at its commas, but not within quotes.
fn outside_quotes(list: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    list.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_found_among_others() {
        let parse = |headers: &[&'static str]| Preference::parse(headers.iter().copied());
        let wait = |seconds| Some(Duration::from_secs(seconds));
        for (headers, expected) in [
            (&[][..], Preference::default()),
            (&["respond-async"], Preference { respond_async: true, wait: None }),
            (&["Respond-Async, wait=10"], Preference { respond_async: true, wait: wait(10) }),
            (&["handling=lenient", "wait=\"3\"; x=y"], Preference { respond_async: false, wait: wait(3) }),
            (&["respond-asynchronously, wait=soon"], Preference::default()),
            (&["foo=\"a,wait=0\", respond-async=\"\""], Preference { respond_async: true, wait: None }),
            (&["wait=7, wait=1", "wait=2"], Preference { respond_async: false, wait: wait(7) }),
        ] {
            assert_eq!(parse(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_limit() {
        let limit = Duration::from_secs(30);
        let of = |seconds| Preference { wait: Some(Duration::from_secs(seconds)), ..Preference::default() };
        assert_eq!(of(5).wait_limit(limit), Duration::from_secs(5));
        assert_eq!(of(500).wait_limit(limit), limit);
        assert_eq!(Preference::default().wait_limit(limit), limit);
    }
}
