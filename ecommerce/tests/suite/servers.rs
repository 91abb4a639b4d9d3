//! Services whose databases are on servers of their own: every command finds each of them by its own URL.

use std::{net::TcpListener, process::Command};

use tests::{database::Database, private_cluster::PrivateCluster};
use tokio::runtime::Runtime;

use crate::{
    program::{Ran, Server, command, finish, run, up_command},
    support::{Folder, wait_until},
};

const SERVICES: [&str; 5] = ["catalog", "payments", "inventory", "purchases", "orchestrator"];

/// Three servers: one for the saga log, one for payments, one for all others.
struct Servers {
    runtime: Runtime,
    log: PrivateCluster,
    payments: PrivateCluster,
    others: PrivateCluster,
}

impl Servers {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let start = PrivateCluster::start;
        let (log, payments, others) = runtime.block_on(async { tokio::join!(start(), start(), start()) });
        Self { runtime, log, payments, others }
    }

    /// Names the servers of the log and of payments.
    fn divide<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("ECOMMERCE__SERVICES__ORCHESTRATOR__DATABASE_URL", &self.log.url)
            // The database in a URL is only where `migrate` connects first.
            .env(
                "ECOMMERCE__SERVICES__PAYMENTS__DATABASE_URL",
                self.payments.url.replacen("/postgres?", "/template1?", 1),
            )
    }

    /// Runs a command with the server of the others as `--database-url`.
    fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.divide(command(arguments).args(["--database-url", &self.others.url])))
    }

    fn databases(&self, server: &PrivateCluster) -> Vec<String> {
        self.runtime.block_on(async {
            let database = Database::connect(&server.url, "postgres").await;
            let rows = database.rows("select datname from pg_database where datname like 'ms_%' order by 1", &[]).await;
            rows.iter().map(|row| row.get(0)).collect()
        })
    }
}

/// Sets the address of each service to a free port.
fn with_ports(command: &mut Command, ports: &[u16; 5]) {
    for (service, port) in SERVICES.into_iter().zip(ports) {
        command.env(format!("ECOMMERCE__SERVICES__{}__PORT", service.to_uppercase()), port.to_string());
    }
}

