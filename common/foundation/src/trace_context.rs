//! W3C Trace Context, level 1: the header `traceparent`, parsed, continued and returned.
//! <https://www.w3.org/TR/trace-context/>

use std::fmt;

use uuid::Uuid;

/// version "-" trace id "-" parent id "-" flags; later versions may append to it.
const LENGTH: usize = 55;

/// The trace and the span of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Id of the trace; never 0.
    pub trace_id: u128,
    /// Id of the span; never 0.
    pub span_id: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Starts a trace.
    pub fn start() -> Self {
        Self { trace_id: random_u128(), span_id: random_u64(), sampled: false }
    }

    /// Parses a `traceparent` header. Returns `None` if it is invalid: then a new trace starts.
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let dashes = bytes.len() >= LENGTH && [2, 35, 52].iter().all(|&place| bytes[place] == b'-');
        if !dashes {
            return None;
        }
        let version = hex(&bytes[..2])?;
        let ends = bytes.len() == LENGTH || (version > 0 && bytes[LENGTH] == b'-');
        if version == 0xff || !ends {
            return None;
        }
        let trace_id = hex(&bytes[3..35]).filter(|id| *id != 0)?;
        let span_id = u64::try_from(hex(&bytes[36..52])?).ok().filter(|id| *id != 0)?;
        let flags = hex(&bytes[53..55])?;
        Some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// Returns a child span: the same trace with a new span id.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: random_u64(), ..*self }
    }

    /// Formats the `traceparent` header of this span. By hand, because every call of a saga does it several times.
    pub fn to_header(&self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(self.trace_id, &mut text[3..35]);
        write_hex(self.span_id.into(), &mut text[36..52]);
        write_hex(self.sampled.into(), &mut text[53..]);
        text
    }
}

/// Marks an answer whose request started this saga, or repeated it: the request joins the saga's trace, unless its client
/// named another one, which is then linked to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf(pub Uuid);

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.to_header()).expect("hexadecimal digits and dashes are text"))
    }
}

fn write_hex(number: u128, digits: &mut [u8]) {
    let mut left = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(left & 0xf) as usize];
        left >>= 4;
    }
}

/// Parses lower case only, as the standard requires.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Returns the id of the span of a saga, or of a part of it such as a step: the same in every process, and never 0, since
/// it contains a UUID's variant bits.
pub fn span_id_of(saga_id: Uuid, part: &str) -> u64 {
    Uuid::new_v5(&saga_id, part.as_bytes()).as_u64_pair().1
}

/// The name of the saga's own span among its parts.
pub const SAGA: &str = "saga";

fn random_u64() -> u64 {
    rand::random::<u64>().max(1)
}

fn random_u128() -> u128 {
    rand::random::<u128>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_is_continued_under_an_id_of_its_own() {
        let parent = TraceContext::parse(HEADER).unwrap();
        assert_eq!(parent.to_string(), HEADER);
        let child = parent.child();
        assert_eq!((child.trace_id, child.sampled), (parent.trace_id, true));
        assert_ne!(child.span_id, parent.span_id);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = HEADER.replacen("00", "01", 1);
        assert_eq!(TraceContext::parse(&format!("{later}-what-else")), TraceContext::parse(HEADER));
        assert_eq!(TraceContext::parse(&later), TraceContext::parse(HEADER));
        assert_eq!(TraceContext::parse(&format!("{later}what-else")), None);
    }

    #[test]
    fn a_header_that_breaks_the_rules_starts_a_new_trace() {
        let bad = [
            "",
            "00",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "éé-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ];
        for header in bad {
            assert_eq!(TraceContext::parse(header), None, "{header}");
        }
    }
}
