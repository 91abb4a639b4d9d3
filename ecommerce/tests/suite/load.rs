//! `load` on a running system: its counts, its files, its exit.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    program::{Ran, Server, command, finish, up_command},
    support::Folder,
};

/// A running `up` and the addresses of its services.
struct System {
    up: Server,
    folder: Folder,
    addresses: Vec<(&'static str, String)>,
}

impl System {
    /// Starts a system whose payments, inventory and purchases refuse half of the requests, with a stock of one per
    /// product.
    fn refusing(more: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let mut command = up_command(&folder.path().join("data"));
        command.env("ECOMMERCE__INVENTORY__INITIAL_STOCK", "1");
        for operation in ["PAYMENTS__CHARGE", "INVENTORY__DECREASE", "PURCHASES__CREATE"] {
            command.env(format!("ECOMMERCE__FAULTS__{operation}__FAILURE_RATE"), "0.5");
        }
        let mut up = Server::start(command.envs(more.iter().copied()));
        let services = ["catalog", "payments", "inventory", "purchases", "orchestrator"];
        let addresses = services.map(|service| (service, up.wait_for_line(service))).to_vec();
        up.wait_for_line("Ctrl-C");
        Self { up, folder, addresses }
    }

    /// Makes a `load` command with all addresses.
    fn load(&self, arguments: &[&str]) -> Command {
        let mut command = command(&["load", "--profile", "bench"]);
        for (service, address) in &self.addresses {
            command.env(format!("ECOMMERCE__SERVICES__{}__URL", service.to_uppercase()), address);
        }
        let target = &self.addresses[4].1;
        command.args(["--target", target, "--data-dir"]).arg(self.folder.path().join("data"));
        command.arg("--report").arg(self.report()).args(arguments);
        command
    }

    /// Changes the failure settings of payments.
    fn set_faults(&self, faults: String) {
        let (_, payments) = self.addresses.iter().find(|(name, _)| *name == "payments").unwrap();
        let request = tests::http::client().put(format!("{payments}/debug/faults/"));
        let request = request.header("content-type", "application/json").body(faults);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        assert_eq!(runtime.block_on(async { request.send().await.unwrap().status() }), 200);
    }

