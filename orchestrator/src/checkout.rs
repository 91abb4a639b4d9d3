//! The purchase saga, as a table of steps. Steps run from top to bottom; compensations run from bottom to top.
//!
//! | step | participant | effect | undone by |
//! |---|---|---|---|
//! | `choose` | catalog | none | – |
//! | `charge` | payments | takes the money | `refund` by transaction |
//! | `decrease` | inventory | takes the stock | nothing, by the product owner's rule (or `restore`, if configured) |
//! | `create` | purchases | records the purchase | `cancel` by transaction |
//!
//! Adding a step: `docs/adding-a-participant.md`.

use common::http::page::plain_number;
use common::ids::{ProductId, UserId};
use common::money::Money;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use saga_engine::SagaId;
use saga_engine::definition::{
    Context, Definition, DefinitionError, Effect, Input, Method, Operation, Outputs, Request, Step,
};

/// The input of a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The buyer.
    pub user_id: UserId,
    /// The product; `None` leaves the choice to the catalog.
    pub product_id: Option<ProductId>,
    /// The amount to charge.
    pub amount: Money,
}

impl Order {
    /// Returns the order as the input of a saga.
    pub fn to_input(&self) -> Input {
        let Order { user_id, product_id, amount } = self;
        Input::new(json!({ "user_id": user_id, "product_id": product_id, "amount": amount }))
    }

    /// Reads the input of a saga; `None` if its definition is not that of a purchase, or its row was changed by hand.
    pub fn of_saga(definition: &str, input: &Input) -> Option<Order> {
        StockRule::of_definition(definition).and_then(|_| Order::read(input))
    }

    /// Reads the input of a purchase.
    ///
    /// # Panics
    /// If the input was not made by [`Order::to_input`]; the sagas of these definitions have no other.
    pub fn of_input(input: &Input) -> Order {
        Order::read(input).expect("the input of a purchase is an order")
    }

    fn read(input: &Input) -> Option<Order> {
        let text = |name| input.get(name).and_then(Value::as_str);
        let product_id = match text("product_id") {
            Some(product_id) => Some(ProductId::parse(product_id).ok()?),
            None => None,
        };
        let (user_id, amount) = (UserId::parse(text("user_id")?).ok()?, Money::parse(text("amount")?).ok()?);
        Some(Order { user_id, product_id, amount })
    }
}

/// Outputs of a purchase: names in [`Outputs`].
pub mod output {
    /// The product bought.
    pub const PRODUCT_ID: &str = "product_id";
    /// The payment taken.
    pub const PAYMENT_ID: &str = "payment_id";
    /// The purchase recorded.
    pub const PURCHASE_ID: &str = "purchase_id";
    /// The quantity left in stock; set once the stock was taken.
    pub const REMAINING_QUANTITY: &str = "remaining_quantity";
    /// Of a purchase whose details were cleared: set if it is not known whether the stock was taken.
    pub const STOCK_IS_UNKNOWN: &str = "stock_is_unknown";
}

/// Returns the step of a purchase that has this output.
pub(crate) fn step_of_output(name: &str) -> Option<&'static str> {
    match name {
        output::PRODUCT_ID => Some("choose"),
        output::PAYMENT_ID => Some("charge"),
        output::REMAINING_QUANTITY => Some("decrease"),
        output::PURCHASE_ID => Some("create"),
        _ => None,
    }
}

/// Whether a compensated purchase gives its stock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockRule {
    /// The stock stays taken: the product owner's rule.
    Keep,
    /// The stock is restored.
    Restore,
}

impl StockRule {
    /// Returns the rule of the definition with this name; `None` for other definitions.
    pub fn of_definition(name: &str) -> Option<StockRule> {
        [StockRule::Keep, StockRule::Restore].into_iter().find(|rule| rule.definition_name() == name)
    }

    fn definition_name(self) -> &'static str {
        match self {
            StockRule::Keep => "checkout",
            StockRule::Restore => "checkout-restoring-stock",
        }
    }
}

/// Returns the definition of a purchase. Each stock rule is a definition with its own name, stored with each saga:
/// changing the rule never changes a running saga.
///
/// # Errors
/// [`DefinitionError`] if the table breaks a rule of the engine.
pub fn definition(rule: StockRule) -> Result<Definition, DefinitionError> {
    let decrease_effect = match rule {
        StockRule::Keep => Effect::Uncompensated,
        StockRule::Restore => Effect::Compensable(operations::restore()),
    };
    let read_only = Effect::ReadOnly { refusal: Some("product-not-found".into()), refuse: no_number };
    #[rustfmt::skip]
    let steps = vec![
        Step::new("choose",   "catalog",   operations::product(),  read_only),
        Step::new("charge",   "payments",  operations::charge(),   Effect::Compensable(operations::refund())),
        Step::new("decrease", "inventory", operations::decrease(), decrease_effect),
        Step::new("create",   "purchases", operations::create(),   Effect::Compensable(operations::cancel())),
    ];
    Definition::new(rule.definition_name(), 1, steps)
}

