//! Lists of names and values in one setting: headers for the collector, attributes of the process.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Splits a list such as `key=value,other=value`. Values are percent-decoded.
///
/// # Errors
/// An item without a name or a value. The message has no value of an item: it may be a secret.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty()).enumerate();
    let pair = |(index, item): (usize, &str)| {
        let wrong =
            || format!("has no name and value in item {}, expected a list such as name=value,other=value", index + 1);
        let (name, value) = item.split_once('=').ok_or_else(wrong)?;
        let name = name.trim();
        if name.is_empty() {
            return Err(wrong());
        }
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8();
        let value = value.map_err(|_| format!("has a value for {name} that is not UTF-8"))?;
        Ok((name.to_owned(), value.into_owned()))
    };
    items.map(pair).collect()
}

/// Reads the headers for the collector. The messages have no value of a header: it may be a secret.
///
/// # Errors
/// An item that is not a header.
pub(crate) fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(text)? {
        let parsed = HeaderName::try_from(&name)
            .map_err(|_| format!("has {name:?}, expected the name of a header such as x-api-key"))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| format!("has a value for {name} that cannot be sent in a header"))?;
        // Not shown in `Debug` forms.
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    Ok(headers)
}
