//! Values of flags and variables: what cannot be used is refused before anything is done, and the message says what to
//! write.

use crate::program::{Ran, command, finish, run};

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
    // The port of another service, which runs elsewhere, is no mistake: only the database is missing.
    check_usage(&run(&["serve", "payments", "--port", "8000"]), &["no database is configured"]);
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
