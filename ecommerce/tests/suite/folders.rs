//! Data folders found in practice: odd names, files in the way, copies, links, other accounts. Each works, or the
//! message gives a remedy.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown, symlink},
    },
    path::Path,
    process::Command,
};

use rustix::process::geteuid;

use crate::{
    program::{Server, finish, run, up_command},
    support::Folder,
};

/// Starts `up`, makes a purchase and stops it.
fn works(data_dir: &Path) {
    let mut up = Server::up(data_dir);
    let front = up.wait_until_up();
    let bought = run(&["order", "--user", "u", "--amount", "1", "--target", &front]);
    assert_eq!(bought.code, 0, "{}: {bought:?}", data_dir.display());
    up.stop();
}

/// Returns the error of an `up` that does not start.
fn refusal(data_dir: &Path) -> String {
    let ran = finish(&mut up_command(data_dir));
    assert_eq!(ran.code, 4, "{}: {ran:?}", data_dir.display());
    ran.error().to_owned()
}

/// Returns whether tests that need root can run.
fn is_root() -> bool {
    geteuid().is_root()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_data_folder_may_have_any_name_that_postgresql_takes() {
    let folder = Folder::new();
    for name in [&b"one, two"[..], b"caf\xe9", b"it's \"100%\" $HOME; \\ *"] {
        works(&folder.path().join(OsStr::from_bytes(name)));
    }
}

#[test]
fn a_data_folder_whose_name_has_a_line_break_is_refused() {
    let folder = Folder::new();
    for name in ["one\ntwo", "one\rtwo"] {
        let message = refusal(&folder.path().join(name));
        assert!(message.contains("line break") && message.contains("--data-dir"), "{message}");
        assert!(!folder.path().join(name).exists(), "nothing is created before the checks");
    }
}

#[test]
fn a_file_in_the_place_of_the_data_folder_is_named() {
    let folder = Folder::new();
    let file = folder.path().join("data");
    fs::write(&file, "dear").unwrap();
    for data_dir in [file.clone(), file.join("below")] {
        let message = refusal(&data_dir);
        assert!(message.contains("is a file and not a folder") && message.contains("--data-dir"), "{message}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "dear");
}

#[test]
fn junk_in_the_files_of_a_dead_server_is_no_obstacle() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    works(&data_dir);
    for junk in [&b"\xff\xfe\x00junk"[..], b"", b"99999999999999999999\n", b"-1\n\n\n"] {
        fs::write(data_dir.join("postgres/postmaster.pid"), junk).unwrap();
        fs::write(data_dir.join("run/.s.PGSQL.5432.lock"), junk).unwrap();
        fs::write(data_dir.join("lock"), junk).unwrap();
        works(&data_dir);
    }
}

#[test]
fn a_copy_that_another_account_made_is_told_whom_to_give_it_to() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let (data_dir, copied) = (folder.path().join("data"), folder.path().join("copy"));
    works(&data_dir);
    let owner = fs::metadata(data_dir.join("postgres")).unwrap().uid();
    copy(&data_dir, &copied);
    let message = refusal(&copied);
    assert!(message.contains("belongs to root") && message.contains("chown -R"), "{message}");

    // Only the folder itself has the right owner, its contents do not.
    chown(copied.join("postgres"), Some(owner), None).unwrap();
    let message = refusal(&copied);
    assert!(message.contains("PG_VERSION belongs to root") && message.contains("chown -R"), "{message}");

    assert!(
        Command::new("chown").arg("-R").arg(owner.to_string()).arg(copied.join("postgres")).status().unwrap().success()
    );
    works(&copied);
}

#[test]
fn an_ordinary_account_is_told_to_whom_a_copy_belongs() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let (data_dir, program) = (folder.path().join("data"), folder.path().join("ecommerce"));
    fs::create_dir_all(data_dir.join("postgres")).unwrap();
    // The account may have no access to the folder of the program under test.
    fs::copy(env!("CARGO_BIN_EXE_ecommerce"), &program).unwrap();
    for closed in [data_dir.join("postgres"), data_dir.clone()] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let _ = fs::remove_file(data_dir.join("lock"));
        for dir in [data_dir.clone(), data_dir.join("postgres")] {
            chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(data_dir.join("postgres"), fs::Permissions::from_mode(0o700)).unwrap();
        chown(&closed, Some(0), Some(0)).unwrap();
        let plain = up_command(&data_dir);
        let arguments: Vec<_> = plain.get_args().collect();
        let script = r#"exec "$0" "$@""#;
        let mut as_nobody = Command::new("setpriv");
        as_nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script]).arg(&program);
        as_nobody.args(arguments).current_dir("/");
        for (name, value) in plain.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            as_nobody.env(name, value);
        }
        let ran = finish(&mut as_nobody);
        assert_eq!(ran.code, 4, "{ran:?}");
        let expected = format!("{} belongs to root", closed.display());
        assert!(ran.error().contains(&expected) && ran.error().contains("chown -R nobody"), "{ran:?}");
    }
}

const NOBODY: u32 = 65_534;

#[test]
fn root_follows_no_link_in_a_data_folder() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let (data_dir, other) = (folder.path().join("data"), folder.path().join("other"));
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o750)).unwrap();
    let letter = other.join("letter");
    fs::write(&letter, "dear\n").unwrap();
    works(&data_dir);
    for (name, target) in [("run", &other), ("postgres", &other), ("lock", &letter), ("postgres.log", &letter)] {
        let (place, aside) = (data_dir.join(name), folder.path().join("aside"));
        fs::rename(&place, &aside).unwrap();
        symlink(target, &place).unwrap();
        let message = refusal(&data_dir);
        assert!(message.contains(&format!("{} is a link", place.display())), "{name}: {message}");
        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
    }
    // The remains of an unfinished initdb are removed, but not the target of a link.
    let fresh = folder.path().join("fresh");
    fs::create_dir(&fresh).unwrap();
    symlink(&other, fresh.join("postgres.new")).unwrap();
    works(&fresh);
    let found = fs::metadata(&other).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (0, 0o750));
    assert_eq!(fs::read_to_string(&letter).unwrap(), "dear\n");
    works(&data_dir);
}

#[test]
fn root_uses_no_folder_of_a_third_account() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    const THIRD: u32 = 54_321;
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    chown(&empty, Some(THIRD), Some(THIRD)).unwrap();
    let with_cluster = folder.path().join("with-cluster");
    fs::create_dir_all(with_cluster.join("postgres")).unwrap();
    chown(with_cluster.join("postgres"), Some(THIRD), Some(THIRD)).unwrap();
    for data_dir in [&empty, &with_cluster] {
        let message = refusal(data_dir);
        assert!(message.contains("belongs to 54321") && message.contains("--data-dir"), "{message}");
    }
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "nothing is created in it");
}
