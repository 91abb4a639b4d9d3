//! Removes what may be secret from addresses that are logged or traced.

/// Parameters of queries whose values are neither secret nor personal.
const SAFE_PARAMETERS: [&str; 3] = ["limit", "status", "wait"];

/// Replaces a hidden value, as the semantic conventions demand.
const REDACTED: &str = "REDACTED";

/// Replaces the values of a query, but for known parameters: they may be secrets.
pub fn redacted_query(query: &str) -> String {
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, value)) if !value.is_empty() && !SAFE_PARAMETERS.contains(&name) => format!("{name}={REDACTED}"),
        Some(_) => part.to_owned(),
        None => REDACTED.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

/// Returns a URL without user, password and the values of its query, which may be secrets.
pub fn redacted_url(url: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let address = match address.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => address.to_owned(),
    };
    match query {
        Some(query) => format!("{address}?{}", redacted_query(query)),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_queries_and_users_of_urls_are_not_shown() {
        for (query, shown) in
            [("limit=10&user_id=ada&word&x=", "limit=10&user_id=REDACTED&REDACTED&x="), ("token=a=b", "token=REDACTED")]
        {
            assert_eq!(redacted_query(query), shown);
        }
        for (url, shown) in [
            ("http://payments:8002/payments/", "http://payments:8002/payments/"),
            ("https://user:secret@flights.example/api/@me?key=1", "https://flights.example/api/@me?key=REDACTED"),
        ] {
            assert_eq!(redacted_url(url), shown);
        }
    }
}
