//! A generic participant, for steps on participants without a simulated one. It keeps a journal like all others and
//! replies with bodies that its step can read. So a step on a new participant is simulated as soon as it is in a
//! definition.

use serde_json::{Map, Value, json};

use super::journal::{Ask, Decided, FailureDraw, Journal, Reply};
use saga_engine::definition::{Context, Operation};

/// Maximum number of changes to a body until it can be read.
const MAX_FIELDS: usize = 32;

/// A generic participant.
#[derive(Clone, Debug, Default)]
pub struct GenericParticipant {
    pub(super) journal: Journal,
}

impl GenericParticipant {
    /// Replies to the action of a step.
    pub fn act(&mut self, ask: &Ask<'_>, operation: &Operation, context: &Context) -> Reply {
        let contents = vec![ask.request.body.clone()];
        let refusal = || r#"{"status":"error","message":"refused"}"#.to_owned();
        self.journal.act(
            ask,
            &context.saga_id.to_string(),
            contents,
            |_| refusal(),
            |draw| match draw {
                FailureDraw::Accept => Decided { status: 200, body: readable(operation, context) },
                FailureDraw::Refuse => Decided { status: 409, body: refusal() },
            },
        )
    }

    /// Replies to the compensation of a step.
    pub fn compensate(&mut self, ask: &Ask<'_>, operation: &Operation, context: &Context) -> Reply {
        let refusal = || r#"{"status":"error","message":"undone before"}"#.to_owned();
        let transaction = context.saga_id.to_string();
        self.journal.compensate(ask, &transaction, refusal, |_| readable(operation, context))
    }
}

/// Finds a body that an operation can read. Only the operation's reader knows the fields, so missing ones are taken
/// from its errors. The body starts with the request's fields, `status` and `transaction_id`, as with all participants.
pub(super) fn readable(operation: &Operation, context: &Context) -> String {
    let asked = (operation.request)(context).ok().and_then(|request| request.body);
    let asked: Map<String, Value> = asked.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
    let bodies = ["success", "compensated"].map(|status| {
        let mut body = asked.clone();
        body.insert("status".to_owned(), json!(status));
        body.insert("transaction_id".to_owned(), json!(context.saga_id));
        filled(body, operation, context)
    });
    let can_be_read = |body: &&String| (operation.read)(context, body.as_bytes()).is_ok();
    bodies.iter().find(can_be_read).unwrap_or(&bodies[0]).clone()
}

fn filled(mut body: Map<String, Value>, operation: &Operation, context: &Context) -> String {
    for _ in 0..MAX_FIELDS {
        let text = Value::Object(body.clone()).to_string();
        let Err(error) = (operation.read)(context, text.as_bytes()) else { return text };
        let said = error.to_string();
        let missing = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        match missing {
            Some(field) => body.insert(field.to_owned(), json!(1)),
            // A field that is not a number is nearly always a text.
            None => {
                let last = body.iter().rev().find(|(_, value)| value.is_number()).map(|(name, _)| name.clone());
                last.and_then(|name| body.insert(name, json!("1")))
            }
        };
    }
    Value::Object(body).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::UserId;
    use common::money::Money;
    use orchestrator::checkout::{Order, StockRule, definition};
    use saga_engine::SagaId;
    use saga_engine::definition::{Method, Outputs, Request};
    use uuid::Uuid;

    fn context() -> Context {
        let user_id = UserId::parse("user-123").unwrap();
        let input = Order { user_id, product_id: None, amount: Money::parse("99.9").unwrap() }.to_input();
        Context { saga_id: SagaId(Uuid::nil()), attempt: 1, input, outputs: Outputs::one("product_id", "7") }
    }

    #[test]
    fn every_operation_can_be_answered() {
        let context = context();
        for step in definition(StockRule::Restore).unwrap().steps() {
            for operation in [Some(&step.action), step.compensation()].into_iter().flatten() {
                let body = readable(operation, &context);
                assert!((operation.read)(&context, body.as_bytes()).is_ok(), "{}: {body}", operation.name);
            }
        }
    }

    #[test]
    fn texts_and_numbers_are_found() {
        fn read(_: &Context, body: &[u8]) -> Result<Outputs, serde_json::Error> {
            #[derive(serde::Deserialize)]
            struct Shipped {
                parcels: u8,
                tracking: String,
            }
            let Shipped { parcels, tracking } = serde_json::from_slice(body)?;
            Ok(Outputs::one("tracking", format!("{parcels}/{tracking}")))
        }
        let request = |_: &Context| Request::new(Method::Post, "/", None);
        let (ship, context) = (Operation::new("ship", request, read), context());
        let body = readable(&ship, &context);
        assert_eq!((ship.read)(&context, body.as_bytes()).unwrap().text("tracking"), Some("1/1"));
    }
}
