//! `docker/backup.sh` under load, and the recovery of a system that starts from such a backup.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use tests::files::workspace;
use tokio_postgres::config::Host;

use crate::{
    program::{Ran, Server, command, finish, run, up_command},
    support::{Folder, wait_until},
};

/// A system with slow purchases, so that a backup contains running ones.
fn slow_up(data_dir: &Path) -> Command {
    let mut up = up_command(data_dir);
    for operation in ["PAYMENTS__CHARGE", "INVENTORY__DECREASE", "PURCHASES__CREATE"] {
        up.env(format!("ECOMMERCE__FAULTS__{operation}__LATENCY_MS__MAX"), "150");
    }
    up.env("ECOMMERCE__FAULTS__PURCHASES__CREATE__FAILURE_RATE", "0.3");
    up
}

/// Buys until stopped; counts the purchases that began. Some may be refused, because the disk of a busy machine can stall
/// under a backup for longer than the saga log may take to write.
fn buy_on(front: &str, stop: &AtomicBool, bought: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let ran = run(&["order", "--user", "u", "--amount", "9.99", "--target", front]);
        match ran.code {
            0 | 1 => _ = bought.fetch_add(1, Ordering::Relaxed),
            _ => assert!(ran.code == 4 && ran.err.contains("nothing was done"), "{ran:?}"),
        }
    }
}

fn backup(url: &str, folder: &Path) -> Ran {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let [Host::Unix(socket)] = config.get_hosts() else { panic!("{url} is not a socket") };
    let mut script = Command::new(workspace().join("docker/backup.sh"));
    script.arg(folder).env("PGHOST", socket).env("PGUSER", config.get_user().unwrap()).env("BACKUP_KEEP", "2");
    script.env("PGPORT", config.get_ports()[0].to_string());
    if let Some(programs) = std::env::var_os("ECOMMERCE_PG_BIN") {
        script.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
    }
    finish(&mut script)
}

fn backups(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("base-"))
        .collect();
    found.sort();
    found
}

/// Replaces a cluster by a backup, keeping the cluster's owner.
fn restore(backup: &Path, cluster: &Path) {
    let owner = fs::metadata(cluster).unwrap();
    fs::remove_dir_all(cluster).unwrap();
    fs::create_dir(cluster).unwrap();
    fs::set_permissions(cluster, fs::Permissions::from_mode(0o700)).unwrap();
    let unpacked = Command::new("tar").arg("-xzf").arg(backup).arg("-C").arg(cluster).status().unwrap();
    assert!(unpacked.success());
    own(cluster, owner.uid(), owner.gid());
}

fn own(path: &Path, user: u32, group: u32) {
    lchown(path, Some(user), Some(group)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| own(&entry.unwrap().path(), user, group));
    }
}

