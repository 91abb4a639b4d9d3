//! Configuration problems are all reported at once, with the place where each was set and the expected value.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use secrecy::ExposeSecret;

use super::*;

/// A configuration folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("config-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        for (name, text) in files {
            fs::write(dir.join(name), text).expect("a file");
        }
        Self(dir)
    }

    fn source(&self, profile: &str) -> ConfigSource {
        ConfigSource { dir: Some(self.0.clone()), ..ConfigSource::embedded(profile) }
    }

    fn place(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The profile `production` with what it requires.
fn production() -> ConfigSource {
    ConfigSource::embedded("production")
        .with("auth.service_token", "a-token-of-a-test")
        .with("inventory.initial_stock", 5)
}

fn check(source: &ConfigSource, expected: &[&str]) {
    let errors = source.load().expect_err("the configuration is invalid").to_string();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines, expected);
}

/// Checks the error line for one variable's value.
fn check_variable(key: &str, value: &str, expected: &str) {
    let source = ConfigSource::embedded("default").with(key, value);
    check(&source, &[&format!("{key} ({}): {expected}", variable(key))]);
}

/// Names the environment variable of a key as messages do.
fn variable(key: &str) -> String {
    format!("environment variable ECOMMERCE__{}", key.to_uppercase().replace('.', "__"))
}

#[test]
fn every_built_in_profile_loads() {
    for profile in ["default", "development", "bench"] {
        let settings = ConfigSource::embedded(profile).load().unwrap_or_else(|errors| panic!("{profile}:\n{errors}"));
        assert_eq!(settings.profile, profile);
        assert!(!settings.is_production());
    }
    let production = production().load().expect("valid");
    assert!(production.is_production());
    assert_eq!(production.telemetry.format, LogFormat::Json);
}

#[test]
fn the_contracts_ports_databases_and_addresses_are_the_defaults() {
    let settings = ConfigSource::embedded("development").load().expect("valid");
    let names = ["orchestrator", "catalog", "payments", "inventory", "purchases"];
    assert_eq!(settings.services.len(), names.len());
    for (name, port) in names.into_iter().zip(8000..) {
        let service = settings.service(name);
        assert_eq!(service.port, port);
        assert_eq!(service.database, format!("ms_{name}"));
        assert_eq!(service.url, format!("http://127.0.0.1:{port}"));
        assert_eq!(settings.listen_address(name).to_string(), format!("127.0.0.1:{port}"));
    }
}

#[test]
fn an_address_follows_its_port_and_the_bind_address() {
    let url = |bind: &str| {
        let source = ConfigSource::embedded("default").with("services.payments.port", 9002).with("http.bind", bind);
        source.load().expect("valid").service("payments").url.clone()
    };
    assert_eq!(url("0.0.0.0"), "http://127.0.0.1:9002");
    assert_eq!(url("::"), "http://[::1]:9002");
    assert_eq!(url("10.0.0.5"), "http://10.0.0.5:9002");
    let given = ConfigSource::embedded("default").with("services.payments.url", "http://payments:8002/");
    assert_eq!(given.load().expect("valid").service("payments").url, "http://payments:8002");
}

/// The failures that the contract asks for, in the development profile and without a profile.
#[test]
fn one_saga_in_eight_completes_by_default_and_every_one_in_bench_and_production() {
    for profile in ["default", "development"] {
        let faults = ConfigSource::embedded(profile).load().expect("valid").faults;
        let rate = |service: &str, operation: &str| faults.services[service][operation].failure_rate;
        assert_eq!(
            [rate("payments", "charge"), rate("inventory", "decrease"), rate("purchases", "create")],
            [0.5, 0.5, 0.5]
        );
        for (service, operation) in
            [("catalog", "product"), ("payments", "refund"), ("inventory", "restore"), ("purchases", "cancel")]
        {
            assert_eq!(rate(service, operation), 0.0, "{service}.{operation}");
        }
        let latency = faults.services["catalog"]["product"].latency_ms;
        assert_eq!((latency.min, latency.max), (100, 500));
    }
    for profile in ["bench", "production"] {
        let settings = ConfigSource::embedded(profile)
            .with("auth.service_token", "a-token-of-a-test")
            .with("inventory.initial_stock", 1_000_000_000)
            .load()
            .expect("valid");
        for (operation, faults) in settings.faults.services.values().flatten() {
            assert_eq!(*faults, Default::default(), "{operation} in {profile}");
        }
    }
    let bench = ConfigSource::embedded("bench").load().expect("valid");
    assert_eq!(bench.inventory.initial_stock, 1_000_000_000);
}

