//! Ages of times: `3 min ago`.

use chrono::{DateTime, Utc};

/// Formats a number of seconds in its largest unit.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Formats a time in RFC 3339 relative to `now`; `None` if it is no time.
pub(super) fn since(time: &str, now: DateTime<Utc>) -> Option<String> {
    let time = DateTime::parse_from_rfc3339(time).ok()?;
    let seconds = now.signed_duration_since(time).num_seconds();
    Some(match u64::try_from(seconds) {
        Ok(seconds) => format!("{} ago", age(seconds)),
        // Ahead of the clock that `now` is from, by a fraction of a second as a rule.
        Err(_) if seconds > -2 => "0 s ago".to_owned(),
        Err(_) => format!("in {}", age(seconds.unsigned_abs())),
    })
}

/// Formats a time in RFC 3339 as the time passed since another, `+0.131 s`; `None` if one of them is no time.
pub(super) fn after(time: &str, start: &str) -> Option<String> {
    let [time, start] = [time, start].map(|time| DateTime::parse_from_rfc3339(time).ok());
    let passed = time?.signed_duration_since(start?).num_milliseconds();
    let seconds = passed / 1_000;
    Some(match u64::try_from(seconds) {
        Ok(seconds @ 60..) => format!("+{}", age(seconds)),
        Ok(_) | Err(_) => format!("{:+.3} s", passed as f64 / 1_000.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_shown_in_its_largest_unit() {
        for (seconds, shown) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_200, "2 h"), (172_800, "2 d")] {
            assert_eq!(age(seconds), shown);
        }
    }

    #[test]
    fn a_time_is_shown_as_what_has_passed_since_a_start() {
        let start = "2026-01-02T03:04:05.000900Z";
        for (time, shown) in [
            (start, Some("+0.000 s")),
            ("2026-01-02T03:04:05.132000Z", Some("+0.131 s")),
            ("2026-01-02T03:04:04.000900Z", Some("-1.000 s")),
            ("2026-01-02T03:06:10Z", Some("+2 min")),
            ("soon", None),
        ] {
            assert_eq!(after(time, start).as_deref(), shown, "{time}");
        }
    }

    #[test]
    fn a_time_is_shown_relative_to_the_clock_of_the_server() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        for (time, shown) in [
            ("2026-01-02T03:04:04.999999Z", Some("0 s ago")),
            ("2026-01-02T03:04:06.1Z", Some("0 s ago")),
            ("2026-01-02T02:59:05.000000Z", Some("5 min ago")),
            ("2025-12-30T03:04:05Z", Some("3 d ago")),
            ("2026-01-02T03:05:15Z", Some("in 1 min")),
            ("yesterday", None),
        ] {
            assert_eq!(since(time, now).as_deref(), shown, "{time}");
        }
    }
}
