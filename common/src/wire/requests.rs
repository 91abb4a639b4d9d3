//! Request bodies, as described in the API.
//!
//! Services read them field by field ([`crate::fields`]), so that an amount is judged by its digits and every invalid
//! field is named; nothing is ever deserialized into these types. The contract suite checks that the descriptions are
//! true: it sends each described example, complete and without each of its fields.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::{
    http::openapi::schema::{either, pattern},
    ids::{PaymentId, ProductId, TransactionId, UserId},
    money,
};

/// `POST /payments/`.
#[derive(Clone, Debug, ToSchema)]
pub struct ChargeRequest {
    /// The payer.
    pub user_id: UserId,
    /// The transaction. If omitted, the service creates one, and the call cannot be repeated unless it has an
    /// `Idempotency-Key`.
    pub transaction_id: Option<TransactionId>,
    /// The amount.
    pub amount: GivenAmount,
    /// The product.
    pub product_id: Option<GivenProductId>,
}

/// The body of a refund, which may be omitted.
#[derive(Clone, Debug, ToSchema)]
pub struct RefundRequest {
    /// A reason for the caller's own logs.
    #[schema(max_length = 1_000)]
    pub reason: Option<String>,
}

/// `POST /saga/{transaction_id}/resolve`.
#[derive(Clone, Debug, ToSchema)]
pub struct ResolveRequest {
    /// A note about the resolution, for later readers.
    #[schema(min_length = 1, max_length = 1_000)]
    pub note: String,
}

/// `POST /inventory/decrease/`.
#[derive(Clone, Debug, ToSchema)]
pub struct DecreaseRequest {
    /// The product.
    pub product_id: GivenProductId,
    /// The quantity; 1 if omitted.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub quantity: Option<i32>,
    /// The transaction. If omitted, the service creates one, and the call cannot be repeated unless it has an
    /// `Idempotency-Key`.
    pub transaction_id: Option<TransactionId>,
}

/// `POST /inventory/restock/`.
#[derive(Clone, Debug, ToSchema)]
pub struct RestockRequest {
    /// The product.
    pub product_id: GivenProductId,
    /// The quantity delivered.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub quantity: i32,
    /// Identifies the delivery, so that it counts once; an `Idempotency-Key` does too.
    pub transaction_id: Option<TransactionId>,
}

/// `POST /purchases/`.
#[derive(Clone, Debug, ToSchema)]
pub struct PurchaseRequest {
    /// The buyer.
    pub user_id: UserId,
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The product.
    pub product_id: GivenProductId,
    /// The payment.
    pub payment_id: GivenPaymentId,
    /// The amount.
    pub amount: GivenAmount,
}

/// `POST /saga/transaction`.
#[derive(Clone, Debug, ToSchema)]
pub struct OrderRequest {
    /// The buyer.
    pub user_id: UserId,
    /// The product. If omitted, the catalog picks one.
    pub product_id: Option<GivenProductId>,
    /// The amount.
    pub amount: GivenAmount,
}

/// An amount in a request.
#[derive(Clone, Debug)]
pub struct GivenAmount;

impl PartialSchema for GivenAmount {
    fn schema() -> RefOr<Schema> {
        let number =
            ObjectBuilder::new().schema_type(Type::Number).exclusive_minimum(Some(0)).maximum(Some(99_999_999.99));
        either(
            number.into(),
            pattern(money::GIVEN),
            "Greater than 0 and at most 99999999.99, in plain digits with at most 2 decimals; a number or a string.",
        )
    }
}

impl ToSchema for GivenAmount {}

/// The schema of an id given as a number of any size: its digits are used, never its numeric value.
fn digits() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).into()
}

/// A product id in a request: `7` is `"7"`.
#[derive(Clone, Debug)]
pub struct GivenProductId;

impl PartialSchema for GivenProductId {
    fn schema() -> RefOr<Schema> {
        either(ProductId::schema(), digits(), "A string or a whole number: 7 is \"7\".")
    }
}

impl ToSchema for GivenProductId {}

/// A payment id in a request: `7` is `"7"`.
#[derive(Clone, Debug)]
pub struct GivenPaymentId;

impl PartialSchema for GivenPaymentId {
    fn schema() -> RefOr<Schema> {
        either(PaymentId::schema(), digits(), "A string or a whole number: 7 is \"7\".")
    }
}

impl ToSchema for GivenPaymentId {}