#[test]
fn later_layers_win_key_by_key() {
    let folder = Folder::with(&[
        ("default.toml", "[http]\nmax_connections = 10\nmax_in_flight = 10\nbody_limit_bytes = 10\n"),
        ("mine.toml", "[http]\nmax_in_flight = 20\nbody_limit_bytes = 20\n"),
    ]);
    let settings = folder.source("mine").with("http.body_limit_bytes", 30).load().expect("valid");
    let http = &settings.http;
    assert_eq!((http.max_connections, http.max_in_flight, http.body_limit_bytes), (10, 20, 30));
    assert_eq!(http.header_timeout_ms, 5000, "a key in no file has its built-in default");
    assert_eq!(settings.profile, "mine");
    assert_eq!(settings.reload.expect("loaded").load().expect("valid").http.body_limit_bytes, 30);
}

#[test]
fn all_problems_of_all_layers_are_reported_at_once_with_their_places() {
    let folder = Folder::with(&[
        ("default.toml", "[orchestrator]\nlease_ms = 1000\n\n[http]\nbind = 'localhost'\n"),
        (
            "mine.toml",
            "[faults.payments.charge]\nfailure_rat = 0.1\nlatency_ms = { min = 9, max = '3' }\n\
             [faults.paymets]\n[database]\npool_size = 0\n[http]\ncors_origins = [1]\n",
        ),
    ]);
    let (default, mine) = (folder.place("default.toml"), folder.place("mine.toml"));
    let source =
        folder.source("mine").with("services.catalog.port", 70_000).with("checkout.compensate_inventory", "perhaps");
    check(
        &source,
        &[
            &format!(
                "faults.payments.charge.failure_rat ({mine}): unknown key, did you mean faults.payments.charge.failure_rate?"
            ),
            &format!(
                "faults.payments.charge.latency_ms.max ({mine}): is a string, expected a whole number such as 300"
            ),
            &format!("faults.paymets ({mine}): unknown key, did you mean faults.payments?"),
            &format!("http.cors_origins ({mine}): has items that are not strings, expected a list of strings"),
            "checkout.compensate_inventory (environment variable ECOMMERCE__CHECKOUT__COMPENSATE_INVENTORY): \
             cannot be read, expected true or false such as false",
            &format!("database.pool_size ({mine}): is 0, expected a whole number from 1 to 1000000000"),
            &format!("http.bind ({default}): is \"localhost\", expected an IP address such as 127.0.0.1 or 0.0.0.0"),
            "services.catalog.port (environment variable ECOMMERCE__SERVICES__CATALOG__PORT): \
             is 70000, expected a whole number from 0 to 65535",
            &format!(
                "orchestrator.lease_ms ({default}): is 1000, expected more than twice orchestrator.heartbeat_ms, \
                 which is 1000 (built-in default.toml)"
            ),
        ],
    );
}

