//! Configuration problems are all reported at once, with the place where each was set and the expected value.

mod named_participants;
mod secrets;
mod variables;

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

/// Without the file, the rules of `default.toml` would hold in production.
#[test]
fn a_file_that_is_a_link_to_nowhere_is_an_error() {
    use std::os::unix::fs::symlink;

    for name in ["default.toml", "mine.toml"] {
        for target in ["/nowhere/at-all.toml", name] {
            let folder = Folder::with(&[("other.toml", "")]);
            symlink(target, folder.0.join(name)).expect("a link can be made");
            if name == "default.toml" {
                fs::write(folder.0.join("mine.toml"), "").expect("a file can be written");
            }
            let errors = folder.source("mine").load().expect_err("it cannot be read").to_string();
            assert!(errors.starts_with(&format!("{}: cannot be read: ", folder.place(name))), "{errors}");
            assert_eq!(errors.lines().count(), 1, "{errors}");
        }
    }
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
fn no_address_has_a_user_and_its_password_is_not_shown() {
    let refused = "has a user or an @, expected an address without them";
    for (key, advice) in [
        ("services.payments.url", ""),
        ("orchestrator.cells.7.url", ""),
        ("ui.replicas.payments", ""),
        ("ui.trace_url", ""),
        ("dtm.allowed_urls", ""),
        ("http.cors_origins", ""),
        ("telemetry.otlp_endpoint", "; set telemetry.otlp_headers instead"),
        ("telemetry.otlp_traces_endpoint", "; set telemetry.otlp_headers instead"),
        ("participants.flights.url", "; set token instead"),
    ] {
        for url in ["http://user:hunter2@shop.example", "http://user:hunter2@shop.example:x"] {
            let url = if key == "ui.trace_url" { format!("{url}/{{trace_id}}") } else { url.to_owned() };
            check_variable(key, &url, &format!("{refused}{advice}"));
        }
    }
    let column = "http://viewer.example/traces?column=@timestamp&id={trace_id}";
    let settings = ConfigSource::embedded("default").with("ui.trace_url", column).load().expect("valid");
    assert_eq!(settings.ui.trace_url, column);
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
