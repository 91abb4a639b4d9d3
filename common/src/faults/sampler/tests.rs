//! The draws are fair, and the same on every replica and in every version.

use serde_json::json;

use super::*;

const IDS: usize = 10_000;

fn sampler(service: &'static str, seed: u64, faults: OperationFaults) -> FaultSampler {
    let operations = BTreeMap::from([("charge".to_owned(), faults), ("refund".to_owned(), faults)]);
    FaultSampler::new(
        service,
        &FaultSettings { enabled: true, seed, services: BTreeMap::from([(service.to_owned(), operations)]) },
    )
}

fn failing(failure_rate: f64) -> OperationFaults {
    OperationFaults { failure_rate, ..OperationFaults::default() }
}

/// Counts the ids that meet a fate.
fn count(fate: impl Fn(&str) -> bool) -> usize {
    (0..IDS).filter(|number| fate(&format!("transaction-{number}"))).count()
}

/// With 10,000 fair draws the standard deviation is 50; 250 is five of them.
fn is_about(expected: f64, hits: usize) -> bool {
    (hits as f64 - expected * IDS as f64).abs() < 250.0
}

#[test]
fn one_transaction_meets_one_fate_on_every_replica() {
    let (here, there) = (sampler("payments", 7, failing(0.5)), sampler("payments", 7, failing(0.5)));
    let differing = count(|id| here.decision("charge", id) != there.decision("charge", id));
    assert_eq!(differing, 0);
    let changing = count(|id| here.decision("charge", id) != here.decision("charge", id));
    assert_eq!(changing, 0);
}

/// A seed reproduces whole runs, so the draws must not change between versions either.
#[test]
fn the_fates_of_a_seed_do_not_change_between_versions() {
    let sampler = sampler("payments", 7, failing(0.5));
    let fates: String = (0..16)
        .map(|number| match sampler.decision("charge", &format!("transaction-{number}")) {
            FailureDraw::Accept => '+',
            FailureDraw::Refuse => '-',
        })
        .collect();
    assert_eq!(fates, "+-++-+++-++---+-");
}

#[test]
fn a_rate_is_the_share_of_transactions_that_are_refused() {
    for rate in [0.1, 0.5, 0.9] {
        let sampler = sampler("payments", 1, failing(rate));
        let refused = count(|id| sampler.decision("charge", id) == FailureDraw::Refuse);
        assert!(is_about(rate, refused), "{refused} of {IDS} at {rate}");
    }
}

#[test]
fn rate_0_never_fails_and_rate_1_always_does() {
    let never = sampler("payments", 1, OperationFaults::default());
    let always = sampler(
        "payments",
        1,
        OperationFaults {
            failure_rate: 1.0,
            unavailable_rate: 1.0,
            lost_reply_rate: 1.0,
            cut_connection_rate: 1.0,
            duplicate_rate: 1.0,
            latency_ms: LatencyRange::default(),
        },
    );
    let everything = TransportFate { unavailable: true, cut_connection: true, lost_reply: true, duplicate: true };
    assert_eq!(count(|id| never.decision("charge", id) == FailureDraw::Refuse), 0);
    assert_eq!(count(|id| never.transport("charge", id, "1") != TransportFate::default()), 0);
    assert_eq!(count(|id| always.decision("charge", id) == FailureDraw::Refuse), IDS);
    assert_eq!(count(|id| always.transport("charge", id, "1") == everything), IDS);
}

#[test]
fn an_operation_without_settings_has_no_faults() {
    let sampler = sampler("payments", 1, failing(1.0));
    assert_eq!(sampler.decision("unheard-of", "transaction-1"), FailureDraw::Accept);
    assert_eq!(sampler.latency("unheard-of"), Duration::ZERO);
}

/// With rate 0.5 two independent draws agree on half of the transactions.
#[test]
fn coins_of_other_services_operations_seeds_attempts_and_kinds_are_independent() {
    let half = OperationFaults {
        failure_rate: 0.5,
        unavailable_rate: 0.5,
        lost_reply_rate: 0.5,
        cut_connection_rate: 0.5,
        duplicate_rate: 0.5,
        latency_ms: LatencyRange::default(),
    };
    let (payments, inventory, other_seed) =
        (sampler("payments", 1, half), sampler("inventory", 1, half), sampler("payments", 2, half));
    let charge = |sampler: &FaultSampler, id: &str| sampler.decision("charge", id) == FailureDraw::Refuse;
    let fate = |id: &str, attempt: &str| payments.transport("charge", id, attempt);

    let agreements = [
        ("services", count(|id| charge(&payments, id) == charge(&inventory, id))),
        ("seeds", count(|id| charge(&payments, id) == charge(&other_seed, id))),
        ("operations", count(|id| payments.decision("charge", id) == payments.decision("refund", id))),
        ("attempts", count(|id| fate(id, "1").unavailable == fate(id, "2").unavailable)),
        ("decision and unavailable", count(|id| charge(&payments, id) == fate(id, "").unavailable)),
        ("unavailable and cut", count(|id| fate(id, "1").unavailable == fate(id, "1").cut_connection)),
        ("cut and lost", count(|id| fate(id, "1").cut_connection == fate(id, "1").lost_reply)),
        ("lost and duplicate", count(|id| fate(id, "1").lost_reply == fate(id, "1").duplicate)),
        ("duplicate and unavailable", count(|id| fate(id, "1").duplicate == fate(id, "1").unavailable)),
    ];
    for (pair, agreed) in agreements {
        assert!(is_about(0.5, agreed), "{pair} agree on {agreed} of {IDS}");
    }
    let (all, three) = (0.5f64.powi(4), 0.5f64.powi(3));
    let all_of_them = count(|id| {
        let fate = fate(id, "1");
        fate.unavailable && fate.cut_connection && fate.lost_reply && fate.duplicate
    });
    assert!(is_about(all, all_of_them), "all four kinds hit {all_of_them} of {IDS}");
    let saga_completes = count(|id| {
        let decide = |sampler: &FaultSampler, operation| sampler.decision(operation, id) == FailureDraw::Accept;
        decide(&payments, "charge") && decide(&inventory, "charge") && decide(&other_seed, "charge")
    });
    assert!(is_about(three, saga_completes), "three draws accept {saga_completes} of {IDS}");
}

