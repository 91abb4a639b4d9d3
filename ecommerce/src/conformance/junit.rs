//! The report as JUnit XML, which CI systems show.

use super::report::{Outcome, Report, RuleReport};

/// Makes JUnit XML: a test suite with a case per rule.
pub fn junit(report: &Report) -> String {
    let cases: String = report.rules.iter().map(case).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"conformance\" tests=\"{}\" \
         failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{}\">\n    <properties>\n      <property name=\"url\" \
         value=\"{}\"/>\n    </properties>\n{cases}  </testsuite>\n</testsuites>\n",
        report.rules.len(),
        report.count(Outcome::Violated),
        report.count(Outcome::Skipped),
        seconds(report.rules.iter().map(|rule| rule.took_ms).sum()),
        escaped(&report.url),
    )
}

fn case(rule: &RuleReport) -> String {
    let reason = escaped(rule.reason.as_deref().unwrap_or_default());
    let line = escaped(&rule.line());
    let inside = match rule.outcome {
        Outcome::Holds => String::new(),
        Outcome::Violated => format!("      <failure message=\"{reason}\" type=\"violated\">{line}</failure>\n"),
        Outcome::Skipped => format!("      <skipped message=\"{reason}\"/>\n"),
    };
    format!(
        "    <testcase classname=\"conformance\" name=\"{}\" time=\"{}\">\n{inside}      \
         <system-out>{line}</system-out>\n    </testcase>\n",
        rule.name,
        seconds(rule.took_ms),
    )
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Escapes a text; characters that XML does not have become question marks.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            character if character.is_control() => escaped.push('?'),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::report::Exchange;

    #[test]
    fn texts_of_the_participant_cannot_break_the_document() {
        let rule = RuleReport {
            name: "tombstone",
            outcome: Outcome::Violated,
            reason: Some("a \"b\" <c>".to_owned()),
            exchanges: vec![Exchange { sent: "POST /x".to_owned(), received: "200 <&\u{1b}]]>".to_owned(), times: 1 }],
            saga_id: None,
            took_ms: 1_234,
        };
        let report = Report {
            url: "http://a/?b&c".to_owned(),
            action: String::new(),
            compensation: String::new(),
            conforms: false,
            rules: vec![rule],
        };
        let xml = junit(&report);
        assert!(xml.contains("message=\"a &quot;b&quot; &lt;c&gt;\""), "{xml}");
        assert!(xml.contains("POST /x → 200 &lt;&amp;?]]&gt;</failure>"), "{xml}");
        assert!(xml.contains("tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"1.234\""), "{xml}");
        assert!(xml.contains("value=\"http://a/?b&amp;c\""), "{xml}");
    }
}
