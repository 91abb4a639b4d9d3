//! Signals work and exit codes are correct, whatever happens to the output.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, pipe},
    net::TcpListener,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::{
    fs::OFlags,
    process::Signal,
    pty::{self, OpenptFlags},
};
use serde_json::Value;

use crate::{
    program::{Server, command, finish, run, send, up_command},
    support::{self, Folder},
};

/// Returns the postmaster's process id of a data folder.
fn postmaster(data_dir: &Path) -> u32 {
    let text = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

/// Waits for the end and returns the exit code; kills a process that does not end, and its PostgreSQL too.
fn exit_code(child: &mut Child, data_dir: &Path) -> Option<i32> {
    let mut code = None;
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        support::wait_until("the process has ended", || {
            code = child.try_wait().unwrap();
            code.is_some()
        });
    }));
    if let Err(stuck) = ended {
        child.kill().unwrap();
        child.wait().unwrap();
        send(postmaster(data_dir), Signal::KILL);
        std::panic::resume_unwind(stuck);
    }
    code.and_then(|status| status.code())
}

/// Reads the output until everything runs; returns the address of the orchestrator.
fn wait_until_up(out: impl Read) -> String {
    let mut front = String::new();
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let line = line.trim_end();
        if let Some(url) = line.strip_prefix("  orchestrator ") {
            front = url.trim().to_owned();
        }
        if line.starts_with("Ctrl-C stops") {
            return front;
        }
    }
    panic!("the process ended before all services ran");
}

/// Makes charges slow, so that a stop has to wait for a purchase.
pub(crate) fn slow(command: &mut Command) -> &mut Command {
    for bound in ["MIN", "MAX"] {
        command.env(format!("ECOMMERCE__FAULTS__PAYMENTS__CHARGE__LATENCY_MS__{bound}"), "60000");
    }
    command.env("ECOMMERCE__PARTICIPANTS__TIMEOUT_MS", "90000")
}

/// Starts a purchase and returns once it runs.
fn begin_a_purchase(front: &str) -> Child {
    let mut order = command(&["order", "--user", "u", "--amount", "1", "--target", front]);
    let order = order.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    support::wait_until("the purchase runs", || {
        run(&["list", "--status", "pending", "--target", front]).out.contains("1 of 1")
    });
    order
}

/// Makes a command that runs through a wrapper program.
fn wrapped(plain: &Command, wrapper: &[&str]) -> Command {
    let mut wrapped = Command::new(wrapper[0]);
    wrapped.args(&wrapper[1..]).arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped.current_dir("/");
    wrapped
}

/// Makes a command with the default action for SIGHUP, even if the tests were started with SIGHUP ignored.
fn with_hangup(plain: &Command) -> Command {
    wrapped(plain, &["env", "--default-signal=HUP"])
}

#[test]
fn each_signal_stops_up_after_the_reader_of_its_output_has_gone() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (reader, writer) = pipe().unwrap();
        let mut up = with_hangup(&up_command(&data_dir));
        up.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = up.spawn().unwrap();
        // The command holds the writing end of the pipe.
        drop(up);
        wait_until_up(reader);
        let server = postmaster(&data_dir);
        send(child.id(), signal);
        assert_eq!(exit_code(&mut child, &data_dir), Some(0), "{signal:?}");
        assert!(!support::is_alive(server), "{signal:?}");
    }
}

#[test]
fn up_is_stopped_by_the_terminal_that_is_closed() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let (master, slave) = terminal();
    let mut up = with_hangup(&up_command(&data_dir));
    let mut child = up.stdout(slave.try_clone().unwrap()).stderr(slave).spawn().unwrap();
    drop(up);
    wait_until_up(&master);
    let server = postmaster(&data_dir);
    drop(master);
    send(child.id(), Signal::HUP);
    assert_eq!(exit_code(&mut child, &data_dir), Some(0));
    assert!(!support::is_alive(server));
}

/// Makes a pseudoterminal: the side of the screen, and the side of programs.
fn terminal() -> (File, File) {
    let master: OwnedFd = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    pty::grantpt(&master).unwrap();
    pty::unlockpt(&master).unwrap();
    let name = pty::ptsname(&master, Vec::new()).unwrap();
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed());
    (File::from(master), options.open(name.to_str().unwrap()).unwrap())
}

