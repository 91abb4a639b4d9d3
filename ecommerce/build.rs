//! Gives the binary the revision that it is built from, and the day of that commit: `ecommerce --version`.
//!
//! Only the crate of the binary has this script, and it runs again only after a commit, a checkout or a change of these
//! variables: a new revision compiles this crate and its tests, and no library. Changes that are not committed do not
//! show.

use std::{env, path::Path, process::Command};

/// For a build without the repository, such as that of the image.
const REVISION: &str = "ECOMMERCE_REVISION";
const DATE: &str = "ECOMMERCE_REVISION_DATE";
const UNKNOWN: &str = "unknown";

/// Files that git changes when HEAD moves. A missing file would make Cargo run this script each time.
const WATCHED: [&str; 3] = ["HEAD", "logs/HEAD", "packed-refs"];

/// Length of a revision that is shown.
const SHOWN: usize = 7;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for variable in [REVISION, DATE] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in WATCHED.into_iter().chain(branch.as_deref()) {
        // Relative to this package, the folder of the script.
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let revision = given(REVISION).or_else(|| of_this_repository(&["rev-parse", "HEAD"]));
    let date = given(DATE).or_else(|| of_this_repository(&["log", "-1", "--format=%cs"]));
    let revision: String = revision.as_deref().unwrap_or(UNKNOWN).chars().take(SHOWN).collect();
    // A time is shown as its day.
    let date = date.as_deref().and_then(|date| date.split('T').next()).unwrap_or(UNKNOWN);
    let shown = if revision == UNKNOWN { "revision unknown".to_owned() } else { format!("{revision} {date}") };
    // Other names than those above: Cargo gives these to the tests too, which check whether a builder stated the
    // revision.
    println!("cargo:rustc-env=ECOMMERCE_BUILD_REVISION={revision}");
    println!("cargo:rustc-env=ECOMMERCE_BUILD_DATE={date}");
    println!("cargo:rustc-env=ECOMMERCE_BUILD={shown}");
}

fn given(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty() && value != UNKNOWN)
}

/// Asks git, unless these sources are only a folder in a repository of something else.
fn of_this_repository(arguments: &[&str]) -> Option<String> {
    let workspace = Path::new("..").canonicalize().ok()?;
    let top = Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    (top == workspace).then(|| git(arguments)).flatten()
}

fn git(arguments: &[&str]) -> Option<String> {
    let ran = Command::new("git").args(arguments).output().ok().filter(|ran| ran.status.success())?;
    let text = String::from_utf8(ran.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
