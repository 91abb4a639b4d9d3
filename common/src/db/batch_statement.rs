//! Statements over rows, in one form for many rows and one form for a single row.
//!
//! A batch is one statement of any size: its rows are sent as columns, one array each, and PostgreSQL turns them back
//! into rows. With few clients nearly every batch has one row. Then building and unpacking arrays and joining their
//! rows is much of the cost of the statement. So each statement is written once and sent in the form that fits.

/// A statement over rows that are given as columns.
///
/// The text marks the place of the rows by a common table expression `name as rows($3: id uuid, note text)`: the
/// parameter number of the first column, then name and type of each column. All other parameters are plain values. A
/// statement may have several kinds of rows; the single-row form is used if there is one row of each kind.
#[derive(Debug)]
pub struct BatchStatement {
    of_many: String,
    of_one: String,
}

impl BatchStatement {
    /// Makes both forms of a text.
    ///
    /// # Panics
    /// If the content of `rows(…)` is malformed. The texts are constants of the program.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (mut of_many, mut of_one) = (String::new(), String::new());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("rows($") {
            let (given, behind) = behind.split_once(')').expect("rows( has a closing parenthesis");
            let rows = Rows::parse(given);
            of_many.extend([before, &rows.many()]);
            of_one.extend([before, &rows.one()]);
            rest = behind;
        }
        of_many.push_str(rest);
        of_one.push_str(rest);
        Self { of_many, of_one }
    }

    pub(super) fn form(&self, is_of_one: bool) -> &str {
        if is_of_one { &self.of_one } else { &self.of_many }
    }
}

/// The content of `rows(…)`.
struct Rows<'a> {
    /// Parameter, name and type of each column.
    columns: Vec<(usize, &'a str, &'a str)>,
}

impl<'a> Rows<'a> {
    fn parse(given: &'a str) -> Self {
        let (first, columns) = given.split_once(':').expect("rows( holds a number, a colon and columns");
        let first: usize = first.parse().expect("the number before the colon is a parameter");
        let column = |(index, column): (usize, &'a str)| {
            let (name, kind) = column.trim().split_once(' ').expect("a column has a name and a type");
            (first + index, name, kind)
        };
        Self { columns: columns.split(',').enumerate().map(column).collect() }
    }

    fn many(&self) -> String {
        let arrays = self.list(|number, _, kind| format!("${number}::{kind}[]"));
        let names = self.list(|_, name, _| name.to_owned());
        format!("(select * from unnest({arrays}) as given ({names}))")
    }

    /// Not materialized, so the planner inlines it: each reference to a column becomes a parameter.
    fn one(&self) -> String {
        let values = self.list(|number, name, kind| format!("${number}::{kind} as {name}"));
        format!("not materialized (select {values})")
    }

    fn list(&self, text: impl Fn(usize, &str, &str) -> String) -> String {
        let texts: Vec<String> = self.columns.iter().map(|(number, name, kind)| text(*number, name, kind)).collect();
        texts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::BatchStatement;

    #[test]
    fn a_text_has_a_form_for_many_rows_and_one_for_one() {
        let statement = BatchStatement::new(
            "with a as rows($2: id uuid, note text), b as rows($4: n int) select $1, a.id, (b.n) from a, b",
        );
        assert_eq!(
            statement.form(false),
            "with a as (select * from unnest($2::uuid[], $3::text[]) as given (id, note)), \
             b as (select * from unnest($4::int[]) as given (n)) select $1, a.id, (b.n) from a, b"
        );
        assert_eq!(
            statement.form(true),
            "with a as not materialized (select $2::uuid as id, $3::text as note), \
             b as not materialized (select $4::int as n) select $1, a.id, (b.n) from a, b"
        );
    }
}