#[test]
fn services_work_on_while_nobody_reads_their_log() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    for reader in [Listener::Gone, Listener::Asleep] {
        let (log, writer) = pipe().unwrap();
        let mut up = up_command(&data_dir);
        up.env("ECOMMERCE__TELEMETRY__FILTER", "trace").stdout(Stdio::piped()).stderr(writer);
        let mut child = up.spawn().unwrap();
        drop(up);
        let _log = (reader == Listener::Asleep).then_some(log);
        let front = wait_until_up(child.stdout.take().unwrap());
        for _ in 0..5 {
            let bought = run(&["order", "--user", "u", "--amount", "1", "--target", &front]);
            assert_eq!(bought.code, 0, "{reader:?}: {bought:?}");
        }
        assert_eq!(run(&["health", &front]).code, 0, "{reader:?}");
        let server = postmaster(&data_dir);
        send(child.id(), Signal::TERM);
        assert_eq!(exit_code(&mut child, &data_dir), Some(0), "{reader:?}");
        assert!(!support::is_alive(server), "{reader:?}");
    }
}

/// The reader of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    Gone,
    /// Holds the pipe open without reading, like a stopped terminal.
    Asleep,
}

#[test]
fn up_is_not_stopped_by_a_full_disk_under_its_output() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = up_command(&data_dir).stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told = errors.find(|line| line.contains("cannot write the output"));
    assert!(told.is_some_and(|line| line.contains("No space left")));
    let server = postmaster(&data_dir);
    assert!(support::is_alive(server));
    send(child.id(), Signal::TERM);
    assert_eq!(exit_code(&mut child, &data_dir), Some(0));
    assert!(!support::is_alive(server));
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    for wrapper in [&["nohup"][..], &["sh", "-c", r#"trap "" HUP; exec "$0" "$@""#]] {
        let plain = up_command(&data_dir);
        let mut up = Server::start(&mut wrapped(&plain, wrapper));
        let front = up.wait_until_up();
        up.signal(Signal::HUP);
        let bought = run(&["order", "--user", "u", "--amount", "1", "--target", &front]);
        assert_eq!(bought.code, 0, "{wrapper:?}: {bought:?}");
        up.signal(Signal::TERM);
        let (code, errors) = up.wait();
        assert_eq!(code, 0, "{wrapper:?}: {errors}");
        assert_eq!(errors.matches("stopping:").count(), 1, "{errors}");
    }
}

#[test]
fn a_hangup_does_not_stop_a_service_in_production() {
    let folder = Folder::new();
    let mut production = crate::program::up_with("production", &folder.path().join("data"));
    production.env("ECOMMERCE__AUTH__SERVICE_TOKEN", "the-services-token-of-a-test");
    production.env("ECOMMERCE__INVENTORY__INITIAL_STOCK", "100");
    // The address of its database stands in the text for people only.
    production.env("ECOMMERCE__TELEMETRY__FORMAT", "text");
    let mut up = Server::start(&mut with_hangup(&production));
    let front = up.wait_until_up();
    let database = up.said.lines().find_map(|line| line.trim().strip_prefix("database")).unwrap().trim().to_owned();
    up.signal(Signal::HUP);
    up.wait_for_log("SIGHUP does not stop a service");

    let mut serve = command(&["serve", "catalog", "--port", "0", "--profile", "bench"]);
    let mut serve = Server::start(&mut with_hangup(serve.env("ECOMMERCE_DATABASE_URL", &database)));
    let catalog = serve.wait_for_line("catalog");
    serve.signal(Signal::HUP);
    serve.wait_for_notice("SIGHUP does not stop a service");
    for address in [&front, &catalog] {
        assert_eq!(run(&["health", address]).code, 0, "{address}");
    }
    serve.stop();
    up.stop();
}

#[test]
fn a_third_signal_leaves_no_postgresql_behind() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let mut up = Server::start(slow(&mut up_command(&data_dir)));
    let front = up.wait_until_up();
    let mut order = begin_a_purchase(&front);
    let server = postmaster(&data_dir);
    // A stopped process ignores the request to stop, like a server on a hanging disk.
    send(server, Signal::STOP);
    up.signal(Signal::INT);
    up.wait_for_notice("stopping: ");
    up.signal(Signal::INT);
    up.wait_for_notice("stopping at once");
    up.signal(Signal::INT);
    let (code, errors) = up.wait();
    let is_left = support::is_alive(server);
    if is_left {
        send(server, Signal::KILL);
    }
    assert_eq!((code, is_left), (130, false), "{errors}");
    let _ = order.kill();
    order.wait().unwrap();

    let mut up = Server::up(&data_dir);
    up.wait_until_up();
    up.stop();
}

