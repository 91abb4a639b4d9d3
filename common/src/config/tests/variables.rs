//! Variables and flags: what they set, which are ours, and which are misspelt.

use super::*;
use crate::config::FlagSetting;

fn with_variables(variables: &[(&str, &str)]) -> ConfigSource {
    let mut source = ConfigSource::embedded("default");
    source.env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    source
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let source = with_variables(&[
        ("ECOMMERCE_PG_BIN", "/usr/lib/postgresql"),
        ("PATH", "/bin"),
        ("ECOMMERCE", "x"),
        // Kubernetes and Docker make these of a service `ecommerce-payments`.
        ("ECOMMERCE_PAYMENTS_SERVICE_HOST", "10.0.0.1"),
        ("ECOMMERCE_PAYMENTS_SERVICE_PORT_HTTP", "8002"),
        ("ECOMMERCE_PAYMENTS_PORT", "tcp://10.0.0.1:8002"),
        ("ECOMMERCE_PAYMENTS_PORT_8002_TCP_PROTO", "tcp"),
    ]);
    assert_eq!(source.load().expect("valid").warnings, []);
}

#[test]
fn a_variable_that_misspells_a_key_is_a_problem_that_names_the_right_one() {
    for (name, right) in [
        ("ECOMMERCE_HTTP_BIND", "ECOMMERCE__HTTP__BIND"),
        ("ecommerce__http__bind", "ECOMMERCE__HTTP__BIND"),
        ("ecommerce_http_bind", "ECOMMERCE__HTTP__BIND"),
        ("Ecommerce__Http__Bnd", "ECOMMERCE__HTTP__BND"),
        ("ECOMMERCE_HTTP__BIND", "ECOMMERCE__HTTP__BIND"),
        ("ECOMMERCE_ORCHESTRATOR_NODE_ID", "ECOMMERCE__ORCHESTRATOR__NODE_ID"),
        ("ECOMMERCE_AUTH_API_TOKEN_FILE", "ECOMMERCE__AUTH__API_TOKEN_FILE"),
        ("ECOMMERCE_DATABASE_URL_FILE", "ECOMMERCE__DATABASE__URL_FILE"),
        ("ECOMMERCE_PARTICIPANTS_TIMEOUT_MS", "ECOMMERCE__PARTICIPANTS__TIMEOUT_MS"),
        ("ECOMMERCE_PARTICIPANTS_MY_CARS_CONNECT_TIMEOUT_MS", "ECOMMERCE__PARTICIPANTS__MY_CARS__CONNECT_TIMEOUT_MS"),
        ("ECOMMERCE_PARTICIPANTS_FLIGHTS_TOKEN_FILE", "ECOMMERCE__PARTICIPANTS__FLIGHTS__TOKEN_FILE"),
    ] {
        let expected = format!("environment variable {name}: is not a variable of this program, expected {right}");
        check(&with_variables(&[(name, "hush")]), &[&expected]);
    }
}

#[test]
fn another_unknown_variable_of_this_program_is_a_warning() {
    for (name, advice) in [
        ("ECOMMERCE_HTTP_BND", "did you mean ECOMMERCE__HTTP__BIND?"),
        ("ecommerce_target", "did you mean ECOMMERCE_TARGET?"),
        ("ECOMMERCE_PROFIL", "did you mean ECOMMERCE_PROFILE?"),
        ("ECOMMERCE_STAGE_OF_ANOTHER_PROGRAM", "settings are named ECOMMERCE__SECTION__KEY"),
    ] {
        let warnings = with_variables(&[(name, "hush")]).load().expect("valid").warnings;
        let expected =
            format!("environment variable {name}: is not a variable of this program and is ignored; {advice}");
        assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn a_flag_is_above_the_variables_is_checked_as_they_are_and_is_named() {
    let with = |flag, key: &str, value: &str| {
        let source = ConfigSource::embedded("default").with(key, 1);
        ConfigSource { flags: vec![FlagSetting::new(flag, key, value)], ..source }
    };
    let settings = with("--node-id", "orchestrator.node_id", "b").load().expect("valid");
    assert_eq!(settings.orchestrator.node_id, "b");
    assert_eq!(settings.reload.expect("loaded").load().expect("valid").orchestrator.node_id, "b");
    for id in ["a b", " ", "é", "a\n", &"x".repeat(101)] {
        let expected = format!(
            "orchestrator.node_id (--node-id): is {id:?}, expected at most 100 visible ASCII characters without \
             spaces, or none"
        );
        check(&with("--node-id", "orchestrator.node_id", id), &[&expected]);
    }
    check(
        &with("--port", "services.catalog.port", "70000"),
        &["services.catalog.port (--port): is 70000, expected a whole number from 0 to 65535"],
    );
    check(
        &with("--hold", "orchestrator.hold", "perhaps"),
        &[
            "orchestrator.hold (environment variable ECOMMERCE__ORCHESTRATOR__HOLD): cannot be read, expected true or \
             false such as false",
            "orchestrator.hold (--hold): cannot be read, expected true or false such as false",
        ],
    );
    // One process may have the port of another service, which runs elsewhere; the address follows.
    let settings = with("--port", "services.catalog.port", "8002").load().expect("valid");
    assert_eq!(settings.service("catalog").url, "http://127.0.0.1:8002");
}
