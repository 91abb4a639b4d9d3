//! Pagination of lists: `?limit=&cursor=`.

use std::ops::RangeInclusive;

use super::Query;
use crate::fields::FieldError;

const DEFAULT_LIMIT: i64 = 100;
/// Limits that a client may request.
pub const LIMITS: RangeInclusive<i64> = 1..=1_000;

/// A page of a list. A cursor marks the end of the previous page, in a format of the list's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<C> {
    /// Maximum number of rows, from 1 to 1000.
    pub limit: i64,
    /// End of the previous page; `None` for the first page.
    pub cursor: Option<C>,
}

impl<C> Page<C> {
    /// Reads the requested page from a query.
    ///
    /// # Errors
    /// Every bad parameter.
    pub fn of(query: &Query, cursor: impl FnOnce(&str) -> Option<C>) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let page = Self::read(query, cursor, &mut errors);
        if errors.is_empty() { Ok(page) } else { Err(errors) }
    }

    /// Reads the requested page from a query; errors are added to `errors`.
    pub fn read(query: &Query, cursor: impl FnOnce(&str) -> Option<C>, errors: &mut Vec<FieldError>) -> Self {
        let mut bad = |field: &str, message: &str| errors.push(FieldError::new(field, message));
        let mut page = Self { limit: DEFAULT_LIMIT, cursor: None };
        if let Some(text) = query.get("limit") {
            match plain_number(text).filter(|limit| LIMITS.contains(limit)) {
                Some(limit) => page.limit = limit,
                None => bad("limit", "expected a whole number from 1 to 1000"),
            }
        }
        if let Some(text) = query.get("cursor") {
            page.cursor = cursor(text);
            if page.cursor.is_none() {
                bad("cursor", "expected the next_cursor of the previous page");
            }
        }
        page
    }

    /// Returns the number of rows to read: one more than shown, to detect whether there are more.
    pub fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// Removes the extra row and returns the cursor of the next page, if there is one.
    pub fn cut<T>(&self, rows: &mut Vec<T>, cursor: impl FnOnce(&T) -> String) -> Option<String> {
        let limit = usize::try_from(self.limit).expect("a limit is at most 1000");
        if rows.len() <= limit {
            return None;
        }
        rows.truncate(limit);
        rows.last().map(cursor)
    }
}

/// Parses a number of digits only, without sign or blanks.
pub fn plain_number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(limit: Option<&str>, cursor: Option<&str>) -> Result<Page<i64>, Vec<FieldError>> {
        let given = [("limit", limit), ("cursor", cursor)];
        let given = given.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.to_owned())));
        Page::of(&Query(given.collect()), plain_number)
    }

    #[test]
    fn a_page_is_bounded_and_bad_parameters_are_all_named() {
        let good = [
            (None, None, Page { limit: 100, cursor: None }),
            (Some("1"), Some("0"), Page { limit: 1, cursor: Some(0) }),
            (Some("1000"), Some("42"), Page { limit: 1000, cursor: Some(42) }),
        ];
        for (limit, cursor, page) in good {
            assert_eq!(read(limit, cursor), Ok(page));
        }
        let bad = [
            (Some("0"), None, 1),
            (Some("1001"), None, 1),
            (Some("+5"), None, 1),
            (Some(""), Some("x"), 2),
            (Some("ten"), Some("99999999999999999999"), 2),
        ];
        for (limit, cursor, problems) in bad {
            assert_eq!(read(limit, cursor).unwrap_err().len(), problems, "{limit:?} {cursor:?}");
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = Page::<i64> { limit: 2, cursor: None };
        let mut rows = vec![9, 8, 7];
        assert_eq!(page.cut(&mut rows, i32::to_string), Some("8".to_owned()));
        assert_eq!(rows, [9, 8]);
        assert_eq!(page.cut(&mut rows, i32::to_string), None);
    }
}
