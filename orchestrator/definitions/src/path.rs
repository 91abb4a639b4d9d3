//! Paths with placeholders. A value stays in its segment, whatever it is.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode_byte, utf8_percent_encode};

use crate::limits::MAX_TARGET_BYTES;
use crate::scope::{Scope, Unusable, check_length};
use crate::template::{Part, Source, sources};

/// Characters of a value that need no encoding, besides letters and digits: the unreserved ones of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A path and its query.
#[derive(Debug)]
pub(crate) struct Path {
    pieces: Vec<Piece>,
    /// About the length of the whole.
    capacity: usize,
}

#[derive(Debug)]
enum Piece {
    /// Text without placeholders.
    Text(String),
    /// A segment with placeholders; it must name something.
    Segment(Vec<Part>),
    /// A placeholder of the query.
    Query(Source),
}

impl Piece {
    /// Returns the length of the text beside the placeholders.
    fn text_bytes(&self) -> usize {
        match self {
            Piece::Text(text) => text.len(),
            Piece::Segment(parts) => {
                let text = |part: &Part| if let Part::Text(text) = part { text.len() } else { 0 };
                parts.iter().map(text).sum()
            }
            Piece::Query(_) => 0,
        }
    }
}

/// The name of a path in errors.
const PATH: &str = "path";

/// The fault of a value that makes its segment empty, `.` or `..`.
const NO_SEGMENT: &str = "makes a segment of the path empty, \".\" or \"..\"";

impl Path {
    /// Makes a path of a text that is split at its placeholders. The errors say what is wrong with the text.
    pub(crate) fn new(parts: &[Part]) -> Result<Path, Vec<String>> {
        let mut errors = check_text(parts);
        let (path, query) = split_query(parts);
        let mut segments = segments(path);
        // The text before the first slash.
        let first = segments.remove(0);
        if !first.is_empty() || segments.is_empty() {
            errors.push("the path does not start with a slash: write \"/\" first".to_owned());
        }
        let mut pieces = Pieces::default();
        let count = segments.len();
        for (index, segment) in segments.into_iter().enumerate() {
            pieces.text("/");
            let is_last = index + 1 == count;
            match segment.as_slice() {
                [] if is_last => {}
                [] => errors.push("the path has an empty segment (//): remove one slash".to_owned()),
                [Part::Text(text)] if matches!(text.as_str(), "." | "..") => {
                    errors.push(format!("the path has the segment {text:?}: write the path that is meant"));
                }
                [Part::Text(text)] => pieces.text(text),
                _ => pieces.0.push(Piece::Segment(segment)),
            }
        }
        if let Some(query) = query {
            pieces.text("?");
            for part in query {
                match part {
                    Part::Text(text) => pieces.text(&text),
                    Part::Value(source) => pieces.0.push(Piece::Query(source)),
                }
            }
        }
        let length: usize = pieces.0.iter().map(Piece::text_bytes).sum();
        if length > MAX_TARGET_BYTES {
            errors.push(format!(
                "the path has {length} bytes of text: at most {MAX_TARGET_BYTES} are possible; send a body"
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Path { capacity: capacity(&pieces.0), pieces: pieces.0 })
    }

    /// Returns the placeholders.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.pieces.iter().flat_map(|piece| match piece {
            Piece::Text(_) => Vec::new(),
            Piece::Segment(parts) => sources(parts).collect(),
            Piece::Query(source) => vec![source],
        })
    }

    /// Returns path and query, percent-encoded.
    pub(crate) fn fill(&self, scope: Scope<'_>) -> Result<String, Unusable> {
        let mut out = String::with_capacity(self.capacity);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Segment(parts) => fill_segment(parts, scope, &mut out)?,
                Piece::Query(source) => out.extend(utf8_percent_encode(&scope.text(source)?, VALUE)),
            }
            check_length(PATH, out.len(), MAX_TARGET_BYTES)?;
        }
        Ok(out)
    }

    /// Reports what is wrong with the fields of an input, before any output is known.
    pub(crate) fn check_input(&self, scope: Scope<'_>, report: &mut dyn FnMut(Unusable)) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(_) => {}
                Piece::Segment(parts) if sources(parts).all(|source| !matches!(source, Source::Output(_))) => {
                    if let Err(unusable) = fill_segment(parts, scope, &mut String::new()) {
                        report(unusable);
                    }
                }
                Piece::Segment(parts) => scope.check_texts(parts, report),
                Piece::Query(source) => scope.check_text(source, report),
            }
        }
    }
}

