//! Tokens, passwords and URLs with passwords.

use super::*;

#[test]
fn production_requires_a_service_token_and_the_initial_stock_and_says_how_to_set_them() {
    check(
        &ConfigSource::embedded("production"),
        &[
            "auth.service_token (built-in default.toml): is not set, the production profile requires it; \
           set the environment variable ECOMMERCE__AUTH__SERVICE_TOKEN",
            "inventory.initial_stock (built-in production.toml): is not stated; \
           set the environment variable ECOMMERCE__INVENTORY__INITIAL_STOCK to a number from 0",
        ],
    );
}

#[test]
fn a_command_that_runs_no_service_needs_no_token_and_no_stock() {
    let settings = ConfigSource::embedded("production").load_for_tool().expect("valid");
    assert!(settings.is_production() && settings.auth.service_token.expose_secret().is_empty());
}

#[test]
fn tokens_are_long_and_different_in_production_and_elsewhere_a_warning_says_so() {
    let weak = |profile| {
        ConfigSource::embedded(profile)
            .with("inventory.initial_stock", 5)
            .with("auth.operator_token", "0123456789abcdef")
            .with("auth.service_token", "0123456789abcdef")
            .with("auth.api_token", "0123456789abcde")
    };
    let expected = [
        "auth.service_token (environment variable ECOMMERCE__AUTH__SERVICE_TOKEN): is the same as auth.operator_token, \
         expected a token of its own",
        "auth.api_token (environment variable ECOMMERCE__AUTH__API_TOKEN): is too short, expected at least 16 \
         characters, as `openssl rand -hex 24` makes",
    ];
    check(&weak("production"), &expected);
    let errors = weak("production").load_for_tool().expect_err("a tool refuses them too").to_string();
    assert!(!errors.contains("0123456789abcde"), "{errors}");
    let warnings = weak("development").load().expect("valid").warnings;
    assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    assert!(ConfigSource::embedded("development").load().expect("valid").warnings.is_empty());
}

#[test]
fn every_secret_may_be_in_a_file_that_a_variable_names() {
    let folder = Folder::with(&[
        ("operator", "operator-token-in-a-file\n"),
        ("url", "postgres://u:hunter2@db.example/\n"),
        ("password", "hush\r\n"),
        ("flights", "of-flights"),
        ("empty", "\n"),
    ]);
    let file = |name: &str| folder.place(name);
    let settings = production()
        .with("auth.service_token", "service-token-of-a-test")
        .with("auth.operator_token", "")
        .with("auth.operator_token_file", file("operator"))
        .with("auth.api_token_file", "")
        .with("database.url_file", file("url"))
        .with("services.payments.database_url_file", file("url"))
        .with("services.payments.database_password_file", file("password"))
        .with("participants.flights.url", "http://flights:80")
        .with("participants.flights.token_file", file("flights"))
        .load()
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(settings.auth.operator_token.expose_secret(), "operator-token-in-a-file");
    assert_eq!(settings.auth.api_token.expose_secret(), "");
    for url in [&settings.database.url, &settings.service("payments").database_url] {
        assert_eq!(url.expose_secret(), "postgres://u:hunter2@db.example/");
    }
    assert_eq!(settings.service("payments").database_password.expose_secret(), "hush");
    assert_eq!(settings.named_participants["flights"].token.expose_secret(), "of-flights");

    let token = "auth.operator_token_file";
    for (source, place, message) in [
        (
            ConfigSource::embedded("default")
                .with("auth.operator_token", "secret-of-a-test")
                .with(token, file("operator")),
            token,
            "is set twice, expected either ECOMMERCE__AUTH__OPERATOR_TOKEN or ECOMMERCE__AUTH__OPERATOR_TOKEN_FILE"
                .to_owned(),
        ),
        (
            ConfigSource::embedded("default").with(token, file("none")),
            token,
            format!("the file {} cannot be read: No such file or directory (os error 2)", file("none")),
        ),
        (
            ConfigSource::embedded("default").with(token, file("empty")),
            token,
            format!("the file {} is empty, expected a secret in it", file("empty")),
        ),
    ] {
        check(&source, &[&format!("auth.operator_token ({}): {message}", variable(place))]);
    }
    let no_secret = ConfigSource::embedded("default").with("http.bind_file", "x").load().expect_err("no secret");
    assert!(no_secret.to_string().contains("http.bind_file") && no_secret.to_string().contains("unknown key"));
}

