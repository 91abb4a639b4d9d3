//! Folders for tests.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// Returns the root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of the workspace")
}

/// Returns the folder that the running test was built into.
///
/// # Panics
/// When it was not started from a target folder.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a process knows its program");
    // Cargo marks its target folder with this file, so that backups omit it.
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.unwrap_or_else(|| panic!("{} is not in a target folder", program.display())).to_owned()
}

/// Returns whether this process is root, which cannot run PostgreSQL itself.
pub fn are_we_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Returns whether any account can enter a folder and all its ancestors.
pub fn is_open_to_all(folder: &Path) -> bool {
    const OTHERS_MAY_PASS: u32 = 0o001;
    folder
        .ancestors()
        .all(|folder| fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & OTHERS_MAY_PASS != 0))
}

/// A temporary folder, removed when dropped.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Creates a new folder that any account can enter.
    ///
    /// # Panics
    /// When it cannot be created.
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ecommerce-test-{}", Uuid::new_v4().simple()));
        fs::create_dir(&path).expect("the temporary folder can be written");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, open).expect("an owner may change permissions");
        Self(path)
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it, and returns its path as text.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("the temporary folder can be written");
        path.to_str().expect("its path is UTF-8").to_owned()
    }
}

impl Default for TemporaryFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // A remainder in the temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