    fn report(&self) -> std::path::PathBuf {
        self.folder.path().join("report.html")
    }
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn every_purchase_is_counted_once_with_who_refused_it_and_the_books_agree() {
    let mut system = System::refusing(&[]);
    let ran = finish(&mut system.load(&["--sagas", "240", "--concurrency", "16", "--json", "--audit"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = json(&ran);
    assert_eq!(document["sagas"], 240);
    let count = |outcome: &str| document["outcomes"][outcome]["count"].as_u64().unwrap();
    assert_eq!(count("COMPLETED") + count("COMPENSATED"), 240, "{document}");
    let shares = document["shares"].as_array().unwrap();
    let expected: Vec<_> = shares.iter().map(|share| share["expected"].as_f64().unwrap()).collect();
    assert_eq!(expected, [0.125, 0.5, 0.25, 0.125]);
    assert_eq!(shares.iter().map(|share| share["count"].as_u64().unwrap()).sum::<u64>(), 240, "{document}");
    // Six standard deviations. Without the restock, each of the 20 products could be sold only once.
    let refused_by_inventory = shares[2]["seen"].as_f64().unwrap();
    assert!((0.08..0.42).contains(&refused_by_inventory), "{document}");
    assert_eq!(document["audit"]["clean"], true, "{document}");

    let page = fs::read_to_string(system.report()).unwrap();
    assert_eq!(page.matches("<svg ").count(), 3);
    for word in ["COMPLETED", "refused by payments", "12.5 %", "closed loop"] {
        assert!(page.contains(word), "{word}");
    }
    // XML namespaces are URLs but are not fetched.
    let fetched = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!fetched.contains("http") && !fetched.contains("<script") && !fetched.contains("src="), "self-contained");
    system.up.stop();
}

#[test]
fn an_open_loop_tells_people_what_they_want_to_know_and_asks_nothing_without_a_terminal() {
    let mut system = System::refusing(&[]);
    let ran = finish(&mut system.load(&["--sagas", "30", "--concurrency", "30", "--rate", "200"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in
        ["COMPLETED", "COMPENSATED", "p50 ms", "p99 ms", "open loop, 200 per second", "expected 12.5 %", "report.html"]
    {
        assert!(ran.out.contains(word), "{word}: {ran:?}");
    }
    assert!(ran.out.contains("20 products, 20 of them restocked"), "{ran:?}");
    assert!(!ran.out.contains("invariant"), "no audit was requested: {ran:?}");
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{ran:?}");
    system.up.stop();
}

#[test]
fn purchases_that_are_busy_or_accepted_first_are_followed_to_their_ends() {
    // Four run at once, so most orders are refused with a 503; the wait limit is far below a charge's latency.
    let mut system = System::refusing(&[
        ("ECOMMERCE__ORCHESTRATOR__MAX_RUNNING", "4"),
        ("ECOMMERCE__ORCHESTRATOR__WAIT_LIMIT_MS", "20"),
        ("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__LATENCY_MS__MIN", "200"),
        ("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__LATENCY_MS__MAX", "200"),
    ]);
    let ran = finish(&mut system.load(&["--sagas", "12", "--concurrency", "12", "--json", "--audit"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = json(&ran);
    assert!(document["asked_again"].as_u64().unwrap() > 0, "{document}");
    assert!(document["followed"].as_u64().unwrap() > 0, "{document}");
    let count = |outcome: &str| document["outcomes"][outcome]["count"].as_u64().unwrap();
    assert_eq!(count("COMPLETED") + count("COMPENSATED"), 12, "{document}");
    // Retries with the same key make no second purchase.
    let total = finish(command(&["list", "--json", "--target", &system.addresses[4].1]).arg("--limit=1"));
    assert_eq!(json(&total)["total"], 12, "{total:?}");
    system.up.stop();
}

#[test]
fn a_rate_limit_slows_a_run_and_nothing_else() {
    // Fewer tokens than the restock needs, and far fewer than the purchases need.
    let mut system =
        System::refusing(&[("ECOMMERCE__RATE_LIMIT__PER_SECOND", "20"), ("ECOMMERCE__RATE_LIMIT__BURST", "10")]);
    let ran = finish(&mut system.load(&["--sagas", "40", "--concurrency", "20", "--json"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = json(&ran);
    assert!(document["rate_limited"].as_u64().unwrap() > 0, "{document}");
    assert_eq!(document["stock"], "20 products, 20 of them restocked", "{document}");
    let count = |outcome: &str| document["outcomes"][outcome]["count"].as_u64().unwrap();
    assert_eq!(count("COMPLETED") + count("COMPENSATED"), 40, "{document}");

    let told = finish(&mut system.load(&["--sagas", "40", "--concurrency", "20"]));
    assert!(told.code == 0 && told.out.contains("Retry-After"), "{told:?}");
    system.up.stop();
}

#[test]
fn shares_are_expected_only_while_every_call_is_answered() {
    let mut system = System::refusing(&[]);
    let lose = |rate: f64| system.set_faults(serde_json::json!({ "charge": { "lost_reply_rate": rate } }).to_string());
    // A charge gets no answer at all if all four replies are lost: one in six million.
    lose(0.02);
    let answered = finish(&mut system.load(&["--sagas", "40", "--concurrency", "8", "--json"]));
    assert_eq!(json(&answered)["shares"][0]["expected"], 0.125, "{answered:?}");
    lose(1.0);
    let lost = finish(&mut system.load(&["--sagas", "3", "--concurrency", "3"]));
    assert!(lost.out.contains("expected shares: none computed, since 3 purchases were neither"), "{lost:?}");
    assert!(lost.out.contains("payments charge loses replies"), "{lost:?}");
    system.up.stop();
}

#[test]
fn ctrl_c_stops_buying_and_shows_the_table_so_far() {
    let mut system = System::refusing(&[]);
    let mut load = Server::start(&mut system.load(&["--sagas", "1000000", "--concurrency", "4", "--rate", "50"]));
    let target = system.addresses[4].1.clone();
    crate::support::wait_until("a purchase was made", || {
        let list = finish(command(&["list", "--json", "--limit", "1"]).args(["--target", &target]));
        json(&list)["total"].as_u64().unwrap() > 5
    });
    load.signal(rustix::process::Signal::INT);
    let (code, err) = load.wait();
    assert_eq!(code, 0, "{err}");
    assert!(load.has_said("stopped after"), "{}", load.said);
    assert!(load.said.contains("of 1000000 purchases"), "{}", load.said);
    system.up.stop();
}

#[test]
fn what_is_wrong_is_told_before_anything_is_bought() {
    let nobody = finish(&mut command(&["load", "--target", "http://127.0.0.1:1", "--no-report"]));
    assert_eq!(nobody.code, 3, "{nobody:?}");
    let nothing = finish(&mut command(&["load", "--sagas", "0"]));
    assert_eq!(nothing.code, 2, "{nothing:?}");
    let standing = finish(&mut command(&["load", "--rate", "0"]));
    assert_eq!(standing.code, 2, "{standing:?}");

    let mut system = System::refusing(&[("ECOMMERCE__AUTH__API_TOKEN", "sesame")]);
    let closed = finish(&mut system.load(&["--sagas", "3"]));
    assert_eq!(closed.code, 4, "{closed:?}");
    assert!(closed.error().contains("--token"), "{closed:?}");
    let open = finish(&mut system.load(&["--sagas", "3", "--token", "sesame"]));
    assert_eq!(open.code, 0, "{open:?}");
    system.up.stop();
}
