//! One server of a replicated cluster: its folder and its processes.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::files::are_we_root;

/// Any program may connect from loopback, standbys too.
const ACCESS: &str = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n";

/// Without flushing: the writes of a dead server are in the kernel's cache, and no test cuts the power.
const SETTINGS: &str = "
    unix_socket_directories = ''
    listen_addresses = '127.0.0.1'
    max_connections = 200
    fsync = off
    hot_standby_feedback = on
    wal_keep_size = '512MB'
    wal_sender_timeout = '5s'
    wal_receiver_timeout = '5s'
    wal_retrieve_retry_interval = '200ms'
    checkpoint_timeout = '15min'
";

/// A server on a port of its own, which stays the same.
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    folder: PathBuf,
    bin_dir: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// Makes a server out of a copy of a stopped cluster.
    pub(super) fn of_copy(name: &'static str, cluster: &Path, beside: &Path, bin_dir: &Path) -> Self {
        let folder = beside.join(name);
        let copied = Command::new("cp").arg("--archive").args([cluster, &folder]).status();
        assert!(copied.expect("a folder can be copied").success(), "{} cannot be copied", cluster.display());
        Self { name, address: free_port(), folder, bin_dir: bin_dir.to_owned(), process: None }
    }

    /// Writes the settings that stay.
    pub(super) fn write_settings(&self, waited_for: &str) {
        self.write("pg_hba.conf", ACCESS);
        let port = self.address.port();
        let own = format!("port = {port}\nsynchronous_standby_names = '{waited_for}'\n");
        self.append("postgresql.conf", &format!("{SETTINGS}{own}"));
    }

    /// Makes the server a standby at its next start.
    pub(super) fn become_standby(&self) {
        self.write("standby.signal", "");
    }

    /// Sets the server from which a standby fetches its changes, also while it runs.
    pub(super) fn follow(&self, primary: Option<SocketAddr>) {
        let connection = primary.map_or_else(String::new, |primary| {
            let (host, port) = (primary.ip(), primary.port());
            format!("host={host} port={port} user=postgres application_name={} connect_timeout=2", self.name)
        });
        self.write("postgresql.auto.conf", &format!("primary_conninfo = '{connection}'\n"));
        self.signal(Signal::HUP);
    }

    /// Starts the server. It dies with the test's process, and its own processes with it.
    pub(super) fn launch(&mut self) {
        let mut command = self.command("setpriv".as_ref());
        command.args(["--pdeathsig", "KILL"]).arg(self.bin_dir.join("postgres"));
        let log = OpenOptions::new().create(true).append(true).open(self.folder.with_extension("log"));
        let log = log.expect("the folder can be written");
        let errors = log.try_clone().expect("a file has any number of handles");
        command.arg("-D").arg(&self.folder).stdin(Stdio::null()).stdout(log).stderr(errors);
        self.process = Some(command.spawn().expect("postgres can be run"));
    }

    /// Prepares the replacement of the folder by a copy of a running server's.
    pub(super) fn base_backup(&mut self) -> BaseBackup {
        assert!(self.process.is_none(), "{} runs", self.name);
        let mut command = self.command(&self.bin_dir.join("pg_basebackup"));
        command.arg("-D").arg(&self.folder).args(["--checkpoint=fast", "--no-sync", "-U", "postgres"]);
        BaseBackup { command, folder: self.folder.clone(), own: self.address.port() }
    }

    /// Makes a command that runs as the owner of the folder.
    fn command(&self, program: &Path) -> Command {
        let owner = fs::metadata(&self.folder).expect("it is there");
        let mut command = Command::new(program);
        if are_we_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    pub(super) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // A postmaster that stands still starts no more processes while they are listed.
        signal(process.id(), Signal::STOP);
        let children = children_of(process.id());
        for pid in children.into_iter().chain([process.id()]) {
            signal(pid, Signal::KILL);
        }
        let _ = process.wait();
        // A leftover pid file would keep a new postmaster from starting, if the number of the process is in use again.
        let _ = fs::remove_file(self.folder.join("postmaster.pid"));
    }

    pub(super) fn hang(&self) {
        let postmaster = self.process.as_ref().expect("it runs").id();
        signal(postmaster, Signal::STOP);
        children_of(postmaster).into_iter().for_each(|pid| signal(pid, Signal::STOP));
    }

    pub(super) fn wake(&self) {
        let postmaster = self.process.as_ref().expect("it runs").id();
        children_of(postmaster).into_iter().chain([postmaster]).for_each(|pid| signal(pid, Signal::CONT));
    }

    /// Requests a fast shutdown.
    pub(super) fn ask_to_stop(&self) {
        self.signal(Signal::INT);
    }

    /// Returns whether the server has ended, of which it is then free to start again.
    pub(super) fn has_ended(&mut self) -> bool {
        let ended = self.process.as_mut().is_none_or(|process| matches!(process.try_wait(), Ok(Some(_))));
        if ended {
            self.process = None;
        }
        ended
    }

    fn signal(&self, which: Signal) {
        if let Some(process) = &self.process {
            signal(process.id(), which);
        }
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder.join(file);
        fs::write(&path, text).expect("the folder can be written");
        self.give_to_owner(&path);
    }

    fn append(&self, file: &str, text: &str) {
        let file = OpenOptions::new().append(true).open(self.folder.join(file));
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the folder can be written");
    }

    fn give_to_owner(&self, path: &Path) {
        let owner = fs::metadata(&self.folder).expect("it is there");
        chown(path, Some(owner.uid()), Some(owner.gid())).expect("an owner may keep it, root may give it away");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The replacement of a server's folder.
pub(super) struct BaseBackup {
    command: Command,
    folder: PathBuf,
    own: u16,
}

impl BaseBackup {
    pub(super) fn run(mut self, from: SocketAddr) {
        let kept = ["postgresql.conf", "pg_hba.conf"].map(|file| {
            let path = self.folder.join(file);
            let text = fs::read(&path).expect("it is there");
            (path, text)
        });
        for entry in fs::read_dir(&self.folder).expect("it is there").flatten() {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.expect("an owner may remove");
        }
        let command = self.command.args(["-h", &from.ip().to_string(), "-p", &from.port().to_string()]);
        let output = command.output().expect("pg_basebackup can be run");
        assert!(output.status.success(), "{}: {}", self.own, String::from_utf8_lossy(&output.stderr));
        for (path, text) in kept {
            fs::write(path, text).expect("the folder can be written");
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have just ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// Returns the processes that a process has started.
fn children_of(parent: u32) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold spaces.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").expect("Linux has it").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// Returns an address that is free now.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address")
}
