//! Precedence and errors of the standard variables.

use secrecy::ExposeSecret;

use super::super::{
    ConfigSource, OtlpCompression, OtlpProtocol, Settings, TelemetrySettings, TracesExporter, TracesSampler,
};

type Variables<'a> = &'a [(&'a str, &'a str)];

fn source(variables: Variables<'_>) -> ConfigSource {
    let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ConfigSource { env, ..ConfigSource::embedded("bench") }
}

fn load(variables: Variables<'_>) -> Settings {
    source(variables).load().unwrap_or_else(|error| panic!("{variables:?}: {error}"))
}

fn telemetry(variables: Variables<'_>) -> TelemetrySettings {
    load(variables).telemetry
}

const OURS: &str = "ECOMMERCE__TELEMETRY__OTLP_ENDPOINT";
const OURS_OF_TRACES: &str = "ECOMMERCE__TELEMETRY__OTLP_TRACES_ENDPOINT";
const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const DISABLED: &str = "OTEL_SDK_DISABLED";

#[test]
fn the_url_of_traces_follows_the_specification_and_the_precedence() {
    let cases: [(Variables<'_>, Option<&str>); 19] = [
        (&[], None),
        (&[(ALL, "http://a:4318")], Some("http://a:4318/v1/traces")),
        (&[(ALL, "https://a/otlp/")], Some("https://a/otlp/v1/traces")),
        (&[(TRACES, "http://b:4318/")], Some("http://b:4318/")),
        (&[(TRACES, "http://b/x/y")], Some("http://b/x/y")),
        (&[(ALL, "http://a"), (TRACES, "http://b")], Some("http://b")),
        (&[(ALL, "http://a"), (TRACES, "")], Some("http://a/v1/traces")),
        (&[(ALL, "http://a:4317"), (PROTOCOL, "grpc")], Some("http://a:4317")),
        (&[(ALL, "http://a:4317"), (PROTOCOL, "GRPC")], Some("http://a:4317")),
        (&[(OURS, "http://o"), (ALL, "http://a")], Some("http://o/v1/traces")),
        (&[(OURS, "http://o"), (TRACES, "http://b")], Some("http://o/v1/traces")),
        (&[(OURS, ""), (TRACES, "http://b")], Some("http://b")),
        (&[(OURS, ""), (OURS_OF_TRACES, "http://p/q"), (TRACES, "http://b")], Some("http://p/q")),
        (&[(EXPORTER, "otlp")], Some("http://localhost:4318/v1/traces")),
        (&[(EXPORTER, "OTLP"), (PROTOCOL, "grpc")], Some("http://localhost:4317")),
        (&[(EXPORTER, "none"), (ALL, "http://a")], None),
        (&[(DISABLED, "True"), (EXPORTER, "otlp"), (ALL, "http://a")], None),
        (&[(DISABLED, "false"), (ALL, "http://a")], Some("http://a/v1/traces")),
        (&[(DISABLED, ""), (ALL, "http://a")], Some("http://a/v1/traces")),
    ];
    for (variables, expected) in cases {
        assert_eq!(telemetry(variables).traces_url().as_deref(), expected, "{variables:?}");
    }
}

#[test]
fn each_variable_sets_its_key_and_one_of_traces_comes_before_one_of_all_signals() {
    let read = telemetry(&[
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        (PROTOCOL, "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=all"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-key=of%20traces,other=1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "7000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", " 500 "),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb,k8s.pod.name=p"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        (EXPORTER, "otlp"),
    ]);
    assert_eq!((read.otlp_protocol, read.otlp_compression), (OtlpProtocol::Grpc, OtlpCompression::Gzip));
    assert_eq!(read.otlp_headers.expose_secret(), "x-key=of%20traces,other=1");
    assert_eq!((read.otlp_timeout_ms, read.service_name.as_str()), (500, "shop"));
    let attributes = crate::config::pairs(&read.resource_attributes).unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(attributes, [pair("team", "a,b"), pair("k8s.pod.name", "p")]);
    assert_eq!((read.traces_sampler, read.otlp_sample_ratio), (TracesSampler::TraceIdRatio, 0.25));
    assert_eq!(read.traces_exporter, TracesExporter::Otlp);
}

#[test]
fn our_own_variables_come_first_unless_they_are_empty() {
    let cases = [
        ("OTLP_PROTOCOL", "http/protobuf", PROTOCOL, "grpc"),
        ("OTLP_HEADERS", "x-key=ours", "OTEL_EXPORTER_OTLP_HEADERS", "x-key=theirs"),
        ("OTLP_TIMEOUT_MS", "1111", "OTEL_EXPORTER_OTLP_TIMEOUT", "2222"),
        ("OTLP_COMPRESSION", "none", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("SERVICE_NAME", "ours", "OTEL_SERVICE_NAME", "theirs"),
        ("RESOURCE_ATTRIBUTES", "by=us", "OTEL_RESOURCE_ATTRIBUTES", "by=them"),
        ("TRACES_EXPORTER", "otlp", EXPORTER, "none"),
        ("TRACES_EXPORTER", "otlp", DISABLED, "true"),
        ("TRACES_SAMPLER", "always_on", "OTEL_TRACES_SAMPLER", "always_off"),
        ("OTLP_SAMPLE_RATIO", "0.5", "OTEL_TRACES_SAMPLER_ARG", "0.75"),
        ("OTLP_SAMPLE_RATIO", "0.5", "OTEL_TRACES_SAMPLER", "always_off"),
    ];
    let shown = |settings: TelemetrySettings| {
        let headers = settings.otlp_headers.expose_secret().to_owned();
        format!("{headers} {settings:?}")
    };
    for (key, our_value, theirs, their_value) in cases {
        let ours = format!("ECOMMERCE__TELEMETRY__{key}");
        let [alone, theirs_alone] =
            [(ours.as_str(), our_value), (theirs, their_value)].map(|one| shown(telemetry(&[one])));
        assert_ne!(alone, theirs_alone, "{ours} and {theirs} set the same key");
        assert_eq!(shown(telemetry(&[(theirs, their_value), (&ours, our_value)])), alone, "{ours} comes first");
        assert_eq!(shown(telemetry(&[(theirs, their_value), (&ours, "")])), theirs_alone, "{ours} is empty");
        assert_eq!(shown(telemetry(&[(theirs, "")])), shown(telemetry(&[])), "{theirs} is empty");
    }
}

#[test]
fn a_value_that_cannot_be_used_is_an_error_that_names_the_variable() {
    const ADDRESS: &str = "expected an address such as http://otel-collector:4318 or https://otlp.example";
    const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
    let no_pair = "has no name and value in item 1, expected a list such as name=value,other=value";
    let no_protocol = r#"is "http/json", expected "http/protobuf" or "grpc""#;
    let no_name = r#"has "b c", expected the name of a header such as x-api-key"#;
    for (key, variable, value, expected) in [
        ("otlp_protocol", PROTOCOL, "http/json", no_protocol),
        ("traces_exporter", EXPORTER, "zipkin", r#"is "zipkin", expected "otlp" or "none""#),
        ("otlp_endpoint", ALL, "collector:4318", &format!(r#"is "collector:4318", {ADDRESS}"#)),
        ("otlp_traces_endpoint", TRACES, "ftp://a", &format!(r#"is "ftp://a", {ADDRESS}"#)),
        ("otlp_timeout_ms", TIMEOUT, "10s", "cannot be read, expected milliseconds, a whole number"),
        ("otlp_timeout_ms", TIMEOUT, "0", "is 0, expected a whole number from 1 to 86400000"),
        ("otlp_headers", HEADERS, "hunter2", no_pair),
        ("otlp_headers", HEADERS, "a=1,b c=hunter2", no_name),
        ("otlp_headers", HEADERS, "a=hunter2%0A", "has a value for a that cannot be sent in a header"),
        ("resource_attributes", "OTEL_RESOURCE_ATTRIBUTES", "team", no_pair),
    ] {
        let errors = source(&[(variable, value)]).load().expect_err(variable).to_string();
        assert_eq!(errors, format!("telemetry.{key} (environment variable {variable}): {expected}"));
        assert!(!errors.contains("hunter2"), "{errors}");
        let tool = source(&[(variable, value)]).load_for_tool();
        assert!(tool.is_ok(), "a program that sends no traces does not care: {variable}");
    }
}

#[test]
fn a_value_that_the_specification_ignores_is_a_warning_that_names_the_variable() {
    for (variable, value, expected) in [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "is \"jaeger_remote\", expected \"always_on\", \"always_off\""),
        ("OTEL_TRACES_SAMPLER_ARG", "half", "is \"half\", expected a ratio from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "is 1.5, expected a ratio from 0 to 1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "is \"zstd\", expected \"none\" or \"gzip\""),
        (DISABLED, "yes", "is \"yes\", expected true or false; it counts as false"),
    ] {
        let settings = load(&[(variable, value)]);
        let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let place = format!("(environment variable {variable}): {expected}");
        assert!(warnings[0].contains(&place), "{warnings:?} {place}");
        assert_eq!(format!("{:?}", settings.telemetry), format!("{:?}", telemetry(&[])), "{variable}");
    }
}
