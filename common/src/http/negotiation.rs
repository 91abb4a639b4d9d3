//! Content negotiation and cached representations: `Accept`, `Accept-Encoding` and `If-None-Match` (RFC 9110, sections
//! 12.5 and 13.1.2).

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, IF_NONE_MATCH};

/// Returns whether `Accept` names a media type with a quality above 0. Wildcards do not count.
pub fn accepts_type(headers: &HeaderMap, media_type: &str) -> bool {
    quality(headers, &ACCEPT, media_type).is_some_and(|quality| quality > 0.0)
}

/// Returns whether a body may be sent in a content coding.
pub fn accepts_encoding(headers: &HeaderMap, coding: &str) -> bool {
    let quality = quality(headers, &ACCEPT_ENCODING, coding).or_else(|| quality(headers, &ACCEPT_ENCODING, "*"));
    quality.is_some_and(|quality| quality > 0.0)
}

/// Returns whether the client already has the representation with an entity tag. The comparison is weak, as required
/// for `If-None-Match`.
pub fn has_already(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    items(headers, &IF_NONE_MATCH).any(|known| known == "*" || opaque(known) == opaque(tag))
}

/// Returns the quality of an item in a list header. Of a repeated item, the first counts.
fn quality(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> Option<f32> {
    items(headers, name).find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(wanted) {
            return None;
        }
        let given = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(given.and_then(|quality| quality.trim().parse().ok()).unwrap_or(1.0))
    })
}

/// Returns the items of all headers of one name, which form one list.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn a_quality_of_0_is_a_no() {
        let cases: [(&[&str], bool); 12] = [
            (&[], false),
            (&["gzip"], true),
            (&["GZIP;q=0.001"], true),
            (&["gzip;q=0"], false),
            (&["gzip; q=0.000"], false),
            (&["br, gzip ;Q=0"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["identity", "deflate, gzip"], true),
            (&["gzipped, x-gzip"], false),
            (&["gzip;q=x"], true),
        ];
        for (lines, expected) in cases {
            assert_eq!(accepts_encoding(&headers(ACCEPT_ENCODING, lines), "gzip"), expected, "{lines:?}");
        }
        let cases: [(&[&str], bool); 5] = [
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], true),
            (&["text/html;level=1;q=0.4"], true),
            (&["text/html;q=0, application/json"], false),
            (&["*/*"], false),
            (&["text/html-like"], false),
        ];
        for (lines, expected) in cases {
            assert_eq!(accepts_type(&headers(ACCEPT, lines), "text/html"), expected, "{lines:?}");
        }
    }

    #[test]
    fn entity_tags_are_compared_weakly_and_as_a_whole() {
        for (lines, expected) in [
            (&[r#"W/"abc""#][..], true),
            (&[r#""abc""#], true),
            (&["*"], true),
            (&[r#""x", W/"abc""#], true),
            (&[r#""x""#, r#""abc""#], true),
            (&[r#""abcd""#], false),
            (&["abc"], false),
            (&[], false),
        ] {
            let headers = headers(IF_NONE_MATCH, lines);
            assert_eq!(has_already(&headers, r#"W/"abc""#), expected, "{lines:?}");
            assert_eq!(has_already(&headers, r#""abc""#), expected, "{lines:?}");
        }
    }
}
