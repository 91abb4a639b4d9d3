//! Reasons of errors and panics, in one line.

use std::any::Any;
use std::error::Error;

/// Returns an error's message followed by its causes. A cause that a message already ends with is not repeated.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

/// Returns the message of a panic.
pub fn of_panic(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{what}")]
    struct Outer {
        what: &'static str,
        source: io::Error,
    }

    #[test]
    fn every_cause_is_said_once() {
        let of = |what| with_causes(&Outer { what, source: io::Error::other("the disk is full") });
        assert_eq!(of("no file"), "no file: the disk is full");
        assert_eq!(of("no file: the disk is full"), "no file: the disk is full");
    }

    #[test]
    fn a_panic_is_quoted_whatever_its_payload_is() {
        assert_eq!(of_panic(&"text"), "text");
        assert_eq!(of_panic(&String::from("made text")), "made text");
        assert_eq!(of_panic(&7), "without a message");
    }
}
