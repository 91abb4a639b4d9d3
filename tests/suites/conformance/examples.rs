//! The example participants keep every rule, on the machine's Python, Node.js and Go.
//!
//! `tests/examples.sh` prepares each. Python is required; the others are named in the output if they cannot run here.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::FutureExt;
use parking_lot::Mutex;
use tests::{
    PATIENCE, cluster,
    database::Database,
    files::{target, workspace},
    wait_until,
};
use tokio::{net::TcpStream, task::spawn_blocking};
use uuid::Uuid;

use crate::{assert_conforms, conform};

/// A language, and the configuration of its service in `examples/trip`.
const EXAMPLES: [(&str, &str); 3] = [("python", "flights"), ("typescript", "hotels"), ("go", "cars")];

/// The language whose example always runs.
const REQUIRED: &str = "python";

/// The exit code of `tests/examples.sh` without the programs of a language.
const NO_TOOLCHAIN: i32 = 3;

/// Time between the kill of a service and its next start.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Prepares an example and returns the program to run; the error says which programs are missing.
fn prepare(language: &str) -> Result<PathBuf, String> {
    let script = workspace().join("tests/examples.sh");
    let folder = target().join("examples");
    let output = Command::new(script).arg(language).arg(&folder).output().expect("bash runs scripts");
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(folder.join(language).join("run")),
        Some(NO_TOOLCHAIN) => Err(said),
        code => panic!("tests/examples.sh {language} ended with {code:?}: {said}"),
    }
}

/// A running example, on a database of its own.
struct Example {
    program: PathBuf,
    port: u16,
    database_url: String,
    child: Mutex<Option<Child>>,
}

impl Example {
    async fn start(program: PathBuf, database_url: String) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let example = Self { program, port, database_url, child: Mutex::default() };
        example.run().await;
        example
    }

    async fn run(&self) {
        let child = Command::new(&self.program)
            .env("PORT", self.port.to_string())
            .env("DATABASE_URL", &self.database_url)
            .stdin(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let port = self.port;
        wait_until("the example listens", PATIENCE, async || {
            let ended = child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "{} ended with {ended:?}", self.program.display());
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        *self.child.lock() = Some(child);
    }

    /// Kills the process, and starts it again on its port.
    async fn restart(&self) {
        self.kill();
        wait_until("the port is free", KILL_LIMIT, async || TcpStream::connect(("127.0.0.1", self.port)).await.err())
            .await;
        self.run().await;
    }

    fn kill(&self) {
        if let Some(mut child) = self.child.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reports examples that were not run, past the harness, which shows the output of failing tests only.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_keep_every_rule_where_their_language_is_installed() {
    let _slot = cluster::Slot::take().await;
    let server_url = cluster::server_url().await;
    let server = Database::connect(server_url, "postgres").await;
    for (language, config) in EXAMPLES {
        let program = match spawn_blocking(move || prepare(language)).await.expect("no panic") {
            Ok(program) => program,
            Err(missing) if language != REQUIRED => {
                tell(&format!("examples/{language}-participant was not run: {missing}"));
                continue;
            }
            Err(missing) => panic!("examples/{language}-participant must run: {missing}"),
        };
        let name = format!("t{}_{config}", Uuid::new_v4().simple());
        server.run(&format!("create database {name}")).await;
        let database_url = server_url.replacen("/postgres?", &format!("/{name}?"), 1);
        assert_ne!(database_url, server_url, "the URL names a database");
        let example = Example::start(program, database_url).await;
        let file = workspace().join(format!("examples/trip/{config}.toml"));
        let plan = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (_, rest) = plan.split_once("\nurl = ").expect("the file has an address");
        let (_, rest) = rest.split_once('\n').expect("the address is a line");
        let plan = format!("url = \"http://127.0.0.1:{}\"\n{rest}", example.port);
        let restart = || async { example.restart().await }.map(Ok).boxed_local();
        assert_conforms(language, &conform(&plan, &restart).await);
        drop(example);
        server.run(&format!("drop database {name} with (force)")).await;
    }
}
