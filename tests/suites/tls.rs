//! A server that takes nothing but TLS: each mode of libpq, client certificates, and a whole system.

use common::{
    config::{ConfigSource, DatabaseSettings},
    db::{self, Connection, DbError},
};
use serde_json::json;
use tests::{
    Stack, StackOptions,
    certificates::{Authority, NAME, Pair},
    stack::ORCHESTRATOR,
    tls_server::TlsServer,
    with_stack,
};

fn settings() -> DatabaseSettings {
    ConfigSource::embedded("bench").load().expect("the built-in settings are valid").database
}

/// Connects, and returns whether the session is encrypted.
async fn connect(url: &str) -> Result<bool, String> {
    let opened = Connection::open_writable(&url.into(), "postgres", &settings()).await;
    let mut connection = opened.map_err(|error: DbError| error.to_string())?;
    let row = connection.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await;
    Ok(row.expect("a session knows itself").get(0))
}

async fn assert_encrypted(url: &str) {
    assert_eq!(connect(url).await, Ok(true), "{url}");
}

/// The connect fails, and the error has all of these parts.
async fn assert_refused(url: &str, parts: &[&str]) {
    let error = connect(url).await.expect_err(url);
    for part in parts {
        assert!(error.contains(part), "{url}: {error} lacks {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_checks_what_libpq_checks() {
    let server = TlsServer::start().await;
    let right = server.root().display().to_string();
    let wrong = Authority::new().write(server.files(), "wrong.crt").display().to_string();
    let other = format!("postgres://postgres@other.test/postgres?hostaddr={}", server.address);
    let not_encrypted = "no encryption (28000)";

    for keys in ["", "sslmode=allow", "sslmode=prefer", "sslmode=require"] {
        assert_encrypted(&server.url(keys)).await;
    }
    assert_refused(&server.url("sslmode=disable"), &[not_encrypted]).await;
    for mode in ["prefer", "allow", "require", "verify-ca", "verify-full"] {
        assert_encrypted(&server.url(&format!("sslmode={mode}&sslrootcert={right}"))).await;
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let parts = [NAME, &server.address.to_string(), &format!("sslrootcert {wrong}"), "certificate"];
        assert_refused(&server.url(&format!("sslmode={mode}&sslrootcert={wrong}")), &parts).await;
    }
    // The certificate is checked, and then the connection is tried without TLS.
    assert_refused(&server.url(&format!("sslmode=prefer&sslrootcert={wrong}")), &[not_encrypted]).await;
    for mode in ["require", "verify-ca"] {
        assert_encrypted(&format!("{other}&sslmode={mode}&sslrootcert={right}")).await;
    }
    let parts = ["other.test", NAME, "sslmode=verify-full"];
    assert_refused(&format!("{other}&sslmode=verify-full&sslrootcert={right}"), &parts).await;
    // The CAs of the system, if it has any, did not sign the certificate.
    for keys in ["sslmode=verify-full", "sslmode=verify-ca", "sslrootcert=system"] {
        assert_refused(&server.url(keys), &[NAME, "CA"]).await;
    }

    server.present(&server.authority.expired(&[NAME])).await;
    assert_encrypted(&server.url("sslmode=require")).await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let parts = [NAME, "expired", &right];
        assert_refused(&server.url(&format!("sslmode={mode}&sslrootcert={right}")), &parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_servers_own_is_a_root() {
    let server = TlsServer::start().await;
    let own = Pair::self_signed(&[NAME]);
    server.present(&own).await;
    let root = own.write(server.files(), "own").0.display().to_string();
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_encrypted(&server.url(&format!("sslmode={mode}&sslrootcert={root}"))).await;
    }
    let other = format!("postgres://postgres@other.test/postgres?hostaddr={}", server.address);
    assert_refused(&format!("{other}&sslmode=verify-full&sslrootcert={root}"), &["other.test", NAME]).await;
    let twin = Pair::self_signed(&[NAME]).write(server.files(), "twin").0.display().to_string();
    assert_refused(&server.url(&format!("sslmode=verify-ca&sslrootcert={twin}")), &[NAME, &twin]).await;

    let expired = Pair::self_signed_and_expired(&[NAME]);
    server.present(&expired).await;
    let root = expired.write(server.files(), "expired").0.display().to_string();
    assert_refused(&server.url(&format!("sslmode=verify-ca&sslrootcert={root}")), &[NAME, "expired"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_and_a_bound_password_log_in() {
    let server = TlsServer::start().await;
    let keys = |(certificate, key): (std::path::PathBuf, std::path::PathBuf)| {
        format!("sslmode=require&sslcert={}&sslkey={}", certificate.display(), key.display())
    };
    let url = |keys: &str| server.url_of("with_certificate", keys);
    let right = keys(server.authority.client("with_certificate").write(server.files(), "client"));
    assert_encrypted(&url(&right)).await;
    assert_refused(&url("sslmode=require"), &[NAME, "certificate"]).await;
    let of_another_role = keys(server.authority.client("postgres").write(server.files(), "postgres"));
    assert_refused(&url(&of_another_role), &[NAME, "28000"]).await;
    let not_trusted = keys(Authority::new().client("with_certificate").write(server.files(), "stranger"));
    assert_refused(&url(&not_trusted), &[NAME, "does not accept sslcert", "stranger.crt"]).await;
    let (certificate, _) = server.authority.client("with_certificate").write(server.files(), "one");
    let (_, key) = server.authority.client("with_certificate").write(server.files(), "other");
    assert_refused(&url(&keys((certificate, key))), &["one.crt", "other.key"]).await;

    let bound = "sslmode=require&channel_binding=require";
    assert_encrypted(&server.url_of("with_password:secret", bound)).await;
    assert_refused(&server.url_of("with_password:wrong", bound), &[NAME, "28P01"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_used_only_if_the_mode_allows_it() {
    let server = TlsServer::start().await;
    server.turn_tls_off().await;
    for keys in ["", "sslmode=disable", "sslmode=allow", "sslmode=prefer"] {
        assert_eq!(connect(&server.url(keys)).await, Ok(false), "{keys}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let parts = [NAME, "does not support TLS", mode];
        assert_refused(&server.url(&format!("sslmode={mode}&sslrootcert={}", server.root().display())), &parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_system_runs_over_tls() {
    let server = TlsServer::start().await;
    let (certificate, key) = server.authority.client("with_certificate").write(server.files(), "client");
    let keys = format!(
        "sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
        server.root().display(),
        certificate.display(),
        key.display()
    );
    let url = server.url_of("with_certificate", &keys);
    db::wait_for(&url.as_str().into(), None, tests::PATIENCE).await.expect("the server answers");
    let options = StackOptions::default().on_server(&server.cluster.url).reached_by(&url);
    with_stack(options, async |stack: &Stack| {
        let bought = stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "u", "amount": 10 })).await;
        assert_eq!(bought.status, 200, "{}", bought.text);
        let sessions = "select count(*) from pg_stat_activity join pg_stat_ssl using (pid)
                        where application_name = 'ecommerce' and ssl = $1";
        let administrator = server.administrator().await;
        // The pools of five services and the session of the lease.
        assert!(administrator.number(sessions, &[&true]).await >= 6);
        assert_eq!(administrator.number(sessions, &[&false]).await, 0);
    })
    .await;
}
