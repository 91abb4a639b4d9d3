//! Statements that own their parameters, so that several can be put together before they are sent.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

/// A statement with its parameters, to be sent together with others.
pub struct Bound<'a> {
    pub(super) sql: &'static str,
    parameters: Vec<Parameter<'a>>,
}

/// A parameter that a statement owns.
pub type Parameter<'a> = Box<dyn ToSql + Sync + Send + 'a>;

impl<'a> Bound<'a> {
    /// Starts with a statement that has no parameters yet.
    pub fn new(sql: &'static str) -> Self {
        Self { sql, parameters: Vec::new() }
    }

    /// Adds the next parameter.
    #[must_use]
    pub fn with(mut self, parameter: impl ToSql + Sync + Send + 'a) -> Self {
        self.parameters.push(Box::new(parameter));
        self
    }

    /// Adds further parameters.
    #[must_use]
    pub fn with_all(mut self, parameters: Vec<Parameter<'a>>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Sends it when it is first polled, and returns its rows.
    pub(super) async fn run(&self, client: &Client, prepared: &Statement) -> Result<Vec<Row>, Error> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            self.parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect();
        client.query(prepared, &parameters).await
    }
}
