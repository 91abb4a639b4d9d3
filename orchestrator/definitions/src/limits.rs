//! Limits of a definition. `docs/definitions.md` lists them.

use std::ops::RangeInclusive;

use saga_engine::definition::MAX_STEPS;

/// The longest definition, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The longest name of a definition, a step or an output.
pub const MAX_NAME: usize = foundation::names::MAX_NAME;
const _: () = assert!(MAX_NAME == 63 && MAX_STEPS == 100, "documents say so");
/// Versions of definitions.
pub const VERSIONS: RangeInclusive<u64> = 1..=i32::MAX as u64;
/// Deadlines and timeouts, in milliseconds: up to a day, since more is a mistake of units.
pub const DURATIONS_MS: RangeInclusive<u64> = 1..=86_400_000;
/// Attempts at an action.
pub const ATTEMPTS: RangeInclusive<u64> = 1..=1_000;
/// The most outputs of all steps together: each may have 1,000 bytes, and a row of the saga log carries all.
pub const MAX_OUTPUTS: usize = 500;
/// Calls of one saga in flight at once.
pub const PARALLEL: RangeInclusive<u64> = 1..=100;

/// The longest path of a call with its query, in bytes, encoded. Servers accept as much (RFC 9110, section 4.1).
pub const MAX_TARGET_BYTES: usize = 8_000;
/// The longest headers of a call that a definition sets, in bytes: names and values together.
pub const MAX_HEADER_BYTES: usize = 8_000;
/// The longest body of a call, and the longest expected value, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The longest pattern of an input schema once compiled, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 1024 * 1024;
