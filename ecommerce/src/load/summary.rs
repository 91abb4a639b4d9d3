//! The figures of a run: a table for people, JSON for machines.

use hdrhistogram::Histogram;
use orchestrator::invariants::Report;
use serde_json::{Value, json};

use super::{
    expectation::{Expectation, RefusalRate},
    pace::Pace,
    run::RunResults,
    tally::{Kind, NOT_REFUSED, Tally},
};
use crate::{ending::Failure, output};

/// The quantiles shown, by name.
pub(super) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];
/// Half the width of each share's interval, in standard deviations: all four shares are inside theirs with a probability of
/// 95 %.
const WIDTH_95: f64 = 2.5;

/// An outcome: its count, and its expected share by the failure rates in force.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Share {
    pub(super) name: String,
    pub(super) count: u64,
    /// Share of all ended purchases, from 0 to 1.
    pub(super) seen: f64,
    /// Expected share, if known.
    pub(super) expected: Option<f64>,
}

/// The figures of a run.
pub(super) struct Summary {
    pub(super) shares: Vec<Share>,
    rows: Vec<(Kind, u64, Vec<u64>)>,
    all: (u64, Vec<u64>),
    pub(super) total: u64,
    wanted: u64,
    pub(super) per_second: f64,
    took_s: f64,
    loop_: String,
    pub(super) stock: String,
    expectation: Expectation,
    notes: Vec<String>,
    errors: Vec<(String, u64)>,
    asked_again: u64,
    limited: u64,
    followed: u64,
    left: u64,
    unwell: u64,
}

impl Summary {
    pub(super) fn new(ran: &RunResults, stock: String, expectation: Expectation) -> Self {
        let tally = &ran.tally;
        let total = tally.total();
        let took_s = ran.took.as_secs_f64();
        let rows = Kind::ALL.map(|kind| (kind, tally.count(kind), quantiles(tally.latencies(kind)))).to_vec();
        let mut notes = Vec::new();
        if ran.left > 0 {
            notes.push(format!("{} were started but not awaited; they end on their own (`ecommerce list`)", ran.left));
        }
        if total < ran.wanted {
            notes.push(format!("stopped after {total} of {} purchases", ran.wanted));
        }
        let unwell = tally.count(Kind::Failed) + tally.count(Kind::Unknown);
        let expectation = expectation.after(unwell + tally.refused_by.get(NOT_REFUSED).copied().unwrap_or(0));
        Self {
            shares: shares(tally, total, expectation.rates()),
            rows,
            all: (total, quantiles(&tally.all_latencies())),
            total,
            wanted: ran.wanted,
            per_second: total as f64 / took_s.max(0.001),
            took_s,
            loop_: match ran.pace {
                Pace::Closed => format!("closed loop, {} buyers", ran.concurrency),
                Pace::Open { rate } => format!("open loop, {rate} per second, at most {} at once", ran.concurrency),
            },
            stock,
            expectation,
            notes,
            errors: tally.errors.iter().map(|(why, count)| (why.clone(), *count)).collect(),
            asked_again: tally.asked_again,
            limited: tally.limited,
            followed: tally.followed,
            left: ran.left,
            unwell,
        }
    }

    /// Returns whether every purchase begun ended COMPLETED or COMPENSATED.
    pub(super) fn all_ended_well(&self) -> bool {
        self.unwell == 0 && self.left == 0
    }

    /// Compares the share of every outcome with the expected one.
    pub(super) fn expectation(&self) -> String {
        let (rates, unanswered) = match &self.expectation {
            Expectation::Refusals { rates, unanswered } => (rates, unanswered),
            Expectation::Nothing(why) => return format!("expected shares: none computed, since {why}"),
        };
        let expected: Vec<_> = self.shares.iter().filter_map(|share| Some((share, share.expected?))).collect();
        let Some((completed, rest)) = expected.split_first() else {
            return "expected shares: none computed, since no participant can refuse".to_owned();
        };
        let mut set: Vec<String> =
            rates.iter().map(|rate| format!("{} refuses {}", rate.participant, percent(rate.rate))).collect();
        set.extend(unanswered.iter().cloned());
        let margin = |expected: f64| WIDTH_95 * (expected * (1.0 - expected) / self.total.max(1) as f64).sqrt();
        let compared = |(share, expected): &(&Share, f64)| {
            let margin = percent(margin(*expected));
            format!("{} {}, expected {} ± {margin}", share.name, percent(share.seen), percent(*expected))
        };
        let is_off =
            |(share, expected): &&(&Share, f64)| (share.seen - expected).abs() > margin(*expected) + f64::EPSILON;
        let off: Vec<String> = rest.iter().filter(is_off).map(compared).collect();
        let verdict = match (is_off(&completed), off.is_empty()) {
            (false, true) if unanswered.is_empty() => "within chance, as every other outcome".to_owned(),
            (false, true) => "within chance, as every other outcome; every call was answered in the end".to_owned(),
            (true, true) => "outside the 95 % interval".to_owned(),
            (_, false) => format!("outside the 95 % interval: {}", off.join("; ")),
        };
        format!("{} ({}): {verdict}", compared(completed), set.join(", "))
    }

