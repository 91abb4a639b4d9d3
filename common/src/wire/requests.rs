//! Bodies that come in, as the API descriptions show them.
//!
//! Services read them field by field ([`crate::fields`]), so that an amount is judged by its digits and every bad field is
//! named; nothing is ever deserialized into these types. That they tell the truth about what is read is held by the
//! contract suite: it sends each described example, and again without each of its fields.

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
    /// Who pays.
    pub user_id: UserId,
    /// For which transaction. Without it the service makes one, and the call cannot be repeated unless it has an
    /// `Idempotency-Key`.
    pub transaction_id: Option<TransactionId>,
    /// How much.
    pub amount: GivenAmount,
    /// For what.
    pub product_id: Option<GivenProductId>,
}

/// The body of a refund, which may be left out.
#[derive(Clone, Debug, ToSchema)]
pub struct RefundRequest {
    /// For the caller's own logs.
    #[schema(max_length = 1_000)]
    pub reason: Option<String>,
}

/// `POST /saga/{transaction_id}/resolve`.
#[derive(Clone, Debug, ToSchema)]
pub struct ResolveRequest {
    /// What was done about it, for whoever looks next.
    #[schema(min_length = 1, max_length = 1_000)]
    pub note: String,
}

/// `POST /inventory/decrease/`.
#[derive(Clone, Debug, ToSchema)]
pub struct DecreaseRequest {
    /// Of what.
    pub product_id: GivenProductId,
    /// How much; 1 where it is left out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub quantity: Option<i32>,
    /// For which transaction. Without it the service makes one, and the call cannot be repeated unless it has an
    /// `Idempotency-Key`.
    pub transaction_id: Option<TransactionId>,
}

/// `POST /inventory/restock/`.
#[derive(Clone, Debug, ToSchema)]
pub struct RestockRequest {
    /// Of what.
    pub product_id: GivenProductId,
    /// How much comes in.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub quantity: i32,
    /// Names the delivery, so that it counts once; an `Idempotency-Key` does as well.
    pub transaction_id: Option<TransactionId>,
}

/// `POST /purchases/`.
#[derive(Clone, Debug, ToSchema)]
pub struct PurchaseRequest {
    /// Who bought.
    pub user_id: UserId,
    /// In which transaction.
    pub transaction_id: TransactionId,
    /// What.
    pub product_id: GivenProductId,
    /// Paid how.
    pub payment_id: GivenPaymentId,
    /// For how much.
    pub amount: GivenAmount,
}

/// `POST /saga/transaction`.
#[derive(Clone, Debug, ToSchema)]
pub struct OrderRequest {
    /// Who buys.
    pub user_id: UserId,
    /// What. Without it the catalog picks a product.
    pub product_id: Option<GivenProductId>,
    /// For how much.
    pub amount: GivenAmount,
}

/// An amount as it may come in.
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

/// An id as a number, of any size: its digits are taken, never its value.
fn digits() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).into()
}

/// A product id as it may come in: `7` is `"7"`.
#[derive(Clone, Debug)]
pub struct GivenProductId;

impl PartialSchema for GivenProductId {
    fn schema() -> RefOr<Schema> {
        either(ProductId::schema(), digits(), "A string or a whole number: 7 is \"7\".")
    }
}

impl ToSchema for GivenProductId {}

/// A payment id as it may come in: `7` is `"7"`.
#[derive(Clone, Debug)]
pub struct GivenPaymentId;

impl PartialSchema for GivenPaymentId {
    fn schema() -> RefOr<Schema> {
        either(PaymentId::schema(), digits(), "A string or a whole number: 7 is \"7\".")
    }
}

impl ToSchema for GivenPaymentId {}
