//! Headers with placeholders.

use smol_str::{SmolStr, StrExt};

use crate::limits::MAX_HEADER_BYTES;
use crate::scope::{Scope, Unusable, check_length};
use crate::template::{Part, Source, sources};

/// Headers of the connection, of the participant's settings and of the protocol.
const RESERVED: [&str; 17] = [
    "authorization",
    "connection",
    "content-length",
    "database-timeline",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Prefix of the orchestrator's own headers.
const OURS: &str = "saga-";

/// Tells whether a definition may never set a header, named in lower case.
pub fn is_reserved_header(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(OURS)
}

/// A value that a header cannot carry.
const NOT_VISIBLE: &str = "has characters that a header cannot carry: only visible ASCII, spaces and tabs are possible";

/// The name of the headers in errors.
const HEADERS: &str = "headers";

#[derive(Debug, Default)]
pub(crate) struct Headers(Vec<Header>);

#[derive(Debug)]
struct Header {
    name: SmolStr,
    value: Vec<Part>,
}

/// Parses the name of a header; the error says why a definition may not set it.
pub(crate) fn parse_name(name: &str) -> Result<SmolStr, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is not the name of a header: write letters, digits and -"));
    }
    let lower = name.to_ascii_lowercase_smolstr();
    let reason = match lower.as_str() {
        "authorization" => "the token of the participant is set in the configuration",
        "idempotency-key" => "every call carries one already: the step key",
        lower if lower.starts_with(OURS) => "headers that start with Saga- are the orchestrator's",
        lower if is_reserved_header(lower) => "it is the orchestrator's or belongs to the connection",
        _ => return Ok(lower),
    };
    Err(format!("the header {name} cannot be set: {reason}; remove it"))
}

impl Headers {
    pub(crate) fn names(&self) -> impl Iterator<Item = &SmolStr> {
        self.0.iter().map(|header| &header.name)
    }

    /// Adds a header; the error says what is wrong with the text of its value.
    pub(crate) fn add(&mut self, name: SmolStr, value: Vec<Part>) -> Result<(), String> {
        let texts = value.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Value(_) => None,
        });
        if !texts.into_iter().all(|text| is_visible(text)) {
            return Err(format!("the header {name} {NOT_VISIBLE}"));
        }
        self.0.push(Header { name, value });
        Ok(())
    }

    /// Returns the placeholders.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().flat_map(|header| sources(&header.value))
    }

    /// Returns names and values. A header that is one absent field is left out.
    pub(crate) fn fill(&self, scope: Scope<'_>) -> Result<Vec<(SmolStr, String)>, Unusable> {
        let mut headers = Vec::with_capacity(self.0.len());
        let mut length = 0;
        for header in self.0.iter().filter(|header| !header.is_absent(scope)) {
            let value = header.fill(scope)?;
            length += header.name.len() + value.len();
            check_length(HEADERS, length, MAX_HEADER_BYTES)?;
            headers.push((header.name.clone(), value));
        }
        Ok(headers)
    }

    /// Reports what is wrong with the fields of an input, before any output is known.
    pub(crate) fn check_input(&self, scope: Scope<'_>, report: &mut dyn FnMut(Unusable)) {
        for header in self.0.iter().filter(|header| !header.is_absent(scope)) {
            for source in sources(&header.value).filter(|source| matches!(source, Source::Input(_))) {
                if let Err(unusable) = visible(source, scope) {
                    report(unusable);
                }
            }
        }
    }
}

impl Header {
    fn is_absent(&self, scope: Scope<'_>) -> bool {
        match self.value.as_slice() {
            [Part::Value(Source::Input(path))] => path.find(scope.input).is_none(),
            _ => false,
        }
    }

    fn fill(&self, scope: Scope<'_>) -> Result<String, Unusable> {
        let mut out = String::new();
        for part in &self.value {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(source) => out.push_str(&visible(source, scope)?),
            }
            check_length(HEADERS, out.len(), MAX_HEADER_BYTES)?;
        }
        Ok(out)
    }
}

fn visible<'a>(source: &Source, scope: Scope<'a>) -> Result<std::borrow::Cow<'a, str>, Unusable> {
    let text = scope.text(source)?;
    if is_visible(&text) { Ok(text) } else { Err(Unusable::new(source, NOT_VISIBLE)) }
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}