#[test]
fn the_line_end_of_a_file_of_secrets_is_no_part_of_the_secret() {
    let settings = ConfigSource::embedded("default")
        .with("auth.operator_token", "operator\n")
        .with("auth.api_token", "api\r\n")
        .with("services.payments.database_password", "hush\n")
        .with("database.url", "postgres://u@localhost:1/\n")
        .load()
        .expect("valid");
    assert_eq!(settings.auth.operator_token.expose_secret(), "operator");
    assert_eq!(settings.auth.api_token.expose_secret(), "api");
    assert_eq!(settings.services["payments"].database_password.expose_secret(), "hush");
    assert_eq!(settings.database.url.expose_secret(), "postgres://u@localhost:1/");
    // Values of variables are trimmed anyway; those of files are taken as they are, but for secrets.
    let folder = Folder::with(&[(
        "default.toml",
        "[auth]\noperator_token = \"operator\\n\"\napi_token = \"api\\r\\n\"\n\
         [services.payments]\ndatabase_password = \"hush\\n\"\n",
    )]);
    let settings = folder.source("default").load().expect("valid");
    assert_eq!(settings.auth.operator_token.expose_secret(), "operator");
    assert_eq!(settings.auth.api_token.expose_secret(), "api");
    assert_eq!(settings.services["payments"].database_password.expose_secret(), "hush");
    let broken = ConfigSource::embedded("default").with("auth.api_token", "one\ntwo\n").load();
    assert!(broken.expect_err("a line end within").to_string().contains("auth.api_token"));
}

#[test]
fn secrets_are_in_no_error_and_no_debug_form() {
    let secret = "hunter2";
    let source = ConfigSource::embedded("default")
        .with("database.url", format!("postgres://u:{secret}@localhost:1/"))
        .with("auth.operator_token", secret);
    let settings = source.load().expect("valid");
    for shown in [format!("{settings:?}"), format!("{source:?}"), source.to_string()] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let bad = source
        .with("database.url", format!("postgres://u:{secret}@localhost:x/"))
        .with("auth.api_token", format!("{secret} ü"));
    let errors = bad.load().expect_err("bad").to_string();
    assert_eq!(errors.lines().count(), 2, "{errors}");
    assert!(!errors.contains(secret), "{errors}");
}

#[test]
fn a_service_with_a_password_logs_in_as_the_role_of_its_database() {
    let password = "p@ss'w\\rd&=%";
    for (url, host) in [
        ("postgres://admin:secret@db.example:6000/", "db.example"),
        ("postgres://db.example:6000/?connect_timeout=3", "db.example"),
        ("host=db.example user=admin password=secret port=6000", "db.example"),
    ] {
        let source = ConfigSource::embedded("default")
            .with("database.url", url)
            .with("services.payments.database", "money")
            .with("services.payments.database_password", password);
        let settings = source.load().expect("valid");
        let own: tokio_postgres::Config = settings.database_url("payments").expose_secret().parse().expect("a URL");
        assert_eq!(own.get_user(), Some("money"), "{url}");
        assert_eq!(own.get_password(), Some(password.as_bytes()), "{url}");
        assert_eq!(own.get_hosts(), [tokio_postgres::config::Host::Tcp(host.to_owned())], "{url}");
        assert_eq!(settings.database_url("catalog").expose_secret(), url, "it has no password");
        assert!(!format!("{settings:?}").contains("p@ss"));
    }
    check(
        &ConfigSource::embedded("default").with("services.payments.database_password", "no blanks"),
        &["services.payments.database_password (environment variable \
           ECOMMERCE__SERVICES__PAYMENTS__DATABASE_PASSWORD): cannot be sent, expected visible ASCII characters \
           without spaces"],
    );
}

#[test]
fn a_service_with_a_url_of_its_own_has_its_database_there() {
    let (common, own) = ("postgres://u:hunter2@all.example/", "postgres://u:hunter2@money.example/somewhere");
    let source = ConfigSource::embedded("default")
        .with("database.url", common)
        .with("services.payments.database_url", format!("{own}\n"))
        .with("services.inventory.database_url", own)
        .with("services.inventory.database_password", "own");
    let settings = source.load().expect("valid");
    for (service, url, key) in [
        ("payments", own, "services.payments.database_url"),
        ("inventory", own, "services.inventory.database_url"),
        ("catalog", common, "database.url"),
    ] {
        assert_eq!(settings.server_url(service).expose_secret(), url);
        assert_eq!(settings.server_key(service), key);
        assert!(settings.database_url(service).expose_secret().starts_with(url), "{service}");
    }
    let own: tokio_postgres::Config = settings.database_url("inventory").expose_secret().parse().expect("a URL");
    assert_eq!((own.get_user(), own.get_password()), (Some("ms_inventory"), Some(&b"own"[..])));
    assert!(!format!("{settings:?}").contains("hunter2"));
    let bad = source.with("services.purchases.database_url", "postgres://u:hunter2@localhost:x/");
    let errors = bad.load().expect_err("no port").to_string();
    assert!(errors.starts_with("services.purchases.database_url (environment variable "), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}
