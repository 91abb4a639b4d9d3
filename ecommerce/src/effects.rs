//! The effects of a purchase on money and stock, in one sentence.

use crate::{
    output,
    steps::{Settled, Step, Takeover},
};

/// Describes the effects of a purchase that has ended or turned back; `None` for a purchase that still runs forward, and for
/// a saga of another definition.
///
/// The time of an effect is that of the answer to the first and only request. After a repeated request or a takeover the
/// effect may be older than the answer: an earlier answer was lost, or an earlier owner died with it.
pub(crate) fn in_words(
    status: &str,
    amount: &str,
    product: Option<&str>,
    steps: &[Step],
    takeovers: &[Takeover],
) -> Option<String> {
    let at = |settled: Option<Settled<'_>>| moment(settled, takeovers.is_empty());
    let step =
        |name: &str, participant: &str| steps.iter().find(|step| step.step == name && step.participant == participant);
    let (charge, decrease) = (step("charge", "payments")?, step("decrease", "inventory")?);
    if status == "PENDING" {
        return None;
    }
    let has_ended = matches!(status, "COMPLETED" | "COMPENSATED");
    let unit = format!("one unit of product {}", product.unwrap_or("?"));
    let stock = match (decrease.action.as_str(), decrease.state.as_str()) {
        ("done" | "unknown", "compensated") => Some(format!("{unit} was put back")),
        ("done", _) if status == "COMPLETED" => Some(format!("{unit} was taken from the stock")),
        ("done", _) if has_ended => Some(format!("{unit} stays taken (the shop's rule)")),
        ("done", _) => Some(format!("{unit} is taken")),
        ("unknown", _) => Some(format!("it is not known whether {unit} was taken")),
        _ => None,
    };
    let money = match (charge.action.as_str(), charge.state.as_str()) {
        ("done", "compensated") => {
            Some(format!("{amount} was taken{} and given back{}", at(charge.finished()), at(charge.undone())))
        }
        ("unknown", "compensated") => {
            Some(format!("{amount} may have been taken; if so, it was given back{}", at(charge.undone())))
        }
        ("done", _) if status == "COMPLETED" => Some(format!("{amount} was taken{}", at(charge.finished()))),
        ("done", _) => Some(format!("{amount} was taken{} and is not given back yet", at(charge.finished()))),
        ("unknown", _) => Some(format!("it is not known yet whether {amount} was taken")),
        _ => None,
    };
    Some(output::printable(&match (money, stock) {
        (None, None) => "neither money nor stock was taken".to_owned(),
        (Some(money), None) => format!("{money}; no stock was taken"),
        (None, Some(stock)) => format!("no money was taken; {stock}"),
        (Some(money), Some(stock)) => format!("{money}; {stock}"),
    }))
}

/// Formats the time of day in UTC with tenths of a second, from RFC 3339.
fn moment(settled: Option<Settled<'_>>, has_first_owner: bool) -> String {
    let Some((attempts, clock)) = settled.and_then(|Settled { at, attempts }| Some((attempts, at.get(11..21)?))) else {
        return String::new();
    };
    let word = if attempts == 1 && has_first_owner { "at" } else { "by" };
    format!(" {word} {clock}Z")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The steps of a purchase by action and state, with the attempts at the charge and at the refund.
    fn steps(charge: [&str; 2], decrease: [&str; 2], [attempts, refund_attempts]: [u64; 2]) -> Vec<Step> {
        let step = |name: &str, participant: &str, [action, state]: [&str; 2]| {
            json!({
                "step": name, "participant": participant, "action": action, "state": state, "attempts": attempts,
                "started_at": null, "finished_at": "2026-01-01T20:30:14.612345Z", "error": null,
                "compensation": { "attempts": refund_attempts, "finished_at": "2026-01-01T20:30:14.912345Z", "error": null },
            })
        };
        let steps = json!([step("charge", "payments", charge), step("decrease", "inventory", decrease)]);
        serde_json::from_value(steps).unwrap()
    }

    fn words(status: &str, charge: [&str; 2], decrease: [&str; 2]) -> Option<String> {
        in_words(status, "9.99", Some("8"), &steps(charge, decrease, [1, 1]), &[])
    }

    #[test]
    fn each_end_says_what_became_of_the_money_and_the_stock() {
        const TAKEN: &str = "9.99 was taken at 20:30:14.6Z";
        const UNDONE: [&str; 2] = ["done", "compensated"];
        let refunded = format!("{TAKEN} and given back at 20:30:14.9Z");
        for (status, charge, decrease, expected) in [
            ("COMPLETED", ["done"; 2], ["done"; 2], format!("{TAKEN}; one unit of product 8 was taken from the stock")),
            (
                "COMPENSATED",
                UNDONE,
                ["done"; 2],
                format!("{refunded}; one unit of product 8 stays taken (the shop's rule)"),
            ),
            ("COMPENSATED", UNDONE, UNDONE, format!("{refunded}; one unit of product 8 was put back")),
            ("COMPENSATED", UNDONE, ["refused"; 2], format!("{refunded}; no stock was taken")),
            ("COMPENSATED", ["refused"; 2], ["pending"; 2], "neither money nor stock was taken".to_owned()),
            // The compensation of what was refused is a precaution.
            ("COMPENSATED", ["refused", "compensated"], ["pending"; 2], "neither money nor stock was taken".to_owned()),
            (
                "COMPENSATED",
                ["unknown", "compensated"],
                ["pending"; 2],
                "9.99 may have been taken; if so, it was given back at 20:30:14.9Z; no stock was taken".to_owned(),
            ),
            (
                "FAILED",
                ["done", "compensating"],
                ["done"; 2],
                format!("{TAKEN} and is not given back yet; one unit of product 8 is taken"),
            ),
            (
                "COMPENSATING",
                ["unknown"; 2],
                ["pending"; 2],
                "it is not known yet whether 9.99 was taken; no stock was taken".to_owned(),
            ),
        ] {
            assert_eq!(words(status, charge, decrease), Some(expected), "{status} {charge:?} {decrease:?}");
        }
        assert_eq!(words("PENDING", ["done"; 2], ["pending"; 2]), None);
        assert_eq!(in_words("COMPLETED", "9.99", None, &[], &[]), None, "a saga of another definition");
    }

    #[test]
    fn a_time_is_exact_only_if_the_first_answer_arrived_at_the_first_owner() {
        let words = |attempts, takeovers: serde_json::Value| {
            let steps = steps(["done", "compensated"], ["refused"; 2], attempts);
            let takeovers: Vec<Takeover> = serde_json::from_value(takeovers).unwrap();
            in_words("COMPENSATED", "9.99", Some("8"), &steps, &takeovers).unwrap()
        };
        let taken_over = json!([{ "node": "n", "epoch": 2, "at": null, "unowned_ms": null }]);
        for (said, expected) in [
            (words([1, 1], json!([])), "at 20:30:14.6Z and given back at 20:30:14.9Z"),
            (words([4, 1], json!([])), "by 20:30:14.6Z and given back at 20:30:14.9Z"),
            (words([1, 2], json!([])), "at 20:30:14.6Z and given back by 20:30:14.9Z"),
            (words([1, 1], taken_over), "by 20:30:14.6Z and given back by 20:30:14.9Z"),
        ] {
            assert_eq!(said, format!("9.99 was taken {expected}; no stock was taken"));
        }
    }
}
