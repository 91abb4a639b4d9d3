//! Common parts of reading a request.

use common::{
    http::{
        ApiError, Request,
        page::{Page, plain_number},
    },
    ids::TransactionId,
};

/// Reads the transaction id in a path.
///
/// # Errors
/// 400 when it is malformed.
pub(crate) fn transaction_in_path(request: &Request) -> Result<TransactionId, ApiError> {
    read_transaction_id(request.param("transaction_id"))
}

/// Reads a transaction id.
///
/// # Errors
/// 400 when it is malformed.
pub(crate) fn read_transaction_id(text: &str) -> Result<TransactionId, ApiError> {
    TransactionId::from_client(text).map_err(|error| ApiError::bad_field_400("transaction_id", error.to_string()))
}

/// Reads the paging parameters of a list that is ordered by a numeric id.
///
/// # Errors
/// 400 with every bad parameter.
pub(crate) fn page_by_id(request: &Request) -> Result<Page<i64>, ApiError> {
    Page::of(&request.query, plain_number).map_err(ApiError::bad_fields_400)
}
