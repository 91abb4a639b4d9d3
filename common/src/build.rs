//! The build of the running program. The binary states it once, so that a new revision does not compile this crate.

use std::sync::OnceLock;

use serde::Serialize;
use utoipa::ToSchema;

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that the program was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Build {
    /// Short hash of the commit, or `unknown`.
    #[schema(example = "abcdef1")]
    pub revision: &'static str,
    /// Day of the commit, or `unknown`.
    #[schema(example = "2026-01-02")]
    pub date: &'static str,
}

static BUILD: OnceLock<Build> = OnceLock::new();

/// States the build of this process, before its services start. A second statement changes nothing.
pub fn state(build: Build) {
    let _ = BUILD.set(build);
}

/// Returns the build of this process.
pub fn build() -> Build {
    BUILD.get().copied().unwrap_or(Build { revision: "unknown", date: "unknown" })
}