    /// The facts of the run, one per line.
    pub(super) fn facts(&self) -> Vec<String> {
        let mut facts = vec![
            format!(
                "{} of {} purchases in {:.1} s: {:.1} per second ({})",
                self.total, self.wanted, self.took_s, self.per_second, self.loop_
            ),
            self.expectation(),
            format!("stock: {}", self.stock),
        ];
        let busy = self.asked_again.saturating_sub(self.limited);
        if busy > 0 {
            facts.push(format!("{busy} retries, when the system was busy or gave no answer"));
        }
        if self.limited > 0 {
            facts.push(format!(
                "{} retries after 429, each delayed by its Retry-After: the measured rate is the rate limit \
                 (rate_limit.per_second), which does not apply to an operator's --token",
                self.limited
            ));
        }
        if self.followed > 0 {
            facts.push(format!("{} were accepted (202) and polled until they ended", self.followed));
        }
        facts.extend(self.notes.iter().cloned());
        facts.extend(self.errors.iter().map(|(why, count)| format!("error, {count} times: {why}")));
        facts
    }

    /// The lines of the table: outcome, count, share, expected share, and the quantiles in milliseconds.
    pub(super) fn table(&self) -> Vec<[String; 8]> {
        let line = |name: &str, count: u64, expected: Option<f64>, quantiles: &[u64]| {
            let ms = |index: usize| match count {
                0 => "–".to_owned(),
                _ => millis(quantiles[index]),
            };
            let share = percent(count as f64 / self.total.max(1) as f64);
            let expected = expected.map_or_else(|| "–".to_owned(), percent);
            [name.to_owned(), count.to_string(), share, expected, ms(0), ms(1), ms(2), ms(3)]
        };
        let completed = self.shares.first().and_then(|share| share.expected);
        let expected = |kind| match kind {
            Kind::Completed => completed,
            Kind::Compensated => completed.map(|completed| 1.0 - completed),
            Kind::Failed | Kind::Unknown => completed.map(|_| 0.0),
        };
        let is_shown = |(kind, count, _): &&(Kind, u64, Vec<u64>)| *count > 0 || *kind <= Kind::Failed;
        let rows = self.rows.iter().filter(is_shown);
        let rows = rows.map(|(kind, count, quantiles)| line(kind.name(), *count, expected(*kind), quantiles));
        rows.chain([line("all", self.all.0, None, &self.all.1)]).collect()
    }

    pub(super) fn shown(&self) -> String {
        let rows = self.table().into_iter().map(|[name, rest @ ..]| {
            let mut cells = vec![output::state(&name)];
            cells.extend(rest.map(output::cell));
            <[_; 8]>::try_from(cells).unwrap_or_else(|_| unreachable!("the table has eight columns"))
        });
        let table = output::table(HEADER, rows);
        let facts: Vec<String> = self.facts().iter().map(|fact| output::printable(fact)).collect();
        format!("{table}\n{}", facts.join("\n"))
    }

