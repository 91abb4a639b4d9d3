//! The sections of participants that a user names.

use super::*;

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
        ("flights", "url = 'http://f:70000'", "participants.flights.url", &format!("is \"http://f:70000\", {address}")),
        ("flights", "url = 'http://f:0'", "participants.flights.url", &format!("is \"http://f:0\", {address}")),
        ("flights", "url = 'http://f:'", "participants.flights.url", &format!("is \"http://f:\", {address}")),
        ("flights", "url = 'http://f/#a'", "participants.flights.url", &format!("is \"http://f/#a\", {address}")),
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
    let schema = include_str!("../../../../config/default.toml");
    let example: Vec<&str> = schema.lines().filter_map(|line| line.strip_prefix("#     ")).collect();
    let example = example.join("\n");
    for key in ["url", "token", "judgement", "absent", "journal", "http2"] {
        assert!(example.contains(&format!("\n{key} = ")), "{key}: {example}");
    }
    assert_eq!(participant(&example).judgement, Judgement::Status);
}

#[test]
fn a_participant_whose_section_is_empty_has_no_address() {
    let url = "is not set, expected the address of the participant, such as https://flights.example";
    for text in ["[participants.flights]\n", "[participants]\nflights = {}\n"] {
        let folder = Folder::with(&[("default.toml", ""), ("mine.toml", text)]);
        check(&folder.source("mine"), &[&format!("participants.flights.url ({}): {url}", folder.place("mine.toml"))]);
        let elsewhere = folder.source("mine").with("participants.flights.url", "http://flights:80").load();
        assert_eq!(elsewhere.expect("valid").named_participants["flights"].url, "http://flights:80");
    }
}

#[test]
fn the_token_of_a_participant_is_none_of_auth_and_is_not_shown() {
    for name in ["operator_token", "service_token", "api_token"] {
        let source = ConfigSource::embedded("default")
            .with(&format!("auth.{name}"), "0123456789abcdef-secret")
            .with("participants.flights.url", "http://flights:80")
            .with("participants.flights.token", "0123456789abcdef-secret\n");
        check(
            &source,
            &[&format!(
                "participants.flights.token ({}): is the same as auth.{name}, expected a token that only this \
                 participant knows",
                variable("participants.flights.token")
            )],
        );
        source.with("participants.flights.token", "").load().expect("no token");
    }
}
