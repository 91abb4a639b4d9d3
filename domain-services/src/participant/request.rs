//! Common parts of reading a request.

use common::{
    fields::{FieldError, Fields},
    http::{ApiError, Request},
    ids::TransactionId,
};

/// Ends the reading of a body: returns the value, or all bad fields.
///
/// # Errors
/// 400 with all bad fields.
pub(crate) fn finish<T>(fields: Fields<'_>, read: Option<T>) -> Result<T, ApiError> {
    fields.finish().map_err(ApiError::bad_fields_400)?;
    read.ok_or_else(|| ApiError::internal("a required field is missing, but no field error was recorded"))
}

/// Reads the transaction id in a path.
///
/// # Errors
/// 400 when it is malformed.
pub(crate) fn transaction_in_path(request: &Request) -> Result<TransactionId, ApiError> {
    let name = "transaction_id";
    TransactionId::from_client(request.param(name)).map_err(|error| {
        ApiError::bad_fields_400(vec![FieldError { field: name.to_owned(), message: error.to_string() }])
    })
}
