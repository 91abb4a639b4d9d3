//! Files that a command writes besides its output.
//!
//! Whether the file can be written is checked before the work begins, since the work may not be repeated: a purchase.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
};

use crate::ending::Failure;

/// A file that a flag names.
pub(crate) struct OutputFile<'a> {
    pub(crate) path: &'a Path,
    /// Contents of the file, for messages, such as `the report`.
    pub(crate) contents: &'static str,
    /// The flag that names it, for messages.
    pub(crate) flag: &'static str,
}

impl OutputFile<'_> {
    /// Creates the file if it is missing, and checks that it can be written. What it holds already stays.
    pub(crate) fn prepare(&self) -> Result<(), Failure> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(self.path);
        opened.map(drop).map_err(|error| self.failure(&error))
    }

    /// Writes the contents.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        fs::write(self.path, text).map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &io::Error) -> Failure {
        let Self { path, contents, flag } = self;
        Failure::Broken(format!("cannot write {contents} to {}: {error}; give {flag}", path.display()))
    }
}
