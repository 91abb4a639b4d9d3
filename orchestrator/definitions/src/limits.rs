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
/// Calls of one saga in flight at once.
pub const PARALLEL: RangeInclusive<u64> = 1..=100;

/// The longest pattern of an input schema once compiled, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 1024 * 1024;
