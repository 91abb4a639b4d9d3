//! Statements that own their parameters, so that several can be collected before they are sent.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::BatchStatement;

/// A statement with its parameters, to be sent together with others.
pub struct Bound<'a> {
    text: Text,
    parameters: Vec<Parameter<'a>>,
}

enum Text {
    Plain(&'static str),
    OverRows(&'static BatchStatement),
}

/// A parameter that a statement owns.
pub struct Parameter<'a>(Kind<'a>);

enum Kind<'a> {
    Value(Box<dyn ToSql + Sync + Send + 'a>),
    Column(Box<dyn Column + 'a>),
}

impl<'a> Parameter<'a> {
    /// Creates a column for the rows of a [`BatchStatement`]: one value a row.
    pub fn column<T: ToSql + Sync + Send + 'a>(values: Vec<T>) -> Self {
        Self(Kind::Column(Box::new(values)))
    }
}

impl<'a> Bound<'a> {
    /// Starts with a statement that has no parameters yet.
    pub fn new(sql: &'static str) -> Self {
        Self { text: Text::Plain(sql), parameters: Vec::new() }
    }

    /// Starts with a statement over rows that has no parameters yet.
    pub fn over_rows(statement: &'static BatchStatement) -> Self {
        Self { text: Text::OverRows(statement), parameters: Vec::new() }
    }

    /// Adds the next parameter.
    #[must_use]
    pub fn with(mut self, parameter: impl ToSql + Sync + Send + 'a) -> Self {
        self.parameters.push(Parameter(Kind::Value(Box::new(parameter))));
        self
    }

    /// Adds the next column of rows: one value a row.
    #[must_use]
    pub fn column<T: ToSql + Sync + Send + 'a>(mut self, values: Vec<T>) -> Self {
        self.parameters.push(Parameter::column(values));
        self
    }

    /// Adds further parameters.
    #[must_use]
    pub fn with_all(mut self, parameters: Vec<Parameter<'a>>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Returns the text to prepare, in the form that fits the number of rows.
    pub(super) fn sql(&self) -> &'static str {
        match self.text {
            Text::Plain(sql) => sql,
            Text::OverRows(statement) => statement.form(self.is_of_one()),
        }
    }

    /// Sends the statement when first polled, and returns its rows.
    pub(super) async fn run(&self, client: &Client, prepared: &Statement) -> Result<Vec<Row>, Error> {
        let is_of_one = self.is_of_one();
        let parameters: Vec<&(dyn ToSql + Sync)> = self
            .parameters
            .iter()
            .map(|parameter| match &parameter.0 {
                Kind::Value(value) => &**value as &(dyn ToSql + Sync),
                Kind::Column(values) if is_of_one => values.only(),
                Kind::Column(values) => values.all(),
            })
            .collect();
        client.query(prepared, &parameters).await
    }

    /// Returns whether this is a statement over rows with exactly one row of each kind.
    fn is_of_one(&self) -> bool {
        let is_one = |parameter: &Parameter<'_>| match &parameter.0 {
            Kind::Value(_) => true,
            Kind::Column(values) => values.len() == 1,
        };
        matches!(self.text, Text::OverRows(_)) && self.parameters.iter().all(is_one)
    }
}

/// Values of one column.
trait Column: Send + Sync {
    fn len(&self) -> usize;
    /// All values, as an array parameter.
    fn all(&self) -> &(dyn ToSql + Sync);
    /// The only value. Panics on an empty column.
    fn only(&self) -> &(dyn ToSql + Sync);
}

impl<T: ToSql + Sync + Send> Column for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn all(&self) -> &(dyn ToSql + Sync) {
        self
    }

    fn only(&self) -> &(dyn ToSql + Sync) {
        &self[0]
    }
}