/// The operations of the participants.
mod operations {
    use super::*;

    pub(super) fn product() -> Operation {
        Operation::new("product", choose, read_product)
    }

    pub(super) fn charge() -> Operation {
        Operation::new("charge", super::charge, read_payment)
    }

    pub(super) fn refund() -> Operation {
        Operation::new("refund", super::refund, read_refund)
    }

    pub(super) fn decrease() -> Operation {
        Operation::new("decrease", super::decrease, read_stock)
    }

    pub(super) fn restore() -> Operation {
        Operation::new("restore", super::restore, read_undone)
    }

    pub(super) fn create() -> Operation {
        Operation::new("create", super::create, read_purchase)
    }

    pub(super) fn cancel() -> Operation {
        Operation::new("cancel", super::cancel, read_undone)
    }
}

/// Returns every definition that this version of the program can run.
///
/// # Errors
/// [`DefinitionError`] if a table breaks a rule of the engine.
pub fn known_definitions() -> Result<Vec<Definition>, DefinitionError> {
    Ok(vec![definition(StockRule::Keep)?, definition(StockRule::Restore)?])
}

// Characters that need no encoding in a path segment, besides letters and digits.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn get(path: String) -> Request {
    Request::new(Method::Get, path, None)
}

fn post(path: impl Into<String>, body: &impl Serialize) -> Request {
    let body = serde_json::to_string(body).expect("a plain record serialises");
    Request::new(Method::Post, path, Some(body))
}

fn product(context: &Context) -> &str {
    context.outputs.text(output::PRODUCT_ID).unwrap_or_default()
}

/// The catalog's product ids are numbers. Anything else might be a route of the catalog: `random` would buy any
/// product.
fn no_number(context: &Context) -> Option<String> {
    let product_id = Order::of_input(&context.input).product_id?;
    plain_number(product_id.as_str()).is_none().then(|| format!("Product {product_id} not found"))
}

fn choose(context: &Context) -> Request {
    match Order::of_input(&context.input).product_id {
        None => get("/products/random/".to_owned()),
        Some(product_id) => get(format!("/products/{}/", utf8_percent_encode(product_id.as_str(), SEGMENT))),
    }
}

fn charge(context: &Context) -> Request {
    #[derive(Serialize)]
    struct Charge<'a> {
        user_id: &'a UserId,
        transaction_id: SagaId,
        amount: Money,
        product_id: &'a str,
    }
    let Order { user_id, amount, .. } = Order::of_input(&context.input);
    let charge = Charge { user_id: &user_id, transaction_id: context.saga_id, amount, product_id: product(context) };
    post("/payments/", &charge)
}

fn refund(context: &Context) -> Request {
    post(format!("/payments/by-transaction/{}/refund/", context.saga_id), &json!({}))
}

fn decrease(context: &Context) -> Request {
    #[derive(Serialize)]
    struct Decrease<'a> {
        product_id: &'a str,
        quantity: i32,
        transaction_id: SagaId,
    }
    let product_id = product(context);
    post("/inventory/decrease/", &Decrease { product_id, quantity: 1, transaction_id: context.saga_id })
}

fn restore(context: &Context) -> Request {
    post(format!("/inventory/restore/by-transaction/{}/", context.saga_id), &json!({}))
}

fn create(context: &Context) -> Request {
    #[derive(Serialize)]
    struct Create<'a> {
        user_id: &'a UserId,
        transaction_id: SagaId,
        product_id: &'a str,
        payment_id: &'a str,
        amount: Money,
    }
    let Order { user_id, amount, .. } = Order::of_input(&context.input);
    let Context { saga_id, outputs, .. } = context;
    let purchase = Create {
        user_id: &user_id,
        transaction_id: *saga_id,
        product_id: product(context),
        payment_id: outputs.text(output::PAYMENT_ID).unwrap_or_default(),
        amount,
    };
    post("/purchases/", &purchase)
}

fn cancel(context: &Context) -> Request {
    Request::new(Method::Delete, format!("/purchases/by-transaction/{}/cancel/", context.saga_id), None)
}

// Each reader parses the outputs that the saga keeps and the fields that prove the answer belongs to this saga: a proxy
// in front of a participant may answer 200 with JSON of its own. Additional fields are ignored.

/// `status` of an action, and of a compensation without money.
#[derive(Deserialize)]
enum Success {
    #[serde(rename = "success")]
    Success,
}

/// `status` of a payment that was refunded, or will never be taken.
#[derive(Deserialize)]
enum Compensated {
    #[serde(rename = "compensated")]
    Compensated,
}

