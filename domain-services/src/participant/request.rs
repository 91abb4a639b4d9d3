//! Common parts of reading a request.

use common::{
    fields::FieldError,
    http::{ApiError, Request},
    ids::TransactionId,
};

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
