//! Tests of the keys and their files. Connections are tested against a server that takes only TLS: `tests/suites/tls.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::db::url::{ServerUrl, check};

fn tls(url: &str) -> Tls {
    ServerUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")).tls
}

#[test]
fn the_keys_mean_what_they_mean_to_libpq() {
    use SslMode::{Disable, Prefer, Require};
    for (keys, mode, ways) in [
        ("", Mode::Prefer, &[Prefer, Disable][..]),
        ("sslmode=disable", Mode::Disable, &[Disable]),
        ("sslmode=allow", Mode::Allow, &[Disable, Require]),
        ("sslmode=prefer", Mode::Prefer, &[Prefer, Disable]),
        ("sslmode=require", Mode::Require, &[Require]),
        ("sslmode=require&sslrootcert=/ca.crt", Mode::Require, &[Require]),
        ("sslmode=verify-ca", Mode::VerifyCa, &[Require]),
        ("sslmode=verify-full&sslnegotiation=direct", Mode::VerifyFull, &[Require]),
        ("sslrootcert=system", Mode::VerifyFull, &[Require]),
    ] {
        let tls = tls(&format!("postgres://u@h1/?{keys}"));
        assert_eq!(tls.mode, mode, "{keys}");
        let host = Host::Name { name: "h1".to_owned(), port: 1 };
        assert_eq!(tls.ways(&host), ways, "{keys}");
        let socket = Host::Socket { folder: "/run".into(), port: 1 };
        assert_eq!(tls.ways(&socket), [Disable], "{keys}");
    }
    assert_eq!(tls("host=h sslrootcert=/ca.crt sslmode=verify-ca").roots, Some(RootsFrom::File("/ca.crt".into())));
    assert_eq!(tls("host=h sslrootcert=system").roots, Some(RootsFrom::System));
    assert_eq!(tls("host=h sslmode=require sslnegotiation=direct").negotiation(), SslNegotiation::Direct);
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (keys, reason) in [
        ("sslmode=verify", "sslmode takes disable, allow, prefer, require, verify-ca or verify-full"),
        ("sslmode=verify-ca&sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
        ("sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require"),
        ("sslnegotiation=indirect", "sslnegotiation takes postgres or direct"),
        ("sslcert=/c.crt", "sslcert needs sslkey"),
        ("sslkey=/c.key", "sslkey needs sslcert"),
        ("sslpassword=x", "the key sslpassword is unknown"),
        ("host=&hostaddr=10.0.0.1&sslmode=verify-full", "needs a host beside each hostaddr"),
    ] {
        let error = check(&format!("postgres://u:secret@h1/?{keys}")).unwrap_err();
        assert!(error.contains(reason), "{keys}: {error}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_before_any_connect() {
    let folder = std::env::temp_dir().join(format!("common-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let text = file("text", "no certificate", 0o600);
    let broken = file("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o600);
    let open = file("open", "a key", 0o644);
    let none = folder.join("none").display().to_string();
    for (keys, reason) in [
        (format!("sslrootcert={none}"), format!("sslrootcert {none} cannot be read: No such file")),
        (format!("sslrootcert={text}"), format!("sslrootcert {text} holds no certificate")),
        (format!("sslrootcert={broken}"), format!("sslrootcert {broken} cannot be used: ")),
        (format!("sslcert={none}&sslkey={none}"), format!("sslcert {none} cannot be read")),
        (format!("sslcert={text}&sslkey={none}"), format!("sslcert {text} holds no certificate")),
        (format!("sslcert={broken}&sslkey={none}"), format!("sslkey {none} cannot be read")),
        (format!("sslcert={broken}&sslkey={open}"), format!("sslkey {open} can be read by others: chmod")),
        (format!("sslcert={broken}&sslkey={text}"), format!("sslkey {text} holds no private key, or an encrypted one")),
    ] {
        let error = check(&format!("postgres://u:secret@h1/?sslmode=require&{keys}")).unwrap_err();
        assert!(error.starts_with(&reason), "{keys}: {error}");
        // Nothing is read without TLS.
        check(&format!("postgres://u:secret@h1/?sslmode=disable&{keys}")).unwrap();
    }
    fs::remove_dir_all(folder).unwrap();
}
