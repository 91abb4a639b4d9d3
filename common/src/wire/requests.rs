//! Request bodies. One declaration says how each member is read, and what the API description says about it.
//!
//! Bodies are read member by member ([`crate::fields`]), so that an amount is judged by its digits and every invalid
//! member is named. The contract suite checks that the descriptions are true: it sends each described example, complete
//! and without each of its members.

use std::ops::RangeInclusive;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::{
    fields::{Fields, RequestBody, read},
    http::openapi::schema::{either, pattern},
    ids::{PaymentId, ProductId, TransactionId, UserId},
    money::{self, Money},
};

/// The quantities of a request.
const QUANTITIES: RangeInclusive<i64> = 1..=1_000_000;

/// Declares bodies: structs whose members are followed by `= required(reader)` or `= optional(reader)`, with a reader
/// of [`read`].
macro_rules! request_bodies {
    ($($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$about:meta])* pub $member:ident: $type:ty = $presence:ident($read:expr),)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
        pub struct $name {
            $($(#[$about])* pub $member: $type,)*
        }

        impl RequestBody for $name {
            fn read(fields: &mut Fields<'_>) -> Option<Self> {
                // All members are read before the first `?`, so that every invalid one is named.
                $(let $member = request_bodies!(@$presence fields, stringify!($member), $read);)*
                Some(Self { $($member: $member?),* })
            }
        }
    )*};
    (@required $fields:ident, $name:expr, $read:expr) => { $fields.required($name, $read) };
    (@optional $fields:ident, $name:expr, $read:expr) => { Some($fields.optional($name, $read)) };
}

request_bodies! {
    /// `POST /payments/`.
    pub struct ChargeRequest {
        /// The payer.
        pub user_id: UserId = required(read::user_id),
        /// The transaction. If omitted, the service creates one, and the call cannot be repeated unless it has an
        /// `Idempotency-Key`.
        pub transaction_id: Option<TransactionId> = optional(read::transaction_id),
        /// The amount.
        #[schema(value_type = GivenAmount)]
        pub amount: Money = required(read::amount),
        /// The product.
        #[schema(value_type = Option<GivenProductId>)]
        pub product_id: Option<ProductId> = optional(read::product_id),
    }

    /// The body of a refund, which may be omitted. Its only key is the transaction in the path.
    pub struct RefundRequest {
        /// A reason for the caller's own logs.
        #[schema(max_length = 1_000)]
        pub reason: Option<String> = optional(read::text(1_000)),
    }

    /// `POST /saga/{transaction_id}/resolve`.
    pub struct ResolveRequest {
        /// A note about the resolution, for later readers.
        #[schema(min_length = 1, max_length = 1_000)]
        pub note: String = required(read::text_with_content(1_000)),
        /// Name of the person who settled it.
        #[schema(min_length = 1, max_length = 100)]
        pub by: Option<String> = optional(read::text_with_content(100)),
    }

    /// `POST /inventory/decrease/`.
    pub struct DecreaseRequest {
        /// The product.
        #[schema(value_type = GivenProductId)]
        pub product_id: ProductId = required(read::product_id),
        /// The quantity; 1 if omitted.
        #[schema(minimum = 1, maximum = 1_000_000)]
        pub quantity: Option<i32> = optional(read::integer(QUANTITIES)),
        /// The transaction. If omitted, the service creates one, and the call cannot be repeated unless it has an
        /// `Idempotency-Key`.
        pub transaction_id: Option<TransactionId> = optional(read::transaction_id),
    }

    /// `POST /inventory/restock/`.
    pub struct RestockRequest {
        /// The product.
        #[schema(value_type = GivenProductId)]
        pub product_id: ProductId = required(read::product_id),
        /// The quantity delivered.
        #[schema(minimum = 1, maximum = 1_000_000)]
        pub quantity: i32 = required(read::integer(QUANTITIES)),
        /// Identifies the delivery, so that it counts once; an `Idempotency-Key` does too.
        pub transaction_id: Option<TransactionId> = optional(read::transaction_id),
    }

    /// `POST /purchases/`.
    pub struct PurchaseRequest {
        /// The buyer.
        pub user_id: UserId = required(read::user_id),
        /// The transaction.
        pub transaction_id: TransactionId = required(read::transaction_id),
        /// The product.
        #[schema(value_type = GivenProductId)]
        pub product_id: ProductId = required(read::product_id),
        /// The payment.
        #[schema(value_type = GivenPaymentId)]
        pub payment_id: PaymentId = required(read::payment_id),
        /// The amount.
        #[schema(value_type = GivenAmount)]
        pub amount: Money = required(read::amount),
    }

    /// `POST /saga/transaction`.
    pub struct OrderRequest {
        /// The buyer.
        pub user_id: UserId = required(read::user_id),
        /// The product. If omitted, the catalog picks one.
        #[schema(value_type = Option<GivenProductId>)]
        pub product_id: Option<ProductId> = optional(read::wanted_product_id),
        /// The amount.
        #[schema(value_type = GivenAmount)]
        pub amount: Money = required(read::amount),
    }
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