#[test]
fn a_backup_under_load_is_one_moment_of_all_five_databases() {
    let folder = Folder::new();
    let (data_dir, kept) = (folder.path().join("data"), folder.path().join("backups"));
    let mut up = Server::start(&mut slow_up(&data_dir));
    let front = up.wait_for_line("orchestrator");
    let url = up.wait_for_line("database");
    up.wait_for_line("Ctrl-C");
    let (stop, bought) = (AtomicBool::new(false), AtomicUsize::new(0));
    let at_backup = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| buy_on(&front, &stop, &bought));
        }
        let more = |count: usize| {
            let before = bought.load(Ordering::Relaxed);
            wait_until("purchases continue", || bought.load(Ordering::Relaxed) >= before + count);
        };
        more(20);
        let ran = backup(&url, &kept);
        assert!(ran.code == 0 && ran.out.contains("whole and verified"), "{ran:?}");
        let at_backup = bought.load(Ordering::Relaxed);
        // The restore loses later purchases, in all five databases alike.
        more(20);
        stop.store(true, Ordering::Relaxed);
        at_backup
    });
    up.stop();
    let [taken] = backups(&kept).try_into().unwrap();
    restore(&taken, &data_dir.join("postgres"));

    let mut up = Server::start(slow_up(&data_dir).arg("--hold"));
    let front = up.wait_for_line("orchestrator");
    up.wait_for_line("Ctrl-C");
    let on_data = |arguments: &[&str]| finish(command(arguments).arg("--data-dir").arg(&data_dir));
    let audited = on_data(&["audit"]);
    assert_eq!(audited.code, 0, "{audited:?}");
    let held = run(&["order", "--user", "u", "--amount", "1.00", "--target", &front]);
    assert!(held.error().contains("on hold"), "{held:?}");
    let released = on_data(&["release"]);
    assert_eq!(released.code, 0, "{released:?}");
    // Purchases that were running at the backup continue to their end.
    wait_until("every purchase has ended, and the databases agree", || on_data(&["audit", "--settled"]).code == 0);
    let listed = run(&["list", "--json", "--limit", "1", "--target", &front]);
    let total = serde_json::from_str::<serde_json::Value>(&listed.out).unwrap()["total"].as_u64().unwrap();
    let answered = bought.load(Ordering::Relaxed);
    assert!(
        total >= 20 && (total as usize) < answered,
        "of {answered} purchases {total} are there, {at_backup} before"
    );
    wait_until("purchases begin", || run(&["order", "--user", "u", "--amount", "1.00", "--target", &front]).code <= 1);
    up.stop();
}

#[test]
fn old_backups_go_and_a_half_one_is_never_shown() {
    let folder = Folder::new();
    let (data_dir, kept) = (folder.path().join("data"), folder.path().join("backups"));
    let mut up = Server::up(&data_dir);
    let url = up.wait_for_line("database");
    up.wait_for_line("Ctrl-C");
    fs::create_dir_all(kept.join(".base-20200101T000000Z.partial")).unwrap();
    for old in ["base-20200101T000000Z.tar.gz", "base-20200102T000000Z.tar.gz"] {
        fs::write(kept.join(old), "").unwrap();
    }
    let ran = backup(&url, &kept);
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = backups(&kept);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].ends_with("base-20200102T000000Z.tar.gz"), "the oldest has gone: {found:?}");
    assert!(!kept.join(".base-20200101T000000Z.partial").exists());
    up.stop();

    let failed = backup(&url, &kept);
    assert_ne!(failed.code, 0, "no server: {failed:?}");
    assert_eq!(backups(&kept), found, "no backup was added or removed");
    let left = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut others: Vec<_> = left.filter(|name| !name.starts_with("base-")).collect();
    others.sort();
    assert_eq!(others, [".lock", "backup.prom"], "no partial backup is left");
}

/// A WAL file as PostgreSQL hands it to the script: its path and its name.
fn archive(wal: &Path, name: &str, folder: &Path) -> Ran {
    let script = fs::read_to_string(workspace().join("docker/postgres/archive.sh")).unwrap();
    // The container's folder is fixed.
    let script = script.replace("/archive", &folder.display().to_string());
    finish(Command::new("sh").args(["-c", &script, "archive.sh"]).arg(wal).arg(name))
}

#[test]
fn a_wal_file_is_archived_once_and_never_replaced_by_another() {
    let folder = Folder::new();
    let (wal, kept) = (folder.path().join("wal"), folder.path().join("kept"));
    fs::create_dir(&kept).unwrap();
    fs::write(&wal, "records").unwrap();
    // After a crash the server may ask again for a file that is archived.
    for _ in 0..2 {
        let ran = archive(&wal, "000000010000000000000001", &kept);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    fs::write(&wal, "others").unwrap();
    let ran = archive(&wal, "000000010000000000000001", &kept);
    assert!(ran.code != 0 && ran.err.contains("exists with other contents"), "{ran:?}");
    let left: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["000000010000000000000001.gz"]);
    let gone = folder.path().join("gone");
    assert_ne!(archive(&wal, "000000010000000000000002", &gone).code, 0, "PostgreSQL tries again later");
}