fn fill_segment(parts: &[Part], scope: Scope<'_>, out: &mut String) -> Result<(), Unusable> {
    let start = out.len();
    let mut last = None;
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Value(source) => {
                out.extend(utf8_percent_encode(&scope.text(source)?, VALUE));
                last = Some(source);
            }
        }
        check_length(PATH, out.len(), MAX_TARGET_BYTES)?;
    }
    match (&out[start..], last) {
        ("" | "." | "..", Some(source)) => Err(Unusable::new(source, NO_SEGMENT)),
        _ => Ok(()),
    }
}

/// Pieces, with neighbouring texts joined.
#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }
}

fn capacity(pieces: &[Piece]) -> usize {
    /// About the length of a value: that of an id.
    const VALUE_LENGTH: usize = 40;
    let length = |piece: &Piece| match piece {
        Piece::Text(text) => text.len(),
        Piece::Segment(parts) => parts.len() * VALUE_LENGTH,
        Piece::Query(_) => VALUE_LENGTH,
    };
    pieces.iter().map(length).sum()
}

/// Splits at the first question mark of the text.
fn split_query(parts: &[Part]) -> (Vec<Part>, Option<Vec<Part>>) {
    for (index, part) in parts.iter().enumerate() {
        if let Part::Text(text) = part
            && let Some((before, after)) = text.split_once('?')
        {
            let mut path = parts[..index].to_vec();
            path.extend(not_empty(before));
            let mut query: Vec<Part> = not_empty(after).into_iter().collect();
            query.extend_from_slice(&parts[index + 1..]);
            return (path, Some(query));
        }
    }
    (parts.to_vec(), None)
}

fn not_empty(text: &str) -> Option<Part> {
    (!text.is_empty()).then(|| Part::Text(text.to_owned()))
}

/// Splits at the slashes of the text; the first segment is the text before the first slash.
fn segments(path: Vec<Part>) -> Vec<Vec<Part>> {
    let mut segments = vec![Vec::new()];
    for part in path {
        match part {
            Part::Text(text) => {
                for (index, piece) in text.split('/').enumerate() {
                    if index > 0 {
                        segments.push(Vec::new());
                    }
                    if let (Some(segment), Some(part)) = (segments.last_mut(), not_empty(piece)) {
                        segment.push(part);
                    }
                }
            }
            Part::Value(_) => {
                if let Some(segment) = segments.last_mut() {
                    segment.push(part);
                }
            }
        }
    }
    segments
}

/// Checks that the text needs no further encoding, and hides no dots.
fn check_text(parts: &[Part]) -> Vec<String> {
    let mut errors = Vec::new();
    for part in parts {
        let Part::Text(text) = part else { continue };
        for (at, character) in text.char_indices() {
            if character == '%' {
                match text.as_bytes().get(at + 1..at + 3) {
                    Some(b"2e" | b"2E") => errors.push("the path has %2e: write the dot itself".to_owned()),
                    Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
                    _ => errors.push("the path has a % without two hexadecimal digits: write %25 for it".to_owned()),
                }
            } else if !is_plain(character) {
                let mut bytes = [0; 4];
                let encoded: String = character
                    .encode_utf8(&mut bytes)
                    .bytes()
                    .map(|byte| percent_encode_byte(byte).to_owned())
                    .collect();
                errors.push(format!("the path has {character:?}: write {encoded} for it"));
            }
        }
    }
    errors
}

/// Characters that paths and queries may have, by RFC 3986.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?".contains(character)
}
