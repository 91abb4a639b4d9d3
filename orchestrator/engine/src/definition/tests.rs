//! Definitions for the engine's tests, and the graphs that are none.

use serde_json::Value;

use super::*;

/// A read, a step with a compensation, a step without one, and another step with a compensation.
pub(crate) fn four_steps() -> Arc<Definition> {
    let steps = vec![
        step("choose", READ),
        step("charge", undone()),
        step("decrease", Effect::Uncompensated),
        step("create", undone()),
    ];
    Arc::new(Definition::new("four-steps", 1, steps).unwrap())
}

/// One step, two steps beside each other, and one after both.
pub(crate) fn diamond() -> Arc<Definition> {
    let steps = vec![
        step("a", undone()),
        step("b", undone()).after(&["a"]),
        step("c", undone()).after(&["a"]),
        step("d", undone()).after(&["b", "c"]),
    ];
    Arc::new(Definition::new("diamond", 1, steps).unwrap())
}

pub(crate) fn step(name: &str, effect: Effect) -> Step {
    Step::new(name, "p", operation(name), effect)
}

pub(crate) fn undone() -> Effect {
    Effect::Compensable(operation("undo"))
}

fn operation(name: &str) -> Operation {
    Operation::new(name, |_| Request::new(Method::Get, "/", None), |_, _| Ok::<_, ReplyError>(Outputs::default()))
}

pub(crate) const READ: Effect = Effect::ReadOnly { refusal: None, refuse: |_| None };

#[test]
fn a_graph_that_breaks_a_rule_is_refused() {
    let check = |steps: Vec<Step>| Definition::new("d", 1, steps).map(|_| ()).unwrap_err().to_string();
    let many = (0..=MAX_STEPS).map(|index| step(&format!("s{index}"), undone())).collect();
    let cases: Vec<(Vec<Step>, &str)> = vec![
        (vec![], "definition d has no steps"),
        (many, "definition d has 101 steps: at most 100 are possible"),
        (vec![step("a", READ), step("a", READ)], "step a occurs twice in definition d"),
        (
            vec![step("a", Effect::Uncompensated), step("b", READ)],
            "step b of definition d reads after a step with an effect",
        ),
        (vec![step("a", undone()).after(&["z"])], "step a of definition d comes after z, which is not a step of it"),
        (vec![step("a", undone()).after(&["a"])], "steps of definition d wait for each other: a"),
        (
            vec![step("a", undone()), step("b", undone()).after(&["c"]), step("c", undone()).after(&["a", "b"])],
            "steps of definition d wait for each other: b, c",
        ),
    ];
    for (steps, expected) in cases {
        assert_eq!(check(steps), expected);
    }
}

#[test]
fn a_read_beside_a_step_with_an_effect_is_allowed() {
    Definition::new("d", 1, vec![step("a", undone()), step("b", READ).after(&[])]).unwrap();
}

#[test]
fn steps_know_what_comes_before_and_behind_them() {
    let diamond = diamond();
    let sets = |index| (diamond.before(index).collect::<Vec<_>>(), diamond.behind(index).collect::<Vec<_>>());
    assert_eq!(sets(0), (vec![], vec![1, 2, 3]));
    assert_eq!(sets(1), (vec![0], vec![3]));
    assert_eq!(sets(2), (vec![0], vec![3]));
    assert_eq!(sets(3), (vec![0, 1, 2], vec![]));
    assert_eq!(four_steps().predecessors(2), [1]);
}

#[test]
fn waits_double_up_to_the_longest_and_never_fall_below_the_interval() {
    let seconds = Duration::from_secs;
    let retries = Retries { interval: seconds(10), longest: seconds(60), limit: None };
    assert_eq!([1, 2, 3, 4, 40].map(|tries| retries.wait(tries).as_secs()), [10, 20, 40, 60, 60]);
    let long = Retries { interval: seconds(100), ..retries };
    assert_eq!([1, 9].map(|tries| long.wait(tries).as_secs()), [100, 100]);
}

#[test]
fn outputs_of_later_steps_join_those_of_earlier_ones() {
    let mut outputs = Outputs::one("product_id", "7");
    outputs.merge(Outputs::one("payment_id", 42));
    assert_eq!(serde_json::to_string(&outputs).unwrap(), r#"{"payment_id":42,"product_id":"7"}"#);
    assert_eq!(outputs.text("product_id"), Some("7"));
    assert_eq!(outputs.get("purchase_id"), None);
}

#[test]
fn outputs_that_no_row_could_hold_are_known() {
    for (value, fit) in [
        (Value::from("42"), true),
        (Value::from("4\u{0}2"), false),
        (Value::from("4".repeat(1_001)), false),
        (serde_json::json!({ "a": [1, "b"] }), true),
        (serde_json::json!({ "a": "b\u{0}" }), false),
        (serde_json::json!({ "a\u{0}": ["b"] }), false),
        (serde_json::json!(["a backslash and letters: \\u0000"]), true),
        (serde_json::json!(vec![1; 600]), false),
    ] {
        assert_eq!(Outputs::one("payment_id", value.clone()).fit_the_log(), fit, "{value}");
    }
}
