//! Paging of lists that are ordered by a numeric id.

use common::http::{
    ApiError, Request,
    page::{Page, plain_number},
};

/// Reads the paging parameters of a request.
///
/// # Errors
/// 400 with every bad parameter.
pub(crate) fn page_by_id(request: &Request) -> Result<Page<i64>, ApiError> {
    let mut errors = Vec::new();
    let page = Page::read(&request.query, plain_number, &mut errors);
    if errors.is_empty() { Ok(page) } else { Err(ApiError::bad_fields_400(errors)) }
}