    /// The whole summary as JSON. Latencies are in milliseconds.
    pub(super) fn json(&self, report: Option<String>, audit: Option<&Report>) -> Result<String, Failure> {
        let figures = |count: u64, quantiles: &[u64]| -> Value {
            let named = QUANTILES.iter().zip(quantiles);
            let mut all: serde_json::Map<String, Value> =
                named.map(|((name, _), micros)| (format!("{name}_ms"), json!(*micros as f64 / 1000.0))).collect();
            all.insert("count".to_owned(), json!(count));
            Value::Object(all)
        };
        let outcomes: serde_json::Map<String, Value> = self
            .rows
            .iter()
            .map(|(kind, count, quantiles)| (kind.name().to_owned(), figures(*count, quantiles)))
            .chain([("all".to_owned(), figures(self.all.0, &self.all.1))])
            .collect();
        let shares: Vec<Value> = self
            .shares
            .iter()
            .map(|share| json!({"outcome": share.name, "count": share.count, "seen": share.seen, "expected": share.expected}))
            .collect();
        let errors: Vec<Value> = self.errors.iter().map(|(why, count)| json!({"error": why, "count": count})).collect();
        let document = json!({
            "sagas": self.total,
            "wanted": self.wanted,
            "left": self.left,
            "seconds": self.took_s,
            "per_second": self.per_second,
            "loop": self.loop_,
            "stock": self.stock,
            "outcomes": outcomes,
            "shares": shares,
            "expectation": self.expectation(),
            "asked_again": self.asked_again,
            "rate_limited": self.limited,
            "followed": self.followed,
            "errors": errors,
            "report": report,
            "audit": audit.map(|report| json!({"clean": report.is_clean(), "report": report})),
        });
        serde_json::to_string_pretty(&document).map_err(|error| Failure::broken("the figures", &error))
    }
}

/// The column headers of [`Summary::table`].
pub(super) const HEADER: [&str; 8] = ["outcome", "count", "share", "expected", "p50 ms", "p90 ms", "p99 ms", "max ms"];

fn quantiles(histogram: &Histogram<u64>) -> Vec<u64> {
    QUANTILES.iter().map(|(_, quantile)| histogram.value_at_quantile(*quantile)).collect()
}

/// Completed first, then refusals by participant in the order of the saga, then the rest.
fn shares(tally: &Tally, total: u64, rates: &[RefusalRate]) -> Vec<Share> {
    let share = |name: &str, count: u64, expected: Option<f64>| {
        let seen = count as f64 / total.max(1) as f64;
        Share { name: name.to_owned(), count, seen, expected }
    };
    let mut reached = 1.0;
    let mut refused = Vec::new();
    let mut others = tally.refused_by.clone();
    for RefusalRate { participant, rate } in rates {
        let count = others.remove(*participant).unwrap_or(0);
        refused.push(share(&format!("refused by {participant}"), count, Some(reached * rate)));
        reached *= 1.0 - rate;
    }
    let (known, none) = if rates.is_empty() { (None, None) } else { (Some(reached), Some(0.0)) };
    let mut shares = vec![share("completed", tally.count(Kind::Completed), known)];
    shares.extend(refused);
    shares.extend(others.into_iter().map(|(name, count)| match name.as_str() {
        NOT_REFUSED => share("reverted otherwise", count, none),
        participant => share(&format!("refused by {participant}"), count, none),
    }));
    for (kind, name) in [(Kind::Failed, "failed"), (Kind::Unknown, "unknown")] {
        if tally.count(kind) > 0 {
            shares.push(share(name, tally.count(kind), none));
        }
    }
    shares
}

