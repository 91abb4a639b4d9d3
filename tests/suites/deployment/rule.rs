//! Traefik's rule language: matchers with `&&`, `||`, `!` and parentheses, their texts in backquotes or quotes.

use regex::Regex;

/// A request as a rule sees it.
#[derive(Clone, Debug)]
pub(crate) struct Request<'r> {
    pub(crate) method: &'r str,
    pub(crate) host: &'r str,
    pub(crate) headers: &'r [(&'r str, &'r str)],
    /// The path on the wire.
    path: String,
}

impl<'r> Request<'r> {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: "GET", host: "localhost", headers: &[], path: clean(path) }
    }

    /// Returns the path that Traefik forwards, before any middleware.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// Cleans a path like Traefik's entry points: unreserved characters are decoded, then segments of dots and empty ones are
/// removed.
fn clean(path: &str) -> String {
    let decoded = decode(path, |letter| letter.is_ascii_alphanumeric() || b"-._~".contains(&letter));
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        match segment {
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let end = if decoded.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// Decodes the percent-encoded characters for which `is_decoded` holds.
fn decode(path: &str, is_decoded: impl Fn(u8) -> bool) -> String {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = byte.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match byte.filter(|byte| is_decoded(*byte)) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A parsed rule.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    And(Box<Rule>, Box<Rule>),
    Or(Box<Rule>, Box<Rule>),
    Not(Box<Rule>),
    Host(String),
    Method(String),
    Header(String, String),
    Path(String),
    PathPrefix(String),
    PathRegexp(Regex),
}

impl Rule {
    /// Parses a rule; the error says what Traefik would not understand.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser(text);
        let rule = parser.any()?;
        match parser.0.trim_start() {
            "" => Ok(rule),
            rest => Err(format!("{rest:?} follows a complete rule")),
        }
    }

    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        let path = || decode(&request.path, |letter| !b":/?#[]@!$&'()*+,;=%".contains(&letter));
        match self {
            Self::And(left, right) => left.matches(request) && right.matches(request),
            Self::Or(left, right) => left.matches(request) || right.matches(request),
            Self::Not(rule) => !rule.matches(request),
            Self::Host(host) => request.host.eq_ignore_ascii_case(host),
            Self::Method(method) => request.method.eq_ignore_ascii_case(method),
            Self::Header(name, value) => {
                request.headers.iter().any(|(key, given)| key.eq_ignore_ascii_case(name) && given == value)
            }
            Self::Path(expected) => path() == *expected,
            Self::PathPrefix(prefix) => path().starts_with(prefix),
            Self::PathRegexp(pattern) => pattern.is_match(&path()),
        }
    }
}

/// The rest of a rule's text.
struct Parser<'t>(&'t str);