fn read_product(context: &Context, body: &[u8]) -> Result<Outputs, serde_json::Error> {
    #[derive(Deserialize)]
    struct Chosen {
        product_id: i64,
    }
    let Chosen { product_id } = serde_json::from_slice(body)?;
    let asked = Order::of_input(&context.input).product_id;
    if asked.is_none_or(|asked| asked.as_str().parse() == Ok(product_id)) {
        Ok(Outputs::one(output::PRODUCT_ID, product_id.to_string()))
    } else {
        Err(of_another("product"))
    }
}

fn read_payment(context: &Context, body: &[u8]) -> Result<Outputs, serde_json::Error> {
    #[derive(Deserialize)]
    struct Paid {
        #[serde(rename = "status")]
        _status: Success,
        transaction_id: SagaId,
        payment_id: i64,
    }
    let paid: Paid = serde_json::from_slice(body)?;
    is_ours(context, paid.transaction_id)?;
    Ok(Outputs::one(output::PAYMENT_ID, paid.payment_id.to_string()))
}

fn read_refund(context: &Context, body: &[u8]) -> Result<Outputs, serde_json::Error> {
    #[derive(Deserialize)]
    struct Refunded {
        #[serde(rename = "status")]
        _status: Compensated,
        transaction_id: SagaId,
        payment_id: Option<i64>,
    }
    let refunded: Refunded = serde_json::from_slice(body)?;
    is_ours(context, refunded.transaction_id)?;
    // The answer to the charge may have been lost, so the payment id is read here too.
    Ok(refunded.payment_id.map_or_else(Outputs::default, |id| Outputs::one(output::PAYMENT_ID, id.to_string())))
}

/// The inventory's answer carries no transaction id.
fn read_stock(context: &Context, body: &[u8]) -> Result<Outputs, serde_json::Error> {
    #[derive(Deserialize)]
    struct Taken {
        #[serde(rename = "status")]
        _status: Success,
        product_id: ProductId,
        remaining_quantity: i64,
    }
    let taken: Taken = serde_json::from_slice(body)?;
    if taken.product_id.as_str() == product(context) {
        Ok(Outputs::one(output::REMAINING_QUANTITY, taken.remaining_quantity.to_string()))
    } else {
        Err(of_another("product"))
    }
}

fn read_purchase(context: &Context, body: &[u8]) -> Result<Outputs, serde_json::Error> {
    #[derive(Deserialize)]
    struct Recorded {
        #[serde(rename = "status")]
        _status: Success,
        transaction_id: SagaId,
        purchase_id: i64,
    }
    let recorded: Recorded = serde_json::from_slice(body)?;
    is_ours(context, recorded.transaction_id)?;
    Ok(Outputs::one(output::PURCHASE_ID, recorded.purchase_id.to_string()))
}

/// Reads the answer to a restore or a cancellation.
fn read_undone(context: &Context, body: &[u8]) -> Result<Outputs, serde_json::Error> {
    #[derive(Deserialize)]
    struct Undone {
        #[serde(rename = "status")]
        _status: Success,
        transaction_id: SagaId,
    }
    let undone: Undone = serde_json::from_slice(body)?;
    is_ours(context, undone.transaction_id)?;
    Ok(Outputs::default())
}

fn is_ours(context: &Context, transaction_id: SagaId) -> Result<(), serde_json::Error> {
    if transaction_id == context.saga_id { Ok(()) } else { Err(of_another("transaction")) }
}

