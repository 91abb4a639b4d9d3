//! A participant that nobody has written a twin for: it keeps a journal like all others and answers what its step can
//! read. So a step on a new participant is simulated from the day on which it stands in the definition.

use serde_json::{Map, Value, json};

use super::journal::{Ask, Coin, Decided, Journal, Reply};
use crate::saga::definition::Step;

/// As many fields as an answer may need.
const MAX_FIELDS: usize = 32;

/// The participant.
#[derive(Clone, Debug, Default)]
pub struct Anybody {
    pub(super) journal: Journal,
}

impl Anybody {
    /// Decides the action of a step.
    pub fn act(&mut self, ask: &Ask<'_>, step: &Step, transaction: &str) -> Reply {
        let contents = vec![ask.request.body.clone()];
        let refusal = || r#"{"status":"error","message":"refused"}"#.to_owned();
        self.journal.act(
            ask,
            transaction,
            contents,
            |_| refusal(),
            |coin| match coin {
                Coin::Accept => Decided { status: 200, body: readable(step) },
                Coin::Refuse => Decided { status: 409, body: refusal() },
            },
        )
    }

    /// Undoes it.
    pub fn compensate(&mut self, ask: &Ask<'_>, transaction: &str) -> Reply {
        let refusal = || r#"{"status":"error","message":"undone before"}"#.to_owned();
        self.journal.compensate(ask, transaction, refusal, |_| r#"{"status":"success"}"#.to_owned())
    }
}

/// Finds a body that the step can read, by asking its reader what is missing: the names of the fields are known to
/// nobody else.
fn readable(step: &Step) -> String {
    let mut body = Map::from_iter([("status".to_owned(), json!("success"))]);
    for _ in 0..MAX_FIELDS {
        let text = Value::Object(body.clone()).to_string();
        let Err(error) = (step.read)(text.as_bytes()) else { return text };
        let said = error.to_string();
        let missing = said.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        match missing {
            Some(field) => body.insert(field.to_owned(), json!(1)),
            // A field of another type than a number: nearly always a text.
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
    use crate::checkout::{StockRule, definition};
    use crate::saga::definition::{Effect, Method, Outputs, Request};

    #[test]
    fn every_step_can_read_what_it_is_answered() {
        for step in definition(StockRule::Restore).unwrap().steps {
            assert!((step.read)(readable(&step).as_bytes()).is_ok(), "{}", step.name);
        }
    }

    #[test]
    fn texts_and_numbers_are_found() {
        fn read(body: &[u8]) -> Result<Outputs, serde_json::Error> {
            #[derive(serde::Deserialize)]
            struct Shipped {
                parcels: u8,
                tracking: String,
            }
            let Shipped { parcels, tracking } = serde_json::from_slice(body)?;
            Ok(Outputs::one("tracking", format!("{parcels}/{tracking}")))
        }
        let step = Step {
            name: "ship",
            participant: "shipping",
            effect: Effect::Uncompensated,
            action: |_| Request { method: Method::Post, path: "/".into(), body: None },
            read,
        };
        assert_eq!((step.read)(readable(&step).as_bytes()).unwrap().get("tracking"), Some("1/1"));
    }
}
