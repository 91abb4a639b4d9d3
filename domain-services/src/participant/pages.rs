//! Which part of a list a request asks for: `?limit=&cursor=`.

use std::ops::RangeInclusive;

use common::{
    fields::FieldError,
    http::{ApiError, Request},
};

const DEFAULT_LIMIT: i64 = 100;
/// How many a client may ask for.
pub(crate) const LIMITS: RangeInclusive<i64> = 1..=1_000;

/// A part of a list that is ordered by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// How many, from 1 to 1000.
    pub(crate) limit: i64,
    /// The id where the part before it ended; `None` for the first part.
    pub(crate) cursor: Option<i64>,
}

impl Page {
    /// Reads the page that a request asks for.
    ///
    /// # Errors
    /// 400 with every bad parameter.
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        Self::read(request.query.get("limit"), request.query.get("cursor")).map_err(ApiError::bad_fields_400)
    }

    fn read(limit: Option<&str>, cursor: Option<&str>) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut number = |field: &str, text: Option<&str>, range: RangeInclusive<i64>, expected: &str| {
            let number = text.map(|text| plain_number(text).filter(|number| range.contains(number)));
            if number == Some(None) {
                errors.push(FieldError { field: field.to_owned(), message: expected.to_owned() });
            }
            number.flatten()
        };
        let limit = number("limit", limit, LIMITS, "expected a whole number from 1 to 1000");
        let cursor = number("cursor", cursor, 0..=i64::MAX, "expected the next_cursor of the page before");
        match errors.is_empty() {
            true => Ok(Self { limit: limit.unwrap_or(DEFAULT_LIMIT), cursor }),
            false => Err(errors),
        }
    }

    /// How many rows to read: one more than shown, which tells whether there are more.
    pub(crate) fn rows(self) -> i64 {
        self.limit + 1
    }

    /// Cuts the row too many off, and returns the cursor of the next part, if there is one.
    pub(crate) fn cut<T>(self, rows: &mut Vec<T>, id: impl Fn(&T) -> i64) -> Option<String> {
        let limit = usize::try_from(self.limit).expect("a limit is at most 1000");
        if rows.len() <= limit {
            return None;
        }
        rows.truncate(limit);
        rows.last().map(|last| id(last).to_string())
    }
}

/// Reads digits and nothing else: no sign, no blank.
pub(crate) fn plain_number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_and_bad_parameters_are_all_named() {
        let good = [
            (None, None, Page { limit: 100, cursor: None }),
            (Some("1"), Some("0"), Page { limit: 1, cursor: Some(0) }),
            (Some("1000"), Some("42"), Page { limit: 1000, cursor: Some(42) }),
        ];
        for (limit, cursor, page) in good {
            assert_eq!(Page::read(limit, cursor), Ok(page));
        }
        let bad = [
            (Some("0"), None, 1),
            (Some("1001"), None, 1),
            (Some("+5"), None, 1),
            (Some(""), Some("x"), 2),
            (Some("ten"), Some("99999999999999999999"), 2),
        ];
        for (limit, cursor, problems) in bad {
            assert_eq!(Page::read(limit, cursor).unwrap_err().len(), problems, "{limit:?} {cursor:?}");
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = Page { limit: 2, cursor: None };
        let mut rows = vec![9, 8, 7];
        assert_eq!(page.cut(&mut rows, |id| *id), Some("8".to_owned()));
        assert_eq!(rows, [9, 8]);
        assert_eq!(page.cut(&mut rows, |id| *id), None);
    }
}