fn of_another(what: &str) -> serde_json::Error {
    serde::de::Error::custom(format_args!("it belongs to another {what}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use smol_str::SmolStr;
    use uuid::Uuid;

    use super::*;

    /// The context of a saga whose charge is done.
    pub(crate) fn context(product: Option<&str>) -> Context {
        let mut outputs = Outputs::one(output::PRODUCT_ID, "7");
        outputs.merge(Outputs::one(output::PAYMENT_ID, "42"));
        Context {
            saga_id: SagaId(Uuid::nil()),
            attempt: 1,
            input: Order {
                user_id: UserId::parse("user-123").unwrap(),
                product_id: product.map(|id| ProductId::parse(id).unwrap()),
                amount: Money::parse("99.9").unwrap(),
            }
            .to_input(),
            outputs,
        }
    }

    #[test]
    fn an_order_is_read_back_from_its_input() {
        for product_id in [None, ProductId::parse("7").ok()] {
            let amount = Money::parse("99999999.99").unwrap();
            let order = Order { user_id: UserId::parse("ада").unwrap(), product_id, amount };
            assert_eq!(Order::of_input(&order.to_input()), order);
        }
    }

    #[test]
    fn both_stock_rules_are_definitions() {
        let definitions = known_definitions().unwrap();
        let names = [0, 1].map(|index: usize| definitions[index].name.as_str());
        assert_eq!(names, ["checkout", "checkout-restoring-stock"]);
        let rules = names.map(StockRule::of_definition);
        assert_eq!(rules, [Some(StockRule::Keep), Some(StockRule::Restore)]);
        assert_eq!(StockRule::of_definition("another"), None);
        let compensable = |definition: &Definition| -> Vec<SmolStr> {
            let steps = definition.steps().iter().filter(|step| step.compensation().is_some());
            steps.map(|step| step.name.clone()).collect()
        };
        assert_eq!(compensable(&definitions[0]), ["charge", "create"]);
        assert_eq!(compensable(&definitions[1]), ["charge", "decrease", "create"]);
    }

    #[test]
    fn every_request_with_an_effect_carries_the_transaction() {
        for definition in known_definitions().unwrap() {
            for step in definition.steps().iter().filter(|step| !step.is_read_only()) {
                let context = context(None);
                let id = context.saga_id.to_string();
                let action = (step.action.request)(&context).unwrap();
                assert!(action.body.unwrap().contains(&id), "{}", step.name);
                if let Some(compensation) = step.compensation() {
                    assert!((compensation.request)(&context).unwrap().path.contains(&id), "{}", step.name);
                }
            }
        }
    }

    #[test]
    fn only_a_number_is_asked_for() {
        assert_eq!(no_number(&context(None)), None);
        for number in ["1", "007", "9223372036854775807"] {
            assert_eq!(no_number(&context(Some(number))), None, "{number}");
        }
        for other in ["random", "a/b", "-1", "1.0", "9223372036854775808", "\u{661}", " 1"] {
            assert_eq!(no_number(&context(Some(other))), Some(format!("Product {other} not found")));
        }
    }

    #[test]
    fn a_given_product_is_asked_for_by_its_encoded_name() {
        assert_eq!(choose(&context(None)).path, "/products/random/");
        assert_eq!(choose(&context(Some("7"))).path, "/products/7/");
        assert_eq!(choose(&context(Some("a/b ?"))).path, "/products/a%2Fb%20%3F/");
    }

    #[test]
    fn the_amount_is_sent_as_exact_text() {
        let body = charge(&context(None)).body.unwrap();
        assert!(body.contains(r#""amount":"99.90""#), "{body}");
    }

    #[test]
    fn an_answer_is_read_only_if_it_is_the_participants_and_of_this_saga() {
        const OURS: &str = r#""transaction_id":"00000000-0000-0000-0000-000000000000""#;
        const FOREIGN: &str = r#""transaction_id":"00000000-0000-0000-0000-000000000001""#;
        type Case = (Operation, Option<&'static str>, String, bool);
        let done =
            |transaction: &str| format!(r#"{{"status":"success",{transaction},"payment_id":1,"purchase_id":1}}"#);
        let undone = |status: &str, transaction: &str| format!(r#"{{"status":"{status}",{transaction}}}"#);
        let taken =
            |product: &str| format!(r#"{{"status":"success","product_id":"{product}","remaining_quantity":1}}"#);
        let cases: Vec<Case> = vec![
            (operations::product(), None, r#"{"product_id":3}"#.to_owned(), true),
            (operations::product(), Some("3"), r#"{"product_id":3}"#.to_owned(), true),
            (operations::product(), Some("4"), r#"{"product_id":3}"#.to_owned(), false),
            (operations::charge(), None, done(OURS), true),
            (operations::charge(), None, done(FOREIGN), false),
            (operations::charge(), None, done(OURS).replace("success", "maintenance"), false),
            (operations::charge(), None, r#"{"status":"success","payment_id":1}"#.to_owned(), false),
            (operations::refund(), None, undone("compensated", OURS), true),
            (operations::refund(), None, undone("compensated", FOREIGN), false),
            (operations::refund(), None, undone("success", OURS), false),
            (operations::refund(), None, r#"{"status":"compensated"}"#.to_owned(), false),
            (operations::decrease(), None, taken("7"), true),
            (operations::decrease(), None, taken("8"), false),
            (operations::decrease(), None, taken("7").replace("success", "error"), false),
            (operations::create(), None, done(OURS), true),
            (operations::create(), None, done(FOREIGN), false),
            (operations::restore(), None, undone("success", OURS), true),
            (operations::restore(), None, undone("compensated", OURS), false),
            (operations::cancel(), None, undone("success", OURS), true),
            (operations::cancel(), None, undone("success", FOREIGN), false),
        ];
        for (operation, product, body, is_read) in cases {
            let read = (operation.read)(&context(product), body.as_bytes());
            assert_eq!(read.is_ok(), is_read, "{} {body}: {read:?}", operation.name);
        }
    }
}
