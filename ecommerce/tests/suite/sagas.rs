//! `sagas check` from the command line.

use serde_json::{Value, json};
use tests::files::TemporaryFolder;

use crate::program::run;

const TRIP: &str = r#"name = "trip"
version = 1
[[steps]]
name = "flight"
participant = "flights"
action = { method = "POST", path = "/bookings" }
compensation = { method = "DELETE", path = "/bookings/{saga.id}" }
[[steps]]
name = "back"
participant = "flights"
uncompensated = true
action = { method = "POST", path = "/bookings" }
"#;

#[test]
fn a_definition_is_checked_without_starting_anything() {
    let folder = TemporaryFolder::new();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good.toml", TRIP);
    let ran = run(&["sagas", "check", &good, "--participant", "flights"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with(&format!("{good}:8: warning: steps \"flight\" and \"back\"")), "{}", ran.out);
    assert!(ran.out.ends_with(&format!("{good}: trip 1 can be used\n")), "{}", ran.out);

    let bad = file("bad.toml", &TRIP.replace("{saga.id}", "{input.id}"));
    let ran = run(&["sagas", "check", &good, &bad]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    for expected in [
        format!("{good}:5: error: there is no participant \"flights\""),
        format!("{bad}:7: error: {{input.id}} can never have a value"),
        format!("{bad}:10: error: there is no participant \"flights\""),
    ] {
        assert!(ran.out.lines().any(|line| line.starts_with(&expected)), "{expected}\n{}", ran.out);
    }

    let body = json!({ "name": "trip", "version": 1, "steps": [{ "name": "a", "participant": "catalog" }] });
    let body = file("trip.json", &body.to_string());
    let ran = run(&["sagas", "check", &body, "--json"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["clean"], &report["files"][0]["hash"]), (&json!(false), &Value::Null));
    assert_eq!(report["files"][0]["problems"][0]["pointer"], "/steps/0");

    let ran = run(&["sagas", "check", &folder.path().join("none.toml").display().to_string()]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("none.toml"), "{}", ran.err);
}