#[test]
fn parts_of_a_coin_do_not_run_into_each_other() {
    let sampler = sampler("payments", 1, failing(0.5));
    let differing = count(|id| {
        let longer = format!("{id}1");
        sampler.hits(0.5, 1, ["k", "o", id, "11"]) != sampler.hits(0.5, 1, ["k", "o", &longer, "1"])
    });
    assert!(is_about(0.5, differing), "{differing} of {IDS}");
}

#[test]
fn latency_stays_in_its_range_and_fills_it() {
    let range = LatencyRange { min: 100, max: 300 };
    let sampler = sampler("payments", 1, OperationFaults { latency_ms: range, ..OperationFaults::default() });
    let drawn: Vec<Duration> = (0..2_000).map(|_| sampler.latency("charge")).collect();
    let (least, most) = (drawn.iter().min().expect("drawn"), drawn.iter().max().expect("drawn"));
    assert!((Duration::from_millis(100)..Duration::from_millis(110)).contains(least), "{least:?}");
    assert!((Duration::from_millis(290)..=Duration::from_millis(300)).contains(most), "{most:?}");
}

#[test]
fn a_seed_repeats_its_latencies() {
    let range = LatencyRange { min: 0, max: 1_000 };
    let faults = OperationFaults { latency_ms: range, ..OperationFaults::default() };
    let draw = |sampler: FaultSampler| -> Vec<Duration> { (0..10).map(|_| sampler.latency("charge")).collect() };
    let first = draw(sampler("payments", 1, faults));
    assert_eq!(first, draw(sampler("payments", 1, faults)));
    assert_ne!(first, draw(sampler("payments", 2, faults)));
}

#[test]
fn a_change_lasts_until_settings_are_replaced() {
    let sampler = sampler("payments", 1, failing(0.5));
    let configured = FaultSettings {
        enabled: true,
        seed: 1,
        services: BTreeMap::from([("payments".to_owned(), (*sampler.settings()).clone())]),
    };
    sampler.apply_json(br#"{"seed": 9, "charge": {"failure_rate": 1, "latency_ms": {"max": 50}}}"#).expect("valid");
    let changed = sampler.settings()["charge"];
    assert_eq!((sampler.seed(), changed.failure_rate, changed.latency_ms.max), (9, 1.0, 50));
    assert_eq!(sampler.settings()["refund"], failing(0.5), "an omitted member stays");
    assert!(!sampler.is_news(&configured), "the configuration is unchanged");

    sampler.replace(configured);
    assert_eq!((sampler.seed(), sampler.settings()["charge"]), (1, failing(0.5)));
}

#[test]
fn what_get_shows_put_takes() {
    let sampler = sampler("payments", 1, failing(0.25));
    let shown = sampler.json();
    assert_eq!(shown["seed"], json!(1));
    assert_eq!(shown["charge"]["failure_rate"], json!(0.25));
    sampler.apply_json(br#"{"charge": {"failure_rate": 0.75}}"#).expect("valid");
    sampler.apply_json(shown.to_string().as_bytes()).expect("valid");
    assert_eq!(sampler.json(), shown);
}

#[test]
fn a_bad_change_names_every_bad_field_and_changes_nothing() {
    let sampler = sampler("payments", 1, failing(0.5));
    let before = sampler.json();
    let body = json!({
        "seed": -1,
        "chrage": {},
        "charge": {"failure_rate": 1.5, "falure_rate": 0, "duplicate_rate": "0.5", "latency_ms": {"min": 5, "max": 1}},
        "refund": {"unavailable_rate": 1, "latency_ms": {"min": 600_001, "mox": 1}, "speed": 3},
    });
    let Err(ChangeError::Fields(errors)) = sampler.apply_json(body.to_string().as_bytes()) else {
        panic!("the change was accepted");
    };
    let mut lines: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "charge.duplicate_rate: expected a number from 0 to 1",
            "charge.failure_rate: expected a number from 0 to 1",
            "charge.falure_rate: unknown, did you mean failure_rate?",
            "charge.latency_ms: min 5 is greater than max 1",
            "chrage: unknown, did you mean charge?",
            "refund.latency_ms.min: expected a whole number from 0 to 600000",
            "refund.latency_ms.mox: unknown, did you mean max?",
            "refund.speed: unknown, expected one of failure_rate, unavailable_rate, lost_reply_rate, \
             cut_connection_rate, duplicate_rate, latency_ms",
            "seed: expected a whole number from 0 to 9223372036854775807",
        ]
    );
    assert_eq!(sampler.json(), before);
}

#[test]
fn a_body_that_is_no_object_is_malformed() {
    let sampler = sampler("payments", 1, failing(0.5));
    for body in ["", "{", "[]", "1", "null", "\u{feff}{}"] {
        let outcome = sampler.apply_json(body.as_bytes());
        assert!(matches!(outcome, Err(ChangeError::Malformed(_))), "{body:?}");
    }
}
