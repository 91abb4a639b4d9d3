//! A database role per service: the roles that `migrate` creates, and their access.

use std::{fs, process::Command};

use tests::private_cluster::PrivateCluster;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls};

use crate::program::{Ran, Server, command, finish, run, up_command};

const SERVICES: [&str; 5] = ["orchestrator", "catalog", "payments", "inventory", "purchases"];
const OF_EVERY_CLUSTER: [&str; 2] = ["postgres", "template1"];
const INIT: &str = include_str!("../../../docker/postgres/init.sql");

/// A server that requires passwords from all users except its administrator.
struct Cluster {
    runtime: Runtime,
    server: PrivateCluster,
}

impl Cluster {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(PrivateCluster::start());
        let cluster = Self { runtime, server };
        let administrator = cluster.connect("postgres", "postgres", "").unwrap();
        cluster.runtime.block_on(async {
            administrator.batch_execute(INIT).await.unwrap();
            let hba: String = administrator.query_one("show hba_file", &[]).await.unwrap().get(0);
            fs::write(hba, "local all postgres trust\nlocal all all scram-sha-256\n").unwrap();
            administrator.query_one("select pg_reload_conf()", &[]).await.unwrap();
        });
        wait_until_read(|| {
            cluster.connect("postgres", "nobody", "none").is_err_and(|error| error.contains("password"))
        });
        cluster
    }

    /// Connects, or returns the reason of the failure.
    fn connect(&self, database: &str, user: &str, password: &str) -> Result<Client, String> {
        let mut config: Config = self.server.url.parse().unwrap();
        config.user(user).dbname(database);
        if !password.is_empty() {
            config.password(password);
        }
        self.runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await.map_err(|error| {
                error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned())
            })?;
            tokio::spawn(connection);
            Ok(client)
        })
    }

    fn migrate(&self, passwords: &str) -> Ran {
        finish(with_passwords(&mut command(&["migrate", "--database-url", &self.server.url]), passwords))
    }

    /// The URL of the server, without a user.
    fn url(&self) -> String {
        let (before, after) = self.server.url.split_once('@').unwrap();
        let (scheme, _) = before.split_once("//").unwrap();
        format!("{scheme}//{after}")
    }
}

fn wait_until_read(is_so: impl FnMut() -> bool) {
    crate::support::wait_until("the server has read its rules", is_so);
}

/// Sets each service's password to this prefix and the service's name.
fn with_passwords<'a>(command: &'a mut Command, passwords: &str) -> &'a mut Command {
    for service in SERVICES {
        let variable = format!("ECOMMERCE__SERVICES__{}__DATABASE_PASSWORD", service.to_uppercase());
        command.env(variable, format!("{passwords}-{service}"));
    }
    command
}

#[test]
fn a_role_reaches_its_own_database_and_no_other_one() {
    let cluster = Cluster::start();
    let ran = cluster.migrate("first");
    assert_eq!(ran.code, 0, "{ran:?}");
    let databases = SERVICES.map(|service| format!("ms_{service}"));
    let reachable: Vec<&str> = databases.iter().map(String::as_str).chain(OF_EVERY_CLUSTER).collect();
    for (service, role) in SERVICES.into_iter().zip(&databases) {
        for database in &reachable {
            let connected = cluster.connect(database, role, &format!("first-{service}"));
            if *database == role.as_str() {
                drop(connected.unwrap())
            } else {
                let refusal = connected.map(drop).unwrap_err();
                assert_eq!(refusal, format!("permission denied for database \"{database}\""), "{role}");
            }
        }
        let guessed = cluster.connect(role, role, "first-guess").map(drop).unwrap_err();
        assert!(guessed.contains("password authentication failed"), "{guessed}");
    }
    // The server logs statements, so they must not contain a password.
    let administrator = cluster.connect("postgres", "postgres", "").unwrap();
    let kept = cluster
        .runtime
        .block_on(administrator.query("select rolpassword from pg_authid where rolname like 'ms_%'", &[]));
    for row in kept.unwrap() {
        assert!(row.get::<_, String>(0).starts_with("SCRAM-SHA-256$"));
    }
}

#[test]
fn databases_of_one_user_are_handed_over_to_roles_of_their_own_and_passwords_can_be_changed() {
    let cluster = Cluster::start();
    let ran = run(&["migrate", "--database-url", &cluster.server.url]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for passwords in ["first", "second"] {
        let ran = cluster.migrate(passwords);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    for service in SERVICES {
        let role = format!("ms_{service}");
        assert!(cluster.connect(&role, &role, &format!("first-{service}")).is_err(), "the old password");
        let client = cluster.connect(&role, &role, &format!("second-{service}")).unwrap();
        let strangers = "select c.relname::text from pg_class c
            where c.relnamespace = 'public'::regnamespace and pg_get_userbyid(c.relowner) <> current_user
            union all select p.proname::text from pg_proc p
            where p.pronamespace = 'public'::regnamespace and pg_get_userbyid(p.proowner) <> current_user";
        let left = cluster.runtime.block_on(client.query(strangers, &[])).unwrap();
        assert!(left.is_empty(), "{service}: {:?}", left.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>());
    }
}

#[test]
fn purchases_run_and_are_audited_without_the_administrator() {
    let cluster = Cluster::start();
    assert_eq!(cluster.migrate("first").code, 0);
    let url = cluster.url();
    let ran = finish(with_passwords(&mut command(&["migrate", "--database-url", &url]), "first"));
    assert_eq!(ran.code, 0, "nothing needs creation, and the roles may migrate: {ran:?}");
    let data_dir = crate::support::Folder::new();
    let mut up = Server::start(with_passwords(up_command(data_dir.path()).args(["--database-url", &url]), "first"));
    let front = up.wait_until_up();
    let ran = run(&["order", "--user", "u", "--amount", "12.50", "--target", &front]);
    assert_eq!(ran.code, 0, "{ran:?}");
    up.stop();
    let mut audit = command(&["audit", "--settled", "--database-url", &url]);
    let ran = finish(with_passwords(&mut audit, "first"));
    assert!(ran.code == 0 && ran.out.contains("12.50"), "{ran:?}");

    let mut wrong = command(&["serve", "payments", "--port", "0", "--database-url", &url]);
    let ran = finish(with_passwords(&mut wrong, "wrong"));
    assert!(ran.code != 0 && ran.error().contains("password authentication failed"), "{ran:?}");
    assert!(!ran.err.contains("wrong-payments"), "{ran:?}");
}

#[test]
fn a_superuser_is_no_role_of_a_service() {
    let cluster = Cluster::start();
    let mut migrate = command(&["migrate", "--database-url", &cluster.server.url]);
    let ran = finish(with_passwords(migrate.env("ECOMMERCE__SERVICES__PAYMENTS__DATABASE", "postgres"), "first"));
    assert!(ran.code != 0 && ran.error().contains("role postgres is a superuser"), "{ran:?}");
}
