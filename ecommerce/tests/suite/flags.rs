//! Values of flags and variables: what cannot be used is refused before anything is done, and the message says what to
//! write.

use std::{fs, net::TcpListener};

use tests::foreign_participant::ForeignParticipant;
use tokio::runtime::Runtime;

use crate::{
    cli::answering,
    program::{Ran, command, finish, run},
    support::Folder,
};

const PAGE: &str = r#"{"total":0,"transactions":[],"next_cursor":null}"#;

fn check_usage(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 2, "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "{word}: {ran:?}");
    }
}

#[test]
fn a_flag_of_serve_is_checked_like_the_setting_that_it_stands_for() {
    let expected = "expected at most 100 visible ASCII characters without spaces";
    for id in ["a b", "  ", "é", "a\nb", &"x".repeat(101)] {
        check_usage(&run(&["serve", "orchestrator", "--node-id", id]), &["--node-id", expected]);
    }
    check_usage(&run(&["serve", "payments", "--node-id", "a"]), &["--node-id is for the orchestrator"]);
    check_usage(&run(&["serve", "payments", "--hold"]), &["--hold is for the orchestrator"]);
    check_usage(&run(&["serve", "payments", "--database-url", "mysql://u:hush@x"]), &["--database-url", "postgres://"]);
    let secret = run(&["serve", "payments", "--database-url", "mysql://u:hush@x"]);
    assert!(!secret.err.contains("hush"), "{secret:?}");
    // A service may have the port of another one, which runs elsewhere: the only error is the missing database.
    check_usage(&run(&["serve", "payments", "--port", "8000"]), &["no database is configured"]);
}

#[test]
fn an_address_without_a_scheme_is_answered_with_the_address_to_write() {
    let id = "0190a2f0-0000-7000-8000-000000000000";
    for arguments in [
        &["list", "--target"][..],
        &["order", "--user", "u", "--amount", "1", "--target"],
        &["load", "--no-report", "--target"],
        &["status", id, "--target"],
        &["watch", "--target"],
        &["sagas", "list", "--target"],
        &["health"],
    ] {
        for address in ["127.0.0.1:21000", "localhost:21000"] {
            let ran = finish(command(arguments).arg(address));
            check_usage(&ran, &[&format!("such as http://{address}")]);
        }
        check_usage(&finish(command(arguments).arg("ftp://shop.example")), &["http://", "https://"]);
    }
    let ran = finish(command(&["list"]).env("ECOMMERCE_TARGET", "127.0.0.1:21000"));
    check_usage(&ran, &["--target", "such as http://127.0.0.1:21000"]);
}

#[test]
fn a_token_that_cannot_be_sent_is_bad_usage_and_is_not_shown() {
    let folder = Folder::new();
    let file = |name: &str, text: &str| folder.file(name, text);
    let (broken, empty, blank, good) =
        (file("broken", "hush\nhush\n"), file("empty", ""), file("blank", " \n"), file("good", "hush-in-a-file\n"));
    for (flags, words) in [
        (&["--token", "hush\nhush"][..], &["--token", "visible ASCII characters without spaces"][..]),
        (&["--token", "hush hush"], &["--token", "visible ASCII characters without spaces"]),
        (&["--token-file", &broken], &["--token-file", "visible ASCII characters without spaces"]),
        (&["--token-file", &empty], &["--token-file", "it is empty, expected a token in it"]),
        (&["--token-file", &blank], &["--token-file", "it is empty, expected a token in it"]),
        (&["--token", "hush", "--token-file", &good], &["--token", "--token-file", "give one of them"]),
    ] {
        for asked in [&["list"][..], &["order", "--user", "u", "--amount", "1"], &["watch"], &["load", "--no-report"]] {
            let ran = finish(command(asked).args(["--target", "http://127.0.0.1:1"]).args(flags));
            check_usage(&ran, words);
            assert!(!ran.err.contains("hush"), "{ran:?}");
        }
    }
    let mut both = command(&["list", "--token-file", &good]);
    check_usage(&finish(both.env("ECOMMERCE_API_TOKEN", "hush")), &["ECOMMERCE_API_TOKEN", "give one of them"]);

    for flags in
        [&["--token", "hush-in-a-file\n"][..], &["--token-file", &good], &["--token", "", "--token-file", &good]]
    {
        let (target, asked) = answering("200 OK", PAGE);
        let ran = finish(command(&["list", "--target", &target]).args(flags));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(asked.join().unwrap().contains("authorization: Bearer hush-in-a-file\r\n"));
    }

    let participant = Runtime::new().unwrap();
    let participant = participant.block_on(ForeignParticipant::start(None)).plan();
    let plan = file("plan.toml", &participant);
    let ran = run(&["conformance", "--config", &plan, "--token", "hush\nhush"]);
    check_usage(&ran, &["--token", "visible ASCII characters without spaces"]);
    assert!(!ran.err.contains("hush"), "{ran:?}");
}