#[test]
fn a_syntax_error_names_file_line_and_column_and_shows_no_excerpt() {
    let folder = Folder::with(&[("mine.toml", "[auth]\nservice_token = 'hunter2\n")]);
    let errors = folder.source("mine").load().expect_err("not TOML").to_string();
    let headline = format!("{}: TOML parse error at line 2, column ", folder.place("mine.toml"));
    assert!(errors.starts_with(&headline), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn an_unknown_profile_is_answered_with_the_profiles_found() {
    let folder = Folder::with(&[("default.toml", ""), ("staging.toml", ""), ("canary.toml", ""), ("notes.txt", "")]);
    let place = folder.0.display().to_string();
    check(
        &folder.source("stagign"),
        &[&format!(
            "profile ({place}): \"stagign\" is unknown (did you mean staging?), profiles found: canary, staging"
        )],
    );
    check(
        &ConfigSource::embedded("../etc/passwd"),
        &["profile (built-in profiles): \"../etc/passwd\" is unknown, profiles found: development, bench, production"],
    );
}

#[test]
fn a_folder_that_does_not_exist_is_an_error() {
    let source = ConfigSource { dir: Some("/nonexistent".into()), ..ConfigSource::embedded("development") };
    let errors = source.load().expect_err("no folder").to_string();
    assert!(errors.starts_with("/nonexistent: cannot be read, expected a folder"), "{errors}");
    assert_eq!(errors.lines().count(), 1);
}

#[test]
fn a_variable_takes_the_type_of_its_key() {
    let settings = ConfigSource::embedded("default")
        .with("auth.service_token", "8001")
        .with("auth.api_token", "true")
        .with("faults.payments.charge.failure_rate", 1)
        .with("checkout.compensate_inventory", "TRUE")
        .with("http.cors_origins", "https://a.example, http://localhost:3000")
        .with("orchestrator.node_id", "1e3")
        .load()
        .expect("valid");
    assert_eq!(settings.auth.service_token.expose_secret(), "8001");
    assert_eq!(settings.auth.api_token.expose_secret(), "true");
    assert_eq!(settings.faults.services["payments"]["charge"].failure_rate, 1.0);
    assert!(settings.checkout.compensate_inventory);
    assert_eq!(settings.http.cors_origins, ["https://a.example", "http://localhost:3000"]);
    assert_eq!(settings.orchestrator.node_id, "1e3");
}

#[test]
fn a_whole_number_in_a_file_is_a_rate_too() {
    let folder = Folder::with(&[("mine.toml", "[faults.payments.charge]\nfailure_rate = 1\n")]);
    let faults = folder.source("mine").load().expect("valid").faults;
    assert_eq!(faults.services["payments"]["charge"].failure_rate, 1.0);
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let mut source = ConfigSource::embedded("default");
    source.env.push(("ECOMMERCE_PG_BIN".to_owned(), "/usr/lib/postgresql".to_owned()));
    source.env.push(("PATH".to_owned(), "/bin".to_owned()));
    source.load().expect("valid");
}

#[test]
fn a_bad_variable_is_answered_with_what_was_expected() {
    let whole = |value: &str, max: u64| format!("is {value}, expected a whole number from 1 to {max}");
    let cases: &[(&str, &str, &str)] = &[
        ("faults.payments.charge.failure_rate", "1.1", "is 1.1, expected a rate from 0 to 1"),
        ("faults.payments.charge.failure_rate", "-0.1", "is -0.1, expected a rate from 0 to 1"),
        ("faults.payments.charge.failure_rate", "NaN", "is NaN, expected a rate from 0 to 1"),
        ("faults.payments.charge.failure_rate", "half", "cannot be read, expected a number such as 0.5"),
        ("faults.payments.charge", "0.5", "is a section, expected one of its keys"),
        ("faults.payments.chrge.failure_rate", "1", "unknown key, did you mean faults.payments.charge?"),
        ("faults.seed.x", "1", "unknown key, faults.seed is a whole number, not a section"),
        ("http.max_in_flight", "0", &whole("0", 1_000_000_000)),
        ("http.max_in_flight", "", "cannot be read, expected a whole number such as 4096"),
        ("participants.timeout_ms", "86400001", &whole("86400001", 86_400_000)),
        ("retry.action.attempts", "0", &whole("0", 1_000_000_000)),
        ("orchestrator.max_claims", "0", &whole("0", 1_000_000_000)),
        ("inventory.initial_stock", "2147483648", "is 2147483648, expected a whole number from -1 to 2147483647"),
        (
            "services.payments.url",
            "payments:8002",
            "is \"payments:8002\", expected an address such as http://127.0.0.1:8001",
        ),
        (
            "services.payments.database",
            "a-b",
            "is \"a-b\", expected lowercase letters, digits and underscores, at most 63",
        ),
        (
            "http.cors_origins",
            "shop.example/",
            "has \"shop.example/\", expected origins such as https://shop.example, or *",
        ),
        (
            "ui.trace_url",
            "http://localhost:16686/trace/{traceId}",
            "is \"http://localhost:16686/trace/{traceId}\", expected an address with {trace_id} in it, such as \
             http://localhost:16686/trace/{trace_id}",
        ),
        (
            "ui.trace_url",
            "javascript:alert('{trace_id}')",
            "is \"javascript:alert('{trace_id}')\", expected an address with {trace_id} in it, such as \
             http://localhost:16686/trace/{trace_id}",
        ),
        ("telemetry.format", "xml", "is \"xml\", expected \"text\" or \"json\""),
        (
            "orchestrator.node_id",
            "a b",
            "is \"a b\", expected at most 100 visible ASCII characters without spaces, or none",
        ),
        (
            "participants.reserved_for_compensations",
            "2048",
            "is 2048, expected less than participants.max_concurrent, which is 2048 (built-in default.toml)",
        ),
        (
            "faults.payments.charge.latency_ms.min",
            "301",
            "is 301, expected at most faults.payments.charge.latency_ms.max, which is 300 (built-in default.toml)",
        ),
        (
            "retry.action.backoff_min_ms",
            "1001",
            "is 1001, expected at most retry.action.backoff_max_ms, which is 1000 (built-in default.toml)",
        ),
        (
            "services.payments.port",
            "8001",
            "is 8001, expected a different value than services.catalog.port (built-in default.toml)",
        ),
        (
            "services.payments.database",
            "ms_catalog",
            "is ms_catalog, expected a different value than services.catalog.database (built-in default.toml)",
        ),
    ];
    for (key, value, expected) in cases {
        check_variable(key, value, expected);
    }
}

#[test]
fn the_address_of_a_trace_may_have_its_id_in_the_path_the_query_or_the_fragment() {
    for url in [
        "",
        "http://localhost:16686/trace/{trace_id}",
        "https://grafana.example/explore?panes=%7B%22query%22:%22{trace_id}%22%7D",
        "https://traces.example/#/trace/{trace_id}?from={trace_id}",
    ] {
        let source = ConfigSource::embedded("default").with("ui.trace_url", url);
        assert_eq!(source.load().unwrap_or_else(|errors| panic!("{errors}")).ui.trace_url, url);
    }
}

#[test]
fn a_bad_log_filter_is_reported() {
    let errors =
        ConfigSource::embedded("default").with("telemetry.filter", "info,=x=").load().expect_err("bad").to_string();
    assert!(errors.contains("expected a log filter such as"), "{errors}");
}

#[test]
fn all_ports_may_be_0() {
    let mut source = ConfigSource::embedded("default");
    for name in ["orchestrator", "catalog", "payments", "inventory", "purchases"] {
        source = source.with(&format!("services.{name}.port"), 0);
    }
    source.load().expect("valid");
}

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

#[test]
fn there_are_64_cells_each_with_an_address() {
    let source = ConfigSource::embedded("default")
        .with("orchestrator.cell", 63)
        .with("orchestrator.cells.7.url", "http://cell-7:8000/");
    let orchestrator = source.load().expect("valid").orchestrator;
    assert_eq!(orchestrator.cell, 63);
    let known = (0..=63).filter_map(|cell| Some((cell, orchestrator.cell_url(cell)?)));
    assert_eq!(known.collect::<Vec<_>>(), [(7, "http://cell-7:8000")]);
    check_variable("orchestrator.cell", "64", "is 64, expected a whole number from 0 to 63");
    check_variable("orchestrator.cells.64.url", "http://a:1", "unknown key, did you mean orchestrator.cells.14?");
    check_variable(
        "orchestrator.cells.63.url",
        "cell:8000",
        "is \"cell:8000\", expected an address such as http://127.0.0.1:8001",
    );
}

#[test]
fn a_service_has_a_thread_for_every_four_processors_and_several_share_one_for_every_two() {
    let threads =
        |worker_threads, processors, services| RuntimeSettings { worker_threads }.threads(processors, services);
    assert_eq!([1, 2, 4, 7, 8, 64].map(|processors| threads(0, processors, 1)), [1, 1, 1, 1, 2, 16]);
    assert_eq!([1, 2, 4, 7, 8, 64].map(|processors| threads(0, processors, 5)), [1, 1, 2, 3, 4, 32]);
    assert_eq!(threads(3, 2, 5), 3);
}

#[test]
fn zero_is_taken_where_it_has_a_meaning() {
    for key in [
        "participants.breaker_failures",
        "retry.compensation.attempts",
        "rate_limit.per_second",
        "runtime.worker_threads",
        "orchestrator.retention_days",
    ] {
        assert!(ConfigSource::embedded("default").with(key, 0).load().is_ok(), "{key}");
    }
}

const FLIGHTS: &str = "[participants.flights]\nurl = 'https://flights.example/api/'\n";

fn participant(text: &str) -> NamedParticipantSettings {
    let folder = Folder::with(&[("mine.toml", text)]);
    let mut settings = folder.source("mine").load().unwrap_or_else(|errors| panic!("{text}:\n{errors}"));
    settings.named_participants.remove("flights").expect("it is configured")
}

#[test]
fn a_participant_that_a_user_names_has_the_settings_of_all_where_it_has_none_of_its_own() {
    let plain = participant(FLIGHTS);
    assert_eq!(plain.url, "https://flights.example/api");
    assert_eq!((plain.judgement, plain.journal, plain.http2), (Judgement::Recorded, false, false));
    assert_eq!((plain.token.expose_secret(), plain.absent.as_slice()), ("", [].as_slice()));
    assert_eq!((plain.calls.timeout_ms, plain.calls.max_concurrent), (5000, 2048));

    let folder = Folder::with(&[(
        "mine.toml",
        "[participants]\ntimeout_ms = 7000\nconnections = 3\n\n\
         [participants.flights]\nurl = 'http://flights:80'\njudgement = 'status'\ntimeout_ms = 9000\n\n\
         [participants.hotel-search_2]\nurl = 'http://hotels:80'\nabsent = [404]\njournal = true\nhttp2 = true\n",
    )]);
    let source = folder
        .source("mine")
        .with("participants.flights.token", "hunter2\n")
        .with("participants.flights.max_concurrent", 300)
        .with("participants.cars.url", "http://cars:80")
        .with("participants.cars.absent", "404, 422");
    let settings = source.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(settings.named_participants.keys().collect::<Vec<_>>(), ["cars", "flights", "hotel-search_2"]);
    let flights = &settings.named_participants["flights"];
    assert_eq!((flights.judgement, flights.absent.as_slice()), (Judgement::Status, [404, 410].as_slice()));
    assert_eq!(flights.token.expose_secret(), "hunter2");
    assert_eq!((flights.calls.timeout_ms, flights.calls.connections, flights.calls.max_concurrent), (9000, 3, 300));
    let hotels = &settings.named_participants["hotel-search_2"];
    assert_eq!((hotels.absent.as_slice(), hotels.journal, hotels.http2), ([404].as_slice(), true, true));
    assert_eq!(settings.named_participants["cars"].absent, [404, 422]);
    assert_eq!((settings.participants.timeout_ms, settings.participants.max_concurrent), (7000, 2048));
    let timeouts = ["flights", "hotel-search_2", "payments"].map(|name| settings.calls_to(name).timeout_ms);
    assert_eq!(timeouts, [9000, 7000, 7000]);
    for shown in [format!("{settings:?}"), format!("{source:?}"), source.to_string()] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(participant(&format!("{FLIGHTS}judgement = 'status'\nabsent = []\n")).absent, [0_u16; 0]);
}

#[test]
fn every_mistake_in_a_named_participant_is_reported_with_its_key() {
    let whole = |value: &str, range: &str| format!("is {value}, expected a whole number from {range}");
    let name = "cannot be a name, expected a lower-case letter, then up to 62 lower-case letters, digits, - and _";
    let reserved = "is reserved, expected another name for a participant of your own";
    let address = "expected an address such as https://flights.example or http://10.0.0.7:9000";
    let statuses = "expected statuses from 400 to 499 such as 404, but none of 401, 408, 409, 425, 429";
    let long = "f".repeat(64);
    let cases: &[(&str, &str, &str, &str)] = &[
        ("payments", "url = 'http://p:1'", "participants.payments", reserved),
        ("catalog", "url = 'http://p:1'", "participants.catalog", reserved),
        ("orchestrator", "url = 'http://p:1'", "participants.orchestrator", reserved),
        ("dtm", "url = 'http://p:1'", "participants.dtm", reserved),
        ("Flights", "url = 'http://p:1'", "participants.Flights", name),
        ("2flights", "url = 'http://p:1'", "participants.2flights", name),
        ("'fly.ing'", "url = 'http://p:1'", "participants.fly.ing", name),
        ("'<name>'", "url = 'http://p:1'", "participants.<name>", name),
        (&long, "url = 'http://p:1'", &format!("participants.{long}"), name),
        ("timeout_ms", "x = 1", "participants.timeout_ms", "is a section, expected a whole number such as 5000"),
        (
            "flights",
            "journal = true",
            "participants.flights.url",
            "is not set, expected the address of the participant, such as https://flights.example",
        ),
        (
            "flights",
            "url = ''",
            "participants.flights.url",
            "is not set, expected the address of the participant, such as https://flights.example",
        ),
        ("flights", "url = 'flights:80'", "participants.flights.url", &format!("is \"flights:80\", {address}")),
        ("flights", "url = 'ftp://flights'", "participants.flights.url", &format!("is \"ftp://flights\", {address}")),
        ("flights", "url = 'http://f/?a=b'", "participants.flights.url", &format!("is \"http://f/?a=b\", {address}")),
        (
            "flights",
            "url = 'http://u:hunter2@flights'",
            "participants.flights.url",
            "has a user or an @, expected an address without them; set token instead",
        ),
        (
            "flights",
            "url = 'http://f'\ntimeot_ms = 1",
            "participants.flights.timeot_ms",
            "unknown key, did you mean participants.flights.timeout_ms?",
        ),
        (
            "flights",
            "url = 'http://f'\ntoken = 'hunter2 ü'",
            "participants.flights.token",
            "cannot be sent in a header, expected visible ASCII characters without spaces",
        ),
        (
            "flights",
            "url = 'http://f'\njudgement = 'statsu'",
            "participants.flights.judgement",
            "is \"statsu\", expected \"recorded\" or \"status\"",
        ),
        (
            "flights",
            "url = 'http://f'\nabsent = [404, 204]",
            "participants.flights.absent",
            &format!("has 204, {statuses}"),
        ),
        ("flights", "url = 'http://f'\nabsent = [409]", "participants.flights.absent", &format!("has 409, {statuses}")),
        (
            "flights",
            "url = 'http://f'\nabsent = ['404']",
            "participants.flights.absent",
            "has items that are not whole numbers, expected a list of whole numbers",
        ),
        (
            "flights",
            "url = 'http://f'\njournal = 'yes'",
            "participants.flights.journal",
            "is a string, expected true or false such as false",
        ),
        (
            "flights",
            "url = 'http://f'\nbreaker_failures = -1",
            "participants.flights.breaker_failures",
            &whole("-1", "0 to 1000000000"),
        ),
        (
            "flights",
            "url = 'http://f'\nbreaker_pause_ms = 0",
            "participants.flights.breaker_pause_ms",
            &whole("0", "1 to 86400000"),
        ),
        (
            "flights",
            "url = 'http://f'\nreserved_for_compensations = 2048",
            "participants.flights.reserved_for_compensations",
            "is 2048, expected less than participants.max_concurrent, which is 2048 (built-in default.toml)",
        ),
        (
            "flights",
            "url = 'http://f'\nmax_concurrent = 256",
            "participants.flights.max_concurrent",
            "is 256, expected that participants.reserved_for_compensations, which is 256, is less than it; set \
             participants.flights.reserved_for_compensations",
        ),
    ];
    for (name, text, key, expected) in cases {
        let folder = Folder::with(&[("mine.toml", &format!("[participants.{name}]\n{text}\n"))]);
        check(&folder.source("mine"), &[&format!("{key} ({}): {expected}", folder.place("mine.toml"))]);
    }
    for (key, value, expected) in [
        ("participants.flights.absent", "404,gone", "cannot be read, expected a list of whole numbers"),
        (
            "participants.flights",
            "http://f",
            "unknown key, expected one of breaker_failures, breaker_pause_ms, \
          breaker_wakes_per_second, connect_timeout_ms, connections, failed_compensations, max_concurrent, \
          reserved_for_compensations, resolve_ms, timeout_ms",
        ),
        ("participants.timeot_ms", "1", "unknown key, did you mean participants.timeout_ms?"),
        ("participants.purchases.url", "http://p:1", reserved),
    ] {
        check_variable(key, value, expected);
    }
}

#[test]
fn a_retired_key_is_a_warning_that_names_its_successor() {
    let folder = Folder::with(&[(
        "mine.toml",
        "[participants]\nin_process = false\n\n[participants.flights]\nurl = 'http://f'\nin_process = true\n",
    )]);
    let settings = folder.source("mine").with("participants.in_process", "false").load().expect("valid");
    let (file, successor) = (folder.place("mine.toml"), "`up` calls participants in process, `serve` over the network");
    let expected = [
        ("participants.flights.in_process", file.as_str()),
        ("participants.in_process", file.as_str()),
        ("participants.in_process", &variable("participants.in_process")),
    ]
    .map(|(key, place)| format!("{key} ({place}): is retired and has no effect: {successor}"));
    assert_eq!(settings.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

#[test]
fn mistakes_in_several_named_participants_are_reported_at_once() {
    let folder = Folder::with(&[(
        "mine.toml",
        "[participants.flights]\nurl = 'flights'\ntimeout = 1\n\n[participants.hotels]\njudgement = 'none'\n",
    )]);
    let errors = folder.source("mine").load().expect_err("several mistakes").to_string();
    for key in ["flights.url", "flights.timeout", "hotels.judgement", "hotels.url"] {
        assert_eq!(errors.matches(&format!("participants.{key} (")).count(), 1, "{key}: {errors}");
    }
    assert_eq!(errors.lines().count(), 4, "{errors}");
}

/// The example in `default.toml` shows each key that only a named participant has.
#[test]
fn the_example_of_a_named_participant_can_be_used_as_it_is() {
    let schema = include_str!("../../../config/default.toml");
    let example: Vec<&str> = schema.lines().filter_map(|line| line.strip_prefix("#     ")).collect();
    let example = example.join("\n");
    for key in ["url", "token", "judgement", "absent", "journal", "http2"] {
        assert!(example.contains(&format!("\n{key} = ")), "{key}: {example}");
    }
    assert_eq!(participant(&example).judgement, Judgement::Status);
}
