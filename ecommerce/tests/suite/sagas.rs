//! `sagas` from the command line: sagas of any definition, and definitions.

use std::{fs, io::Write, process::Stdio};

use serde_json::{Value, json};
use tests::files::{TemporaryFolder, workspace};

use crate::{
    cli::answering,
    program::{Server, command, finish, run, up_command},
    support::Folder,
};

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

#[test]
fn files_with_one_name_and_version_are_refused_by_a_check_too() {
    let folder = TemporaryFolder::new();
    let file = |name: &str, text: &str| folder.file(name, text);
    let first = file("a.toml", TRIP);
    for second in [file("copy.toml", TRIP), file("other.toml", &TRIP.replace("\"/bookings\"", "\"/flights\""))] {
        let ran = run(&["sagas", "check", &first, &second, "--participant", "flights"]);
        assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(&format!("{first}: trip 1 can be used\n")), "{}", ran.out);
        let error = format!("{second}: error: trip/1 is in {first} too: raise the version of one");
        assert!(ran.out.ends_with(&format!("{error}\n")), "{}", ran.out);
    }
    let later = file("later.toml", &TRIP.replace("version = 1", "version = 2"));
    for other in [&later, &first] {
        let ran = run(&["sagas", "check", &first, other, "--participant", "flights"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    }
}

#[test]
fn the_participants_of_the_configuration_are_known_to_a_check() {
    let folder = TemporaryFolder::new();
    let file = folder.path().join("trip.toml");
    fs::write(&file, TRIP).unwrap();
    fs::copy(workspace().join("config/default.toml"), folder.path().join("default.toml")).unwrap();
    fs::write(folder.path().join("mine.toml"), "[participants.flights]\nurl = 'http://127.0.0.1:9'\n").unwrap();
    let mut check = command(&["sagas", "check", "--profile", "mine", "--config-dir"]);
    let ran = finish(check.arg(folder.path()).arg(&file));
    assert_eq!(ran.code, 0, "{ran:?}");

    let file = file.to_str().unwrap();
    let mut check = command(&["sagas", "check", file]);
    let ran = finish(check.env("ECOMMERCE__PARTICIPANTS__FLIGHTS__URL", "http://127.0.0.1:9"));
    assert_eq!(ran.code, 0, "{ran:?}");

    let mut check = command(&["sagas", "check", file]);
    let ran = finish(check.env("ECOMMERCE__PARTICIPANTS__FLIGHTS__URRL", "http://127.0.0.1:9"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("URRL"), "{ran:?}");
}

const DONE: &str = r#"{"saga_id":"s-1","definition":"trip","version":2,"status":"COMPLETED",
    "outputs":{"flight":{"price":19.90,"seat":"12A"}},"timestamp":"2026-01-01T00:00:00Z"}"#;

#[test]
fn a_saga_is_run_with_its_input_as_it_is_and_shown_with_its_outputs() {
    let folder = TemporaryFolder::new();
    let input = folder.path().join("input.json");
    fs::write(&input, r#"{ "price": 19.90, "city": "Lima" }"#).unwrap();
    let input = input.to_str().unwrap();
    let (target, asked) = answering("200 OK", DONE);
    let ran = run(&["sagas", "run", "trip", "--input", input, "--key", "order-4711", "--target", &target]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in ["s-1", "trip/2", "COMPLETED", "flight", "19.90", "12A"] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
    let request = asked.join().unwrap();
    assert!(request.starts_with("POST /sagas HTTP/1.1"), "{request}");
    assert!(request.contains("idempotency-key: order-4711\r\n") && !request.contains("prefer:"), "{request}");
    assert!(request.ends_with(r#"{"definition":"trip","input":{ "price": 19.90, "city": "Lima" }}"#), "{request}");

    // `saga` is another name of the command; - is standard input.
    let (target, asked) =
        answering("202 Accepted", r#"{"saga_id":"s-2","status":"PENDING","timestamp":"2026-01-01T00:00:00Z"}"#);
    let mut saga =
        command(&["saga", "run", "trip", "--version", "2", "--input", "-", "--no-wait", "--target", &target]);
    let mut saga = saga.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    saga.stdin.take().unwrap().write_all(b"{}").unwrap();
    let ended = saga.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    let out = String::from_utf8(ended.stdout).unwrap();
    assert!(out.contains("trip") && out.contains("PENDING"), "{out}");
    assert!(ended.status.success() && err.contains("`ecommerce sagas show s-2`"), "{err}");
    let request = asked.join().unwrap();
    assert!(request.contains("prefer: respond-async\r\n"), "{request}");
    assert!(request.ends_with(r#"{"definition":"trip","version":2,"input":{}}"#), "{request}");
}

#[test]
fn the_outcome_of_a_saga_is_its_exit_code() {
    let reverted = r#"{"saga_id":"s-1","definition":"trip","version":1,"status":"COMPENSATED","outputs":{},
        "error":"409: hotels conflict","failed_step":"hotel","timestamp":"2026-01-01T00:00:00Z"}"#;
    let failed = r#"{"saga_id":"s-1","definition":"trip","version":1,"status":"FAILED","outputs":{},
        "timestamp":"2026-01-01T00:00:00Z"}"#;
    let wrong = r#"{"status":422,"detail":"/input/city is required","errors":[
        {"field":"/input/city","message":"is required"},{"field":"/input/nights","message":"\"x\" is not a number"}]}"#;
    let taken = r#"{"status":422,"detail":"the key was used for other contents"}"#;
    let busy = r#"{"status":503,"detail":"too many sagas are running"}"#;
    for (status, body, code, words) in [
        ("409 Conflict", reverted, 1, &["COMPENSATED", "hotel", "409: hotels conflict"][..]),
        ("502 Bad Gateway", failed, 1, &["FAILED", "`ecommerce sagas show s-1`"]),
        ("502 Bad Gateway", "<html>", 4, &["502"]),
        ("409 Conflict", r#"{"status":409,"detail":"not now"}"#, 4, &["not now"]),
        (
            "422 Unprocessable Content",
            wrong,
            2,
            &["\n/input/city: is required\n/input/nights: \"x\" is not a number\n"],
        ),
        ("422 Unprocessable Content", taken, 2, &["the key was used for other contents"]),
        ("503 Service Unavailable", busy, 4, &["too many sagas are running"]),
    ] {
        let (target, _) = answering(status, body);
        let ran = run(&["sagas", "run", "trip", "--target", &target]);
        assert_eq!(ran.code, code, "{status} {body} {ran:?}");
        for word in words {
            assert!(ran.out.contains(word) || ran.err.contains(word), "{word}: {ran:?}");
        }
    }
    let (target, _) = answering("409 Conflict", reverted);
    let ran = run(&["sagas", "run", "trip", "--json", "--target", &target]);
    assert_eq!((ran.code, ran.out.trim_end()), (1, reverted));
}

#[test]
fn an_input_that_cannot_be_sent_is_bad_usage() {
    let folder = TemporaryFolder::new();
    let input = folder.path().join("input.json");
    fs::write(&input, "{ city: 1 }").unwrap();
    let input = input.to_str().unwrap();
    // Nothing listens at the discard port: no request is made.
    let target = ["--target", "http://127.0.0.1:9"];
    for (arguments, word) in [
        (&["--input", input][..], "not JSON: key must be a string at line 1"),
        (&["--input", "/nowhere/input.json"], "/nowhere/input.json"),
        (&["--version", "0"], "0"),
        (&["--key", "a\nb"], "a key is text in one line"),
    ] {
        let ran = run(&[&["sagas", "run", "trip"], arguments, &target[..]].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(word), "{word}: {ran:?}");
    }
    assert_eq!(run(&["sagas", "show", "trip"]).code, 2, "a definition has a version");
}

#[test]
fn sagas_are_listed_by_definition_and_status() {
    let page = r#"{"total":1,"sagas":[{"saga_id":"s-1","definition":"trip","version":2,"status":"COMPENSATED",
        "failed_step":"car","error":"409: no car","created_at":"2026-01-01T00:00:00.5Z"}],"next_cursor":"next"}"#;
    let (target, asked) = answering("200 OK", page);
    let filters = ["--definition", "trip&co", "--status", "compensated", "--limit", "3"];
    let ran = run(&[&["sagas", "list"], &filters[..], &["--target", &target]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in ["s-1", "trip/2", "car", "409: no car", "1 of 1", "--cursor next"] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
    let request = asked.join().unwrap();
    let line = request.lines().next().unwrap();
    assert_eq!(line, "GET /sagas?limit=3&definition=trip%26co&status=COMPENSATED HTTP/1.1");
}

#[test]
fn the_help_speaks_of_purchases_and_says_once_that_they_are_sagas() {
    let ran = run(&["--help"]);
    assert_eq!(ran.out.matches("A purchase is a saga").count(), 1, "{}", ran.out);
    for name in ["status", "watch", "cancel", "attention", "retry", "resolve", "inspect"] {
        let ran = run(&[name, "--help"]);
        assert!(ran.out.contains("purchase") && !ran.out.contains(" saga "), "{}", ran.out.replace(" saga ", "[saga]"));
    }
}

#[test]
fn a_definition_is_put_once_and_what_differs_is_told() {
    let folder = TemporaryFolder::new();
    let file = folder.path().join("trip.toml");
    fs::write(&file, TRIP).unwrap();
    let path = file.to_str().unwrap();
    let put = |status, body| {
        let (target, asked) = answering(status, body);
        (run(&["sagas", "put", path, "--target", &target]), asked)
    };
    let (ran, asked) = put("201 Created", "{}");
    assert!(ran.code == 0 && ran.out.contains("trip/1 is created"), "{ran:?}");
    assert!(ran.err.contains(":8: warning: steps"), "{ran:?}");
    let request = asked.join().unwrap();
    assert!(request.starts_with("PUT /sagas/definitions/trip/1 HTTP/1.1"), "{request}");
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["steps"][1]["after"], json!(["flight"]), "the canonical form");
    let (ran, _) = put("200 OK", "{}");
    assert!(ran.code == 0 && ran.out.contains("equal"), "{ran:?}");
    let (ran, _) = put("409 Conflict", r#"{"status":409,"detail":"trip/1 is another definition (from HTTP)"}"#);
    assert!(ran.code == 1 && ran.err.contains("(from HTTP)") && ran.err.contains("version = 2"), "{ran:?}");
    let problem = r#"{"status":422,"errors":[{"field":"/steps/0/participant","message":"there is no participant"}]}"#;
    let (ran, _) = put("422 Unprocessable Content", problem);
    let line = format!("{path}:/steps/0/participant: error: there is no participant");
    assert!(ran.code == 1 && ran.err.lines().any(|one| one == line), "{ran:?}");
    let (ran, _) = put("403 Forbidden", r#"{"title":"no"}"#);
    assert!(ran.code == 4 && ran.error().contains("operator token"), "{ran:?}");

    // An error that the file itself shows is reported without a request.
    fs::write(&file, TRIP.replace("{saga.id}", "{input.id}")).unwrap();
    let ran = run(&["sagas", "put", path, "--target", "http://127.0.0.1:9"]);
    assert!(ran.code == 1 && ran.err.contains(":7: error: {input.id} can never have a value"), "{ran:?}");
}

/// Payment and stock at once.
const SHOP: &str = r#"name = "shop"
version = 1
[input]
type = "object"
required = ["user", "product"]
properties = { user = { type = "string" }, product = { type = "integer" } }
[[steps]]
name = "charge"
participant = "payments"
action = { method = "POST", path = "/payments/", body = { user_id = "{input.user}", transaction_id = "{saga.id}", amount = 5 } }
compensation = { method = "POST", path = "/payments/by-transaction/{saga.id}/refund/", body = {} }
outputs = { payment = "/payment_id" }
[[steps]]
name = "stock"
participant = "inventory"
after = []
action = { method = "POST", path = "/inventory/decrease/", body = { product_id = "{input.product}", quantity = 1, transaction_id = "{saga.id}" } }
compensation = { method = "POST", path = "/inventory/restore/by-transaction/{saga.id}/", body = {} }
"#;

#[test]
fn a_saga_that_is_no_purchase_goes_through_every_command() {
    let folder = Folder::new();
    let (file, input) = (folder.path().join("shop.toml"), folder.path().join("input.json"));
    fs::write(&file, SHOP).unwrap();
    fs::write(&input, r#"{ "user": "u", "product": 1 }"#).unwrap();
    let (file, input) = (file.to_str().unwrap(), input.to_str().unwrap());
    let mut up = Server::start(&mut up_command(&folder.path().join("data")));
    let front = up.wait_until_up();
    let ran = |arguments: &[&str]| run(&[arguments, &["--target", &front]].concat());

    let put = ran(&["sagas", "put", file]);
    assert!(put.code == 0 && put.out.contains("shop/1 is created"), "{put:?}");
    assert!(ran(&["sagas", "put", file]).out.contains("equal"));
    let definition = ran(&["sagas", "show", "shop/1"]);
    assert!(definition.out.ends_with(" start ─► charge, stock\n"), "{}", definition.out);
    assert!(ran(&["sagas", "show", "checkout/1"]).out.contains(" charge   ─► decrease"));
    fs::write(file, SHOP.replace("amount = 5", "amount = 6")).unwrap();
    let differs = ran(&["sagas", "put", file]);
    assert!(differs.code == 1 && differs.err.contains("version = 2"), "{differs:?}");
    fs::write(file, SHOP.replace("\"payments\"", "\"banks\"").replace("version = 1", "version = 2")).unwrap();
    let refused = ran(&["sagas", "put", file]);
    assert!(refused.code == 1 && refused.err.contains(":/steps/0/participant: error: "), "{refused:?}");

    let done = ran(&["sagas", "run", "shop", "--input", input, "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let done: Value = serde_json::from_str(&done.out).unwrap();
    let id = done["saga_id"].as_str().unwrap();
    let wrong = ran(&["sagas", "run", "shop"]);
    assert!(wrong.code == 2 && wrong.err.contains("\n/input: "), "{wrong:?}");
    let unknown = ran(&["sagas", "run", "shopp"]);
    assert!(unknown.code == 2 && unknown.err.contains("\ndefinition: there is no definition shopp"), "{unknown:?}");

    let shown = ran(&["sagas", "show", id]);
    for word in ["shop/1", "COMPLETED", "payment", "inventory", r#""product":1"#] {
        assert!(shown.out.contains(word), "{word}: {}", shown.out);
    }
    assert_eq!(ran(&["sagas", "show", "0190a2f0-0000-7000-8000-0000deadbeef"]).code, 4);
    assert_eq!(ran(&["order", "--user", "u", "--amount", "1"]).code, 0);
    for list in [&["sagas", "list", "--definition", "shop"][..], &["list"], &["status", id], &["inspect", id]] {
        let listed = ran(list);
        assert_eq!(listed.code, 0, "{listed:?}");
        assert!(listed.out.contains(id) && listed.out.contains("shop"), "{listed:?}");
        let is_text_of_services = list[0] == "inspect";
        assert!(is_text_of_services || !listed.out.contains("null"), "{listed:?}");
    }
    let inspected = ran(&["inspect", id]).out;
    assert!(inspected.contains("payments") && inspected.contains("done"), "its steps: {inspected}");
    assert!(!inspected.contains("purchases"), "a service without a part in it: {inspected}");
    assert!(ran(&["sagas", "list"]).out.contains("checkout/1"));
    assert_eq!(ran(&["watch", id]).code, 0);
    for refused in [&["cancel", id][..], &["retry", id], &["resolve", id, "--note", "n"]] {
        let refused = ran(refused);
        assert!(refused.code == 4 && refused.err.contains("COMPLETED"), "{refused:?}");
        assert!(refused.err.contains("the saga ") && !refused.err.contains("purchase"), "{refused:?}");
    }
    up.stop();
}
