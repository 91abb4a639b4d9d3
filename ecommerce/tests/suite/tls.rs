//! Commands over TLS: to PostgreSQL, to an orchestrator behind HTTPS, to a collector of traces.

use std::{path::Path, process::Command};

use tests::{collector::Collector, https_proxy::HttpsProxy, tls_server::TlsServer};
use tokio::runtime::Runtime;

use crate::{
    program::{Ran, Server, command, finish, up_command},
    support::{Folder, wait_until},
};

/// Runs a command that trusts one CA, as if it were one of the system's.
fn trusting(ca: &Path, command: &mut Command) -> Ran {
    finish(command.env("SSL_CERT_FILE", ca).env_remove("SSL_CERT_DIR"))
}

#[test]
fn every_command_speaks_tls_to_the_database_to_https_targets_and_to_a_collector() {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(TlsServer::start());
    let ca = database.root();
    let url = database.url("sslrootcert=system");
    let on_database = |arguments: &[&str]| trusting(&ca, command(arguments).args(["--database-url", &url]));

    let migrated = on_database(&["migrate"]);
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let of_another_ca = tests::certificates::Authority::new().write(database.files(), "other.crt");
    let refused = trusting(
        &of_another_ca,
        command(&["migrate", "--database-url", &url]).env("ECOMMERCE__DATABASE__START_WAIT_MS", "100"),
    );
    assert_eq!(refused.code, 3, "{refused:?}");
    for word in ["db.test:5432", "the CAs of this system", "sslrootcert"] {
        assert!(refused.error().contains(word), "{word}: {refused:?}");
    }

    let pair = database.authority.server(&["localhost"]);
    let collector = runtime.block_on(Collector::start());
    let collector_address = collector.endpoint.trim_start_matches("http://").parse().unwrap();
    let before_collector = runtime.block_on(HttpsProxy::before(collector_address, &pair));
    let folder = Folder::new();
    let mut up = up_command(&folder.path().join("data"));
    up.args(["--database-url", &url])
        .env("SSL_CERT_FILE", &ca)
        .env("ECOMMERCE__TELEMETRY__OTLP_ENDPOINT", &before_collector.url);
    let mut up = Server::start(&mut up);
    let front = up.wait_until_up();
    let front = front.trim_start_matches("http://").parse().unwrap();
    let before_front = runtime.block_on(HttpsProxy::before(front, &pair));
    let target = before_front.url.as_str();
    let order = ["order", "--user", "u", "--amount", "12.50", "--target", target];
    let bought = trusting(&ca, &mut command(&order));
    assert_eq!(bought.code, 0, "{bought:?}");
    let listed = trusting(&ca, &mut command(&["list", "--target", target]));
    assert!(listed.code == 0 && listed.out.contains("COMPLETED"), "{listed:?}");
    let page: serde_json::Value =
        serde_json::from_str(&trusting(&ca, &mut command(&["list", "--json", "--target", target])).out).unwrap();
    let id = page["transactions"][0]["transaction_id"].as_str().unwrap();
    let end = &id[28..];
    let shown = trusting(&ca, &mut command(&["status", end, "--target", target]));
    assert!(shown.code == 0 && shown.out.contains(id), "a part of an id: {shown:?}");
    let watched = trusting(&ca, &mut command(&["watch", end, "--target", target]));
    assert!(watched.code == 0 && watched.out.contains("COMPLETED"), "a stream of events: {watched:?}");
    assert_eq!(trusting(&ca, &mut command(&["health", target])).code, 0);
    let refused = trusting(&of_another_ca, &mut command(&order));
    assert_eq!(refused.code, 3, "{refused:?}");
    for word in [target, "certificate", "SSL_CERT_FILE"] {
        assert!(refused.error().contains(word), "{word}: {refused:?}");
    }
    wait_until("the collector has the purchase", || {
        collector.spans().iter().any(|span| span.service == "orchestrator")
    });
    let audited = on_database(&["audit", "--settled"]);
    assert!(audited.code == 0 && audited.out.contains("12.50 charged"), "{audited:?}");
    assert_eq!(on_database(&["hold", "--reason", "a drill"]).code, 0);
    assert_eq!(on_database(&["release"]).code, 0);
    up.stop();
}

#[test]
fn a_url_with_a_file_that_is_missing_is_a_mistake_in_the_configuration() {
    let ran = finish(&mut command(&[
        "serve",
        "payments",
        "--database-url",
        "postgres://u:secret@h/?sslmode=verify-ca&sslrootcert=/no/such.crt",
    ]));
    assert_eq!(ran.code, 2, "{ran:?}");
    for word in ["--database-url", "sslrootcert /no/such.crt cannot be read"] {
        assert!(ran.err.contains(word), "{word}: {ran:?}");
    }
    assert!(!ran.err.contains("secret"), "{ran:?}");
}
