//! `simulate` from the command line.

use serde_json::Value;
use tests::files::TemporaryFolder;

use crate::program::run;

#[test]
fn a_hundred_seeds_hold_and_say_what_they_went_through() {
    let ran = run(&["simulate", "--seeds", "0..100", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["clean"], &report["seeds"]), (&Value::from(true), &Value::from(100)));
    for what in ["sagas", "crashes", "takeovers", "tombstones_hit", "in_doubt"] {
        assert!(report["exercised"][what].as_u64().unwrap() > 0, "{what}: {report}");
    }
}

#[test]
fn sagas_of_another_graph_are_chosen_by_name() {
    for name in ["diamond", "random"] {
        let ran = run(&["simulate", "--definition", name, "--seeds", "0..20", "--json"]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(report["exercised"]["compensated"].as_u64().unwrap() > 0, "{name}: {report}");
    }
}

#[test]
fn one_seed_is_traced_the_same_way_every_time() {
    let [first, second] = [0, 1].map(|_| run(&["simulate", "--seeds", "7..8", "--nodes", "2", "--trace"]));
    assert_eq!(first.code, 0, "{}", first.err);
    let trace = |out: &str| out.lines().take_while(|line| !line.starts_with('╭')).collect::<Vec<_>>().join("\n");
    assert!(first.out.contains("client          orders saga 1"), "{}", first.out);
    let table_at = first.out.find("exercised").unwrap();
    assert_eq!(first.out[..table_at], second.out[..table_at]);
    assert!(trace(&first.out).len() > 100);
}

#[test]
fn faults_come_from_a_file_and_a_bad_one_is_named() {
    let folder = TemporaryFolder::new();
    let quiet = folder.path().join("quiet.toml");
    std::fs::write(&quiet, "refusal_rate = 0.0\ncrashes = 0\ncrash_at_write_rate = 0.0\ntwin_rate = 0.0\n").unwrap();
    let ran = run(&["simulate", "--seeds", "0..20", "--faults", quiet.to_str().unwrap(), "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["exercised"]["crashes"], 0);
    let bad = folder.path().join("bad.toml");
    std::fs::write(&bad, "lost_replies = 0.5\n").unwrap();
    let ran = run(&["simulate", "--faults", bad.to_str().unwrap()]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("bad.toml") && ran.err.contains("lost_replies"), "{}", ran.err);
}

#[test]
fn bad_seeds_are_refused_with_what_to_write() {
    for (arguments, expected) in [
        (vec!["simulate", "--seeds", "5"], "A..B"),
        (vec!["simulate", "--seeds", "5..5"], "larger"),
        (vec!["simulate", "--seeds", "0..9", "--trace"], "one seed"),
        (vec!["simulate", "--definition", "circle"], "write one of checkout, chain"),
    ] {
        let ran = run(&arguments);
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.err.contains(expected), "{arguments:?}: {}", ran.err);
    }
}
