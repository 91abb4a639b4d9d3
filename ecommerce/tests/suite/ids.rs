//! Parts of ids, and their completion in a shell, with a real orchestrator.

use std::process::Command;

use serde_json::Value;

use crate::{
    cli::answering,
    program::{Ran, Server, command, finish, run},
    support::Folder,
};

/// Buys once and returns the id.
fn order(front: &str) -> String {
    let ran = run(&["order", "--user", "me", "--amount", "9.99", "--json", "--target", front]);
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    answer["transaction_id"].as_str().unwrap().to_owned()
}

/// Completes the last of these words as the script of a shell does.
fn complete(front: &str, words: &[&str]) -> Ran {
    let mut completion: Command = command(&["--", "ecommerce"]);
    completion.args(words).env("ECOMMERCE_COMPLETE", "bash").env("ECOMMERCE_TARGET", front);
    finish(completion.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_IFS", "\n"))
}

#[test]
fn a_unique_part_of_an_id_is_enough_and_shells_complete_it() {
    let folder = Folder::new();
    let mut up = Server::up(&folder.path().join("data"));
    let front = up.wait_until_up();
    let ids: Vec<String> = (0..7).map(|_| order(&front)).collect();
    let status = |part: &str| run(&["status", part, "--target", &front]);

    let id = &ids[3];
    let last = &id[28..];
    for part in [&id[..35], &id.replace('-', "")[..31], last, &format!("…{last}"), &last.to_uppercase()] {
        let ran = status(part);
        assert!(ran.code == 0 && ran.out.contains(id.as_str()), "{part}: {ran:?}");
    }
    // The first four digits of an id change every 50 days.
    let ambiguous = status(&id[..4]);
    assert_eq!(ambiguous.code, 2, "{ambiguous:?}");
    let shown = ids.iter().filter(|id| ambiguous.err.contains(id.as_str())).count();
    assert!(shown == 5 && ambiguous.err.contains("and more"), "{ambiguous:?}");
    assert!(ids[2..].iter().all(|id| ambiguous.err.contains(id.as_str())), "the newest: {ambiguous:?}");
    let unknown = status("ffffffff");
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(unknown.error().contains("newest 1000"), "{unknown:?}");

    let watched = run(&["watch", last, "--target", &front]);
    assert!(watched.code == 0 && watched.out.contains("COMPLETED"), "{watched:?}");
    let inspected = run(&["inspect", last, "-o", "yaml", "--target", &front]);
    assert!(inspected.code == 0 && inspected.out.contains("participants:"), "{inspected:?}");
    assert_eq!(run(&["cancel", last, "--target", &front]).code, 4, "it has ended");

    let all = complete(&front, &["status", &id[..4]]);
    assert_eq!((all.code, all.out.lines().count()), (0, 7), "{all:?}");
    assert!(ids.iter().all(|id| all.out.contains(id.as_str())), "{all:?}");
    assert_eq!(complete(&front, &["retry", last]).out.trim_end(), id);
    assert_eq!(complete(&front, &["sagas", "show", &id[..35]]).out.trim_end(), id);
    up.stop();
    let away = complete(&front, &["status", &id[..4]]);
    assert_eq!((away.code, away.err.as_str()), (0, ""), "nothing is completed: {away:?}");
}

#[test]
fn profiles_are_completed() {
    let ran = complete("", &["up", "--profile", ""]);
    for profile in ["development", "bench", "production"] {
        assert!(ran.out.lines().any(|line| line == profile), "{profile}: {ran:?}");
    }
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../config");
    let some = complete("", &["up", "--config-dir", config, "--profile", "be"]);
    assert_eq!(some.out.trim_end(), "bench", "{some:?}");
}

#[test]
fn a_caller_that_may_not_list_is_told_to_give_the_whole_id() {
    let (target, _) = answering("403 Forbidden", r#"{"detail":"this route needs the operator token"}"#);
    let ran = run(&["status", "deadbeef", "--target", &target]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.error().contains("a whole id does not"), "{ran:?}");
}