#[test]
fn a_quit_leaves_no_postgresql_behind() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let mut up = Server::start(&mut up_command(&data_dir));
    up.wait_until_up();
    let server = postmaster(&data_dir);
    up.signal(Signal::QUIT);
    let (code, errors) = up.wait();
    let is_left = support::is_alive(server);
    if is_left {
        send(server, Signal::KILL);
    }
    assert_eq!((code, is_left), (130, false), "{errors}");
}

#[test]
fn the_exit_code_is_the_outcome_whatever_becomes_of_the_output() {
    let nobody = format!("http://127.0.0.1:{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let accepted = r#"{"transaction_id":"t-1","status":"PENDING","details":{}}"#;
    let failed = r#"{"transaction_id":"t-1","status":"FAILED","details":{}}"#;
    let unknown = r#"{"title":"Not Found","status":404,"detail":"there is no such saga"}"#;
    let order = "order --user u --amount 1 --target";
    let status = "status 01890000-0000-7000-8000-000000000000 --target";
    let cases = [
        ("404 Not Found", unknown, status, 4),
        ("202 Accepted", accepted, order, 0),
        ("502 Bad Gateway", failed, order, 1),
        ("200 OK", r#"{"status":"healthy"}"#, "health", 0),
        ("503 Service Unavailable", r#"{"status":"unhealthy"}"#, "health", 1),
    ];
    for output in [Output::NoReader, Output::Full, Output::ClosedTerminal] {
        for (answer, body, command, code) in cases {
            let (front, _asked) = crate::cli::answering(answer, body);
            assert_eq!(code_with(&format!("{command} {front}"), output), Some(code), "{answer}, {output:?}");
        }
        assert_eq!(code_with(&format!("health {nobody}"), output), Some(1), "{output:?}");
        assert_eq!(code_with(&format!("{order} {nobody}"), output), Some(3), "{output:?}");
        assert_eq!(code_with("up --profile none", output), Some(2), "{output:?}");
    }
}

#[test]
fn output_that_was_asked_for_and_cannot_be_written_is_exit_code_4_as_the_help_says() {
    let (front, _asked) = crate::cli::answering("200 OK", r#"{"total":0,"transactions":[],"next_cursor":null}"#);
    for command in [&format!("list --target {front}"), "completions bash"] {
        assert_eq!(code_with(command, Output::Full), Some(4), "{command}");
    }
    let help = run(&["--help"]).out;
    let documented = help.split_once("\n    4  ").and_then(|(_, after)| after.split_once("\n  130  "));
    let (told, _) = documented.unwrap_or_else(|| panic!("the help tells exit code 4: {help}"));
    // Wrapped to the width of the terminal.
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("could not be written"), "{told}");
}

/// The target of both outputs of a command.
#[derive(Clone, Copy, Debug)]
enum Output {
    NoReader,
    Full,
    ClosedTerminal,
}

fn code_with(arguments: &str, output: Output) -> Option<i32> {
    let mut command = command(&arguments.split(' ').collect::<Vec<_>>());
    match output {
        Output::NoReader => {
            let (reader, writer) = pipe().unwrap();
            drop(reader);
            command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap().code()
        }
        Output::Full => {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            command.stdout(full.try_clone().unwrap()).stderr(full).status().unwrap().code()
        }
        Output::ClosedTerminal => {
            let (master, terminal) = terminal();
            drop(master);
            command.stdout(terminal.try_clone().unwrap()).stderr(terminal).status().unwrap().code()
        }
    }
}

#[test]
fn a_log_of_json_stays_json_when_something_cannot_be_written() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut up = up_command(&data_dir);
    up.arg("--json").env("ECOMMERCE__TELEMETRY__FORMAT", "json").stdout(full).stderr(Stdio::piped());
    let mut child = up.spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    for line in errors.by_ref() {
        let object: Value = serde_json::from_str(&line).expect(&line);
        if object["message"].as_str().is_some_and(|message| message.contains("cannot write the output")) {
            break;
        }
    }
    send(child.id(), Signal::TERM);
    for line in errors {
        serde_json::from_str::<Value>(&line).expect(&line);
    }
    assert_eq!(exit_code(&mut child, &data_dir), Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = Folder::new();
    let mut list = command(&["completions", "bash"]);
    list.current_dir(folder.path());
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    assert_eq!(list.stdout(writer).status().unwrap().code(), Some(0));
    assert_eq!(finish(&mut command(&["completions", "bash"])).code, 0);
}