#[test]
fn the_key_of_a_delivery_is_not_blank_fits_into_an_id_and_is_for_added_pieces() {
    let restock = |arguments: &[&str]| finish(command(&["restock", "--target", "http://127.0.0.1:1"]).args(arguments));
    for blank in ["", " ", "\t"] {
        check_usage(&restock(&["--add", "5", "--key", blank]), &["--key", "expected 1 to 90 characters, not blank"]);
    }
    check_usage(&restock(&["--to", "5", "--key", "d-1"]), &["--key", "cannot be used with"]);
    let long = "d".repeat(91);
    let ran = restock(&["--add", "5", "--product", "7", "--key", &long]);
    check_usage(&ran, &["--key has 91 characters, expected 1 to 90", "product 7"]);
    assert!(!ran.err.contains("transaction_id"), "{ran:?}");
    // The longest key is not refused; the orchestrator at this address is unknown to the configuration.
    let ran = restock(&["--add", "5", "--product", "7", "--key", &long[1..]]);
    assert_eq!(ran.code, 4, "{ran:?}");
}

#[test]
fn nothing_is_bought_and_no_participant_is_tested_if_the_result_cannot_be_written() {
    let (target, asked) = answering("200 OK", PAGE);
    let ran = run(&["load", "--sagas", "1", "--report", "/nope/x.html", "--target", &target]);
    assert!(ran.code == 4 && ran.error().contains("/nope/x.html") && ran.error().contains("--report"), "{ran:?}");
    assert!(ran.out.is_empty(), "no table of purchases: {ran:?}");
    assert!(asked.join().unwrap().starts_with("GET /saga/transactions"), "the only request");

    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let runtime = Runtime::new().unwrap();
    let participant = runtime.block_on(ForeignParticipant::start(None));
    let (theirs, ours) = (participant.address.to_string(), listener.local_addr().unwrap().to_string());
    let plan = folder.path().join("plan.toml");
    fs::write(&plan, participant.plan().replace(&theirs, &ours)).unwrap();
    let ran = run(&["conformance", "--config", plan.to_str().unwrap(), "--junit", "/nope/x.xml"]);
    assert!(ran.code == 4 && ran.error().contains("--junit") && ran.out.is_empty(), "{ran:?}");
    assert!(listener.accept().is_err(), "no request");
}

#[test]
fn a_definition_is_named_without_its_version_in_a_list() {
    let ran = run(&["sagas", "list", "--definition", "trip/1"]);
    check_usage(&ran, &["--definition", "expected the name without the version: trip"]);
}

#[test]
fn a_misspelled_variable_of_a_setting_is_refused() {
    for (name, right) in [
        ("ECOMMERCE_HTTP_BIND", "ECOMMERCE__HTTP__BIND"),
        ("ecommerce__http__bind", "ECOMMERCE__HTTP__BIND"),
        ("ECOMMERCE_AUTH_OPERATOR_TOKEN", "ECOMMERCE__AUTH__OPERATOR_TOKEN"),
    ] {
        let ran = finish(command(&["serve", "payments"]).env(name, "hush"));
        check_usage(&ran, &[name, right]);
        assert!(!ran.err.contains("hush"), "{ran:?}");
    }
}