/// Formats a share from 0 to 1 as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Formats microseconds as milliseconds, with about three digits.
fn millis(micros: u64) -> String {
    let ms = micros as f64 / 1000.0;
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.0}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::buyer::*, *};

    /// Each of the three refuses half of its requests.
    fn halves(unanswered: &[&str]) -> Expectation {
        let rates = ["payments", "inventory", "purchases"].map(|participant| RefusalRate { participant, rate: 0.5 });
        Expectation::Refusals {
            rates: rates.to_vec(),
            unanswered: unanswered.iter().map(ToString::to_string).collect(),
        }
    }

    fn nothing() -> Expectation {
        Expectation::Nothing("the failure rates in force cannot be read".to_owned())
    }

    fn ran(outcomes: &[(Outcome, u32)], left: u64) -> RunResults {
        let mut tally = Tally::default();
        for (outcome, count) in outcomes {
            for _ in 0..*count {
                let bought = Bought { outcome: outcome.clone(), asked_again: 0, limited: 0, was_followed: false };
                tally.add(bought, Duration::from_millis(100), Duration::from_millis(20));
            }
        }
        let wanted = tally.total() + left;
        RunResults { tally, took: Duration::from_secs(2), wanted, concurrency: 3, pace: Pace::Closed, left }
    }

    #[test]
    fn what_is_expected_follows_from_the_failure_rates() {
        let refused = |by: &str| Outcome::Compensated(Some(by.to_owned()));
        let outcomes = [
            (Outcome::Completed, 12),
            (refused("payments"), 50),
            (refused("inventory"), 26),
            (refused("purchases"), 12),
        ];
        let summary = Summary::new(&ran(&outcomes, 0), String::new(), halves(&[]));
        let expected: Vec<_> = summary.shares.iter().map(|share| share.expected.unwrap()).collect();
        assert_eq!(expected, [0.125, 0.5, 0.25, 0.125]);
        let counts: Vec<_> = summary.shares.iter().map(|share| share.count).collect();
        assert_eq!(counts, [12, 50, 26, 12]);
        assert!(summary.expectation().contains("12.0 %, expected 12.5 %"), "{}", summary.expectation());
        assert!(summary.expectation().ends_with("within chance, as every other outcome"), "{}", summary.expectation());
        assert!(summary.all_ended_well());

        // A share of 1/2 instead of 1/8 is beyond any random deviation at n = 100.
        let half = [(Outcome::Completed, 50), (refused("payments"), 50)];
        let summary = Summary::new(&ran(&half, 0), String::new(), halves(&[]));
        assert!(summary.expectation().contains("outside the 95 % interval"), "{}", summary.expectation());
    }

    #[test]
    fn every_outcome_is_judged_and_not_only_the_completed_ones() {
        let verdict =
            |outcomes: &[(Outcome, u32)]| Summary::new(&ran(outcomes, 0), String::new(), halves(&[])).expectation();
        let failed = verdict(&[(Outcome::Completed, 1), (Outcome::Failed, 4)]);
        assert!(failed.contains("failed 80.0 %, expected 0.0 %") && !failed.contains("within chance"), "{failed}");
        let refused = |by: &str| Outcome::Compensated(Some(by.to_owned()));
        let other = verdict(&[(Outcome::Completed, 12), (refused("payments"), 10), (refused("purchases"), 78)]);
        assert!(other.contains("refused by inventory 0.0 %, expected 25.0 %"), "{other}");
    }

    #[test]
    fn lost_replies_leave_the_expectation_as_it_is_until_they_decide_a_purchase() {
        let refused = |by: &str| Outcome::Compensated(Some(by.to_owned()));
        let mut outcomes = vec![
            (Outcome::Completed, 12),
            (refused("payments"), 50),
            (refused("inventory"), 26),
            (refused("purchases"), 12),
        ];
        let summary = |outcomes: &[(Outcome, u32)], unanswered: &[&str]| {
            Summary::new(&ran(outcomes, 0), String::new(), halves(unanswered))
        };
        let lossy = ["payments charge loses replies"];
        let answered = summary(&outcomes, &lossy).expectation();
        assert!(answered.contains("payments charge loses replies"), "{answered}");
        assert!(answered.ends_with("within chance, as every other outcome; every call was answered in the end"));
        outcomes.push((Outcome::Compensated(None), 6));
        let given_up = summary(&outcomes, &lossy);
        assert!(given_up.shares.iter().all(|share| share.expected.is_none()), "{:?}", given_up.shares);
        let text = given_up.expectation();
        assert!(text.contains("none computed, since 6 purchases were neither completed nor refused"), "{text}");
        assert!(!text.contains("interval"), "{text}");
        // Without such a setting nothing explains them.
        let unexplained = summary(&outcomes, &[]).expectation();
        assert!(unexplained.contains("reverted otherwise 5.7 %, expected 0.0 %"), "{unexplained}");
    }

    #[test]
    fn a_purchase_that_failed_or_whose_end_nobody_knows_or_waited_for_is_no_good_end() {
        for outcome in [Outcome::Failed, Outcome::Unknown("answered 500".to_owned())] {
            assert!(!Summary::new(&ran(&[(outcome, 1)], 0), String::new(), nothing()).all_ended_well());
        }
        assert!(!Summary::new(&ran(&[(Outcome::Completed, 1)], 1), String::new(), nothing()).all_ended_well());
    }

    #[test]
    fn without_the_rates_nothing_is_expected() {
        let summary = Summary::new(&ran(&[(Outcome::Compensated(None), 1)], 0), String::new(), nothing());
        assert!(summary.shares.iter().all(|share| share.expected.is_none()), "{:?}", summary.shares);
        assert!(summary.expectation().contains("none computed, since the failure rates"), "{}", summary.expectation());
        let table = summary.shown();
        for word in ["COMPLETED", "COMPENSATED", "p99 ms", "20", "0.5 per second"] {
            assert!(table.contains(word), "{word}: {table}");
        }
    }
}
