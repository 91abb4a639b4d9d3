//! The outputs of a saga, by step. Rows hold them flat: as `step.name`, and those of a purchase by names of their own.

use std::collections::BTreeMap;

use serde_json::Value;
use smol_str::SmolStr;

use crate::checkout;
use saga_engine::definition::Outputs;

/// Outputs by step and name.
pub(super) type ByStep = BTreeMap<SmolStr, BTreeMap<SmolStr, Value>>;

pub(super) fn by_step(outputs: &Outputs) -> ByStep {
    let mut steps = ByStep::new();
    for (name, value) in outputs.iter() {
        let (step, name) = match name.split_once('.') {
            Some((step, name)) => (SmolStr::new(step), SmolStr::new(name)),
            None => match checkout::step_of_output(name) {
                Some(step) => (SmolStr::new_static(step), name.clone()),
                // A mark that retention left.
                None => continue,
            },
        };
        steps.entry(step).or_default().insert(name, value.clone());
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outputs_of_files_and_of_purchases_stand_under_their_steps() {
        let mut outputs = Outputs::one("flight.booking", 7);
        outputs.merge(Outputs::one("payment_id", "42"));
        outputs.merge(Outputs::one("stock_is_unknown", "1"));
        let expected = json!({ "charge": { "payment_id": "42" }, "flight": { "booking": 7 } });
        assert_eq!(serde_json::to_value(by_step(&outputs)).unwrap(), expected);
    }
}
