//! `POST /saga/transaction`: starts a purchase.

use common::http::{ApiError, Request, Response};
use common::request_hash::{HASH_VERSION, RequestHash};
use common::wire::requests::OrderRequest;

use super::ApiContext;
use super::start::{self, Wanted};
use crate::checkout::Order;
use crate::store::reader::KeyHolder;
use saga_engine::record::Fingerprint;

pub(super) async fn start(api: ApiContext, request: Request) -> Result<Response, ApiError> {
    let OrderRequest { user_id, product_id, amount } = request.json(ApiError::bad_fields_422)?;
    start::start(api, request, Wanted::Purchase(Order { user_id, product_id, amount })).await
}

/// The list of fields belongs to [`HASH_VERSION`]: a change of the list needs a new version.
pub(super) fn fingerprint(order: &Order) -> Fingerprint {
    let contents = [
        Some(order.user_id.to_string()),
        order.product_id.as_ref().map(ToString::to_string),
        Some(order.amount.cents().to_string()),
    ];
    let hash = RequestHash::of("purchase", &contents).as_bytes().to_vec();
    Fingerprint { version: HASH_VERSION, hash }
}

/// Tells whether the key holder's order equals the order with this fingerprint. Hashes of different versions cannot be
/// compared; the order itself is in the row too.
pub(super) fn same_contents(order: &Order, fingerprint: &Fingerprint, holder: &KeyHolder) -> bool {
    let compared = holder.fingerprint.as_ref().and_then(|stored| fingerprint.equals_stored(stored));
    compared.unwrap_or_else(|| Order::of_input(&holder.saga.input) == *order)
}