impl Parser<'_> {
    fn any(&mut self) -> Result<Rule, String> {
        let mut rule = self.all()?;
        while self.skip("||") {
            rule = Rule::Or(Box::new(rule), Box::new(self.all()?));
        }
        Ok(rule)
    }

    fn all(&mut self) -> Result<Rule, String> {
        let mut rule = self.one()?;
        while self.skip("&&") {
            rule = Rule::And(Box::new(rule), Box::new(self.one()?));
        }
        Ok(rule)
    }

    fn one(&mut self) -> Result<Rule, String> {
        if self.skip("!") {
            return Ok(Rule::Not(Box::new(self.one()?)));
        }
        if self.skip("(") {
            let rule = self.any()?;
            return self.expect(")").map(|()| rule);
        }
        self.matcher()
    }

    fn matcher(&mut self) -> Result<Rule, String> {
        let text = self.0.trim_start();
        let (name, rest) =
            text.split_at(text.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(text.len()));
        self.0 = rest;
        self.expect("(")?;
        let mut texts = vec![self.text()?];
        while self.skip(",") {
            texts.push(self.text()?);
        }
        self.expect(")")?;
        match (name, &texts[..]) {
            ("Host", [host]) => Ok(Rule::Host(host.clone())),
            ("Method", [method]) => Ok(Rule::Method(method.clone())),
            ("Header", [key, value]) => Ok(Rule::Header(key.clone(), value.clone())),
            ("Path" | "PathPrefix", [path]) if !path.starts_with('/') => Err(format!("{path:?} has no leading slash")),
            ("Path", [path]) => Ok(Rule::Path(path.clone())),
            ("PathPrefix", [prefix]) => Ok(Rule::PathPrefix(prefix.clone())),
            ("PathRegexp", [pattern]) => Regex::new(pattern).map(Rule::PathRegexp).map_err(|error| error.to_string()),
            (name, texts) => Err(format!("no matcher {name:?} with {} texts", texts.len())),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        let after_quote = |quote: char, rest: &str| rest.strip_prefix(quote).map(str::to_owned);
        let rest = self.0.trim_start();
        if let Some(raw) = after_quote('`', rest) {
            let (text, after) = raw.split_once('`').ok_or_else(|| format!("{rest:?} has no second backquote"))?;
            self.0 = &rest[rest.len() - after.len()..];
            return Ok(text.to_owned());
        }
        let quoted = after_quote('"', rest).ok_or_else(|| format!("a text in quotes is expected before {rest:?}"))?;
        let mut text = String::new();
        let mut letters = quoted.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.0 = &rest[at + 2..];
                    return Ok(text);
                }
                '\\' => match letters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    _ => return Err(format!("{rest:?} has an unknown escape")),
                },
                letter => text.push(letter),
            }
        }
        Err(format!("{rest:?} has no second quote"))
    }

    fn skip(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.skip(token) { Ok(()) } else { Err(format!("{token:?} is expected before {:?}", self.0)) }
    }
}

#[test]
fn a_rule_is_read_as_traefik_reads_it() {
    let request = Request {
        method: "POST",
        host: "shop.example",
        headers: &[("x-tenant", "a\"b\\c")],
        ..Request::get("/a/%62%20c")
    };
    for (rule, expected) in [
        ("Path(`/a/b c`)", true),
        ("Path(\"/a/b c\")", true),
        ("Path(`/a`)", false),
        ("PathPrefix(`/a`) && !PathPrefix(`/a/`)", false),
        ("PathRegexp(`^/a/b`)", true),
        ("PathRegexp(`^/b`)", false),
        ("Host(`Shop.example`) && Method(`post`)", true),
        ("Header(`X-Tenant`, \"a\\\"b\\\\c\")", true),
        ("Header(`X-Tenant`, `b`)", false),
        // `&&` binds closer than `||`, `!` closer than both.
        ("Path(`/a/b c`) || Path(`/x`) && Path(`/y`)", true),
        ("(Path(`/a/b c`) || Path(`/x`)) && Path(`/y`)", false),
        ("!Path(`/x`) && Path(`/a/b c`)", true),
        ("!(Path(`/x`) || !Path(`/a/b c`))", true),
    ] {
        let parsed = Rule::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
        assert_eq!(parsed.matches(&request), expected, "{rule}");
    }
}

#[test]
fn what_traefik_would_refuse_is_an_error() {
    for rule in [
        "",
        "Path(`/a`",
        "Path(`/a)",
        "Path(\"/a)",
        "Path('/a')",
        "Path(a)",
        "Path(`a`)",
        "Path()",
        "Path(`/a`, `/b`)",
        "Header(`x`)",
        "Pfad(`/a`)",
        "PathRegexp(`(`)",
        "Path(`/a`) Path(`/b`)",
        "Path(`/a`) & Path(`/b`)",
        "Path(`/a`) &&",
        "(Path(`/a`)",
        "Path(`/a`))",
    ] {
        assert!(Rule::parse(rule).is_err(), "{rule}");
    }
}

#[test]
fn a_path_is_cleaned_as_by_an_entry_point() {
    for (wire, cleaned) in [
        ("/", "/"),
        ("//a///b/", "/a/b/"),
        ("/a/../../b/./c", "/b/c"),
        ("/%64ebug/%2e%2E/%2f", "/%2f"),
        ("/a%2Fb%5Cc", "/a%2Fb%5Cc"),
    ] {
        assert_eq!(Request::get(wire).path(), cleaned, "{wire}");
    }
}
