//! Tests of URLs.

use super::*;

fn hosts(url: &str) -> String {
    let parsed = ServerUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    parsed.hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn hosts_of_a_url_are_read_as_libpq_does() {
    for (url, expected) in [
        ("postgres://u:secret@db.example:6000/x", "db.example:6000"),
        ("postgresql://u:secret@db.example", "db.example:5432"),
        ("postgres://u@h1:5433,h2:5434/x", "h1:5433 h2:5434"),
        ("postgres://u@h1,h2:5434/x", "h1:5432 h2:5434"),
        ("postgres://u@[::1]:5433,[fe80::1]/x", "[::1]:5433 [fe80::1]:5432"),
        ("postgres://u@/x?host=h1,h2&port=5433", "h1:5433 h2:5433"),
        ("postgres://u@/x?host=h1,h2,h3&port=5433,,5435", "h1:5433 h2:5432 h3:5435"),
        ("postgres://u@h1:5433/x?host=h2", "h2:5433"),
        ("postgres://u@:5433/x?host=h2", "h2:5433"),
        ("postgres://u:secret@/x?host=/run/pg", "socket /run/pg"),
        ("postgres://u@%2Frun%2Fpg:5433/x", "socket /run/pg, port 5433"),
        ("postgres://u@/x?host=/run/pg,h2&port=1,2", "socket /run/pg, port 1 h2:2"),
        ("postgres://u@h1,h2/x?hostaddr=10.0.0.1,10.0.0.2", "h1:5432 (10.0.0.1) h2:5432 (10.0.0.2)"),
        ("postgres://u@/x?hostaddr=10.0.0.1,::1", "10.0.0.1:5432 [::1]:5432"),
        ("postgres://u@/x?host=h1,&hostaddr=,10.0.0.2", "h1:5432 10.0.0.2:5432"),
        ("host=h1,h2 port=5433,5434 user=u", "h1:5433 h2:5434"),
        (r"host = '/run/my\'pg' password='se cret'", "socket /run/my'pg"),
        ("hostaddr=10.0.0.1 host=h1 user=u", "h1:5432 (10.0.0.1)"),
    ] {
        assert_eq!(hosts(url), expected, "{url}");
    }
}

#[test]
fn login_database_and_other_keys_are_kept() {
    for url in [
        "postgres://u:p%40ss@h1,h2:1/d?keepalives_idle=7&options=-c%20jit%3Doff&channel_binding=require",
        "postgres://h1/?user=u&host=h2&password=p%40ss&dbname=d&keepalives_idle=7&channel_binding=require&",
        "user=u password='p@ss' host=h1 dbname=d keepalives_idle=7 connect_timeout=3 channel_binding=require",
    ] {
        let config = ServerUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")).config;
        assert_eq!((config.get_user(), config.get_dbname()), (Some("u"), Some("d")), "{url}");
        assert_eq!(config.get_password(), Some(&b"p@ss"[..]), "{url}");
        assert_eq!(config.get_keepalives_idle().as_secs(), 7, "{url}");
        assert_eq!(config.get_channel_binding(), tokio_postgres::config::ChannelBinding::Require, "{url}");
        assert!(config.get_hosts().is_empty() && config.get_options().is_none(), "{url}");
    }
}

#[test]
fn a_session_to_a_machine_that_is_gone_ends_within_seconds_unless_the_url_says_otherwise() {
    let of = |url| ServerUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")).config;
    let limits = |config: &Config| {
        let interval = config.get_keepalives_interval().unwrap_or_default();
        let silence = config.get_tcp_user_timeout().copied().unwrap_or_default();
        [config.get_keepalives_idle(), interval, silence].map(|limit| limit.as_secs())
    };
    assert_eq!(limits(&of("postgres://h/")), [1, 1, 4]);
    let own = "keepalives_idle=7&keepalives_interval=8&keepalives_retries=9&tcp_user_timeout=10";
    let own = of(&format!("postgres://h/?{own}"));
    assert_eq!((limits(&own), own.get_keepalives_retries()), ([7, 8, 10], Some(9)));
}

#[test]
fn a_bad_url_is_refused_with_its_reason_and_without_its_password() {
    for (url, reason) in [
        ("nonsense", "expected postgres://"),
        ("", "the host is missing"),
        ("http://secret/", "expected postgres://"),
        ("postgres:///d", "the host is missing"),
        ("postgres://u:secret@h:port/", "a port is not a number"),
        ("postgres://u:secret@h:0/", "a port is not a number"),
        ("postgres://u:secret@h1,h2/?port=1,2,3", "3 ports for 2 hosts"),
        ("host=h1,h2,h3 port=1,2", "2 ports for 3 hosts"),
        ("host=h1,h2 hostaddr=10.0.0.1", "2 hosts and 1 hostaddrs"),
        ("postgres://u:secret@h1,,h3/", "host 2 of 3 is empty"),
        ("postgres://u:secret@h1,/", "host 2 of 2 is empty"),
        ("host=h1 hostaddr=secret", "a hostaddr is not an IP address"),
        ("postgres://u:sec@secret@h/", "%40"),
        ("postgres://u:sec@ret?secret=x@h/", "%40"),
        ("postgres://u:secret@h/?sslmod=require", "the key sslmod is unknown"),
        ("host=h gssencmode=prefer", "the key gssencmode is unknown"),
        ("postgres://u:secret@h/?sslmode", "a key has no value"),
        ("host='h", "a quote is not closed"),
        ("postgres://u:secret@[::1/d", "lacks its ]"),
        ("host=h target_session_attrs=standby", "target_session_attrs takes any, read-write or primary"),
        ("host=h load_balance_hosts=random", "load_balance_hosts takes disable only"),
        ("postgres://u@h/?keepalives=secret", "keepalives"),
    ] {
        let error = ServerUrl::parse(url).map(drop).unwrap_err();
        assert!(error.contains(reason), "{url}: {error}");
        assert!(!error.contains("secret") && !error.contains('\n'), "{url}: {error}");
    }
}

#[test]
fn a_url_says_whether_a_standby_will_do() {
    for (attributes, expected) in
        [("any", Standbys::Accepted), ("read-write", Standbys::Refused), ("primary", Standbys::Refused)]
    {
        let url = format!("postgres://h1,h2/d?target_session_attrs={attributes}");
        assert_eq!(ServerUrl::parse(&url).unwrap().standbys, expected, "{attributes}");
    }
    assert_eq!(ServerUrl::parse("host=h").unwrap().standbys, Standbys::Accepted);
}

#[test]
fn options_of_a_url_are_settings_and_nothing_else() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (options, expected) in [
        ("-c work_mem=8MB", vec![pair("work_mem", "8MB")]),
        ("-cwork_mem=8MB  -c jit=off", vec![pair("work_mem", "8MB"), pair("jit", "off")]),
        ("--statement-timeout=5s", vec![pair("statement_timeout", "5s")]),
        (r"-c search_path=a,\ b", vec![pair("search_path", "a, b")]),
        ("-c DateStyle=", vec![pair("DateStyle", "")]),
        (" ", vec![]),
    ] {
        assert_eq!(settings_of(options).unwrap(), expected, "{options}");
    }
    for options in ["-d 5", "-c", "-c work_mem", "work_mem=8MB", "-c =x", "-F"] {
        let error = settings_of(options).unwrap_err();
        assert!(error.contains("-c name=value"), "{options}: {error}");
    }
}