fn free_ports() -> [u16; 5] {
    let listeners = SERVICES.map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn buy(front: &str) -> String {
    let ran = run(&["order", "--user", "u", "--amount", "12.50", "--json", "--target", front]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    answer["transaction_id"].as_str().unwrap().to_owned()
}

#[test]
fn every_command_finds_each_database_on_its_own_server() {
    let servers = Servers::start();
    let ran = servers.run(&["migrate"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(servers.databases(&servers.log), ["ms_orchestrator"]);
    assert_eq!(servers.databases(&servers.payments), ["ms_payments"]);
    assert_eq!(servers.databases(&servers.others), ["ms_catalog", "ms_inventory", "ms_purchases"]);

    let ports = free_ports();
    let mut served: Vec<Server> = SERVICES
        .into_iter()
        .map(|service| {
            let mut serve = command(&["serve", service, "--profile", "bench"]);
            with_ports(servers.divide(&mut serve), &ports);
            // With a server of its own a service needs no other one.
            if !["orchestrator", "payments"].contains(&service) {
                serve.args(["--database-url", &servers.others.url]);
            }
            Server::start(&mut serve)
        })
        .collect();
    let addresses: Vec<String> =
        served.iter_mut().zip(SERVICES).map(|(server, service)| server.wait_for_line(service)).collect();
    let front = &addresses[4];
    let id = buy(front);

    let inspected = run(&["inspect", &id, "--target", front]);
    for word in ["COMPLETED", "charge", "decrease", "create"] {
        assert!(inspected.out.contains(word), "{word}: {inspected:?}");
    }
    let audited = servers.run(&["audit", "--settled"]);
    assert!(audited.code == 0 && audited.out.contains("12.50 charged"), "{audited:?}");

    // Only the saga log is needed for a hold.
    let held = finish(servers.divide(&mut command(&["hold", "--reason", "a drill"])));
    assert!(held.code == 0 && held.out.contains("a drill"), "{held:?}");
    wait_until("the node has read the hold", || {
        run(&["order", "--user", "u", "--amount", "1", "--target", front]).code == 4
    });
    let released = servers.run(&["release"]);
    assert!(released.code == 0 && released.out.contains("every invariant holds"), "{released:?}");
    wait_until("purchases begin", || run(&["order", "--user", "u", "--amount", "1", "--target", front]).code == 0);
    for mut server in served.into_iter().rev() {
        server.stop();
    }
}

#[test]
fn an_up_starts_a_server_for_the_services_without_one_and_an_audit_judges_no_foreign_database() {
    let servers = Servers::start();
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let on_data = |arguments: &[&str]| finish(servers.divide(command(arguments).arg("--data-dir").arg(&data_dir)));
    let mut up = Server::start(servers.divide(&mut up_command(&data_dir)));
    let front = up.wait_for_line("orchestrator");
    let url = up.wait_for_line("database");
    up.wait_for_line("Ctrl-C");
    buy(&front);
    assert_eq!(servers.databases(&servers.payments), ["ms_payments"]);
    let audited = on_data(&["audit", "--settled"]);
    assert!(audited.code == 0 && audited.out.contains("12.50 charged"), "{audited:?}");

    // Without the URL of payments its database is looked for on the server of the others.
    let mistaken = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.args(["--database-url", &url]).env("ECOMMERCE__SERVICES__ORCHESTRATOR__DATABASE_URL", &servers.log.url);
        finish(&mut command)
    };
    let missing = mistaken(&["audit"]);
    assert_eq!(missing.code, 4, "{missing:?}");
    for word in ["payments (database.url): ", "ms_payments", "ecommerce migrate"] {
        assert!(missing.error().contains(word), "{word}: {missing:?}");
    }
    assert_eq!(mistaken(&["migrate"]).code, 0);
    assert_eq!(mistaken(&["hold"]).code, 0);
    for arguments in [&["audit"][..], &["audit", "--settled", "--json"], &["release"]] {
        let unused = mistaken(arguments);
        assert!(unused.code == 4 && unused.out.is_empty(), "{unused:?}");
        for word in ["payments (database.url): database ms_payments was never used", "Nothing was judged"] {
            assert!(unused.err.contains(word), "{word}: {unused:?}");
        }
    }
    let released = mistaken(&["release", "--anyway"]);
    assert!(released.code == 0 && released.out.contains("was never used"), "{released:?}");
    up.stop();

    // With a server for each service, `up` starts none.
    let mut everywhere = up_command(&data_dir);
    for service in SERVICES {
        let variable = format!("ECOMMERCE__SERVICES__{}__DATABASE_URL", service.to_uppercase());
        everywhere.env(variable, &servers.others.url);
    }
    let mut up = Server::start(&mut everywhere);
    up.wait_until_up();
    assert!(!data_dir.join("postmaster.pid").exists() && !up.said.contains("database"), "{}", up.said);
    assert_eq!(servers.databases(&servers.others).len(), SERVICES.len());
    up.stop();
}

#[test]
fn an_error_names_the_service_and_the_key_of_its_url() {
    let [port, ..] = free_ports();
    let url = format!("postgres://someone:hush@127.0.0.1:{port}/");
    let ran = |arguments: &[&str], variable: &str| {
        finish(command(arguments).env(variable, &url).env("ECOMMERCE__DATABASE__START_WAIT_MS", "100"))
    };
    let own = "ECOMMERCE__SERVICES__ORCHESTRATOR__DATABASE_URL";
    let serve = ["serve", "orchestrator", "--port", "0"];
    for (arguments, variable, named) in [
        (&serve[..], own, "orchestrator (services.orchestrator.database_url): cannot reach"),
        (&["hold"], own, "orchestrator (services.orchestrator.database_url): cannot reach"),
        (&serve, "ECOMMERCE__DATABASE__URL", "orchestrator (database.url): cannot reach"),
        (&["migrate"], "ECOMMERCE__DATABASE__URL", "catalog (database.url): cannot reach"),
        (&["audit"], "ECOMMERCE__DATABASE__URL", "payments (database.url): cannot reach"),
    ] {
        let ran = ran(arguments, variable);
        assert_eq!(ran.code, 3, "{arguments:?} {ran:?}");
        assert!(ran.error().contains(named) && !ran.err.contains("hush"), "{arguments:?} {ran:?}");
    }
    let folder = Folder::new();
    let data_dir = folder.path().to_str().unwrap();
    for (arguments, named) in [
        (&["migrate"][..], "for catalog, payments, inventory, purchases: "),
        (&["serve", "inventory"], "services.inventory.database_url"),
        (&["audit", "--data-dir", data_dir], "for payments, inventory, purchases, and no `ecommerce up` runs on"),
        (&["release", "--data-dir", data_dir], "services.payments.database_url"),
    ] {
        let ran = ran(arguments, own);
        assert_eq!(ran.code, 2, "{arguments:?} {ran:?}");
        assert!(ran.error().contains(named), "{arguments:?} {ran:?}");
    }
}
