//! Whether a program and a database fit together: compares the migrations of the database with the program's own.
//!
//! During an update, and after a rollback, programs of several versions use one database. So a program accepts migrations
//! that are newer than its own, unless one of them states that this program is too old for the schema. A migration states
//! that by the end of its name: programs that do not know V18 cannot use a database with `V20__drop_color_needs_18`. The
//! names are in refinery's history of each database, which therefore states the oldest program that may use it.

use refinery::Migration;
use thiserror::Error;
use tokio_postgres::Client;

/// Ends the name of a migration that states the oldest program, before the newest migration which that program knows.
const NEEDS: &str = "_needs_";

/// Whether the history exists: it does not before the first migration.
const HISTORY_EXISTS: &str = "select to_regclass('refinery_schema_history') is not null";

const HISTORY: &str = "select version::int8, name from refinery_schema_history order by version";

/// Version of the program in messages.
const PROGRAM: &str = crate::build::VERSION;

/// Whether programs of the previous version may be using the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherPrograms {
    /// They may: an incompatible migration is refused.
    MayRun,
    /// An operator, or the owner of the server, knows that none runs.
    AreStopped,
}

/// Why a program and a database do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// The program is too old.
    #[error(
        "is too new for this program: its migration V{by} needs one that knows V{needed}, and version {PROGRAM} knows \
         V{known}. Use a newer version; the way back is a restore of a backup from before V{by}"
    )]
    ProgramTooOld {
        /// The migration that states it.
        by: i64,
        /// The migration that a program must know.
        needed: i64,
        /// The newest migration that this program knows.
        known: i64,
    },
    /// A migration would lock out programs that may run.
    #[error(
        "is at V{applied}, and migration V{by} of version {PROGRAM} locks out programs that do not know V{needed}: stop \
         all services, run `ecommerce migrate --stopped`, and start the new version. The way back is a restore"
    )]
    WouldLockOut {
        /// The migration that states it.
        by: i64,
        /// The migration that a program must know.
        needed: i64,
        /// The newest applied migration.
        applied: i64,
    },
    /// A migration of the program was skipped.
    #[error("has V{applied} but lacks migration V{missing} of this program: another program migrated it")]
    Lacks {
        /// The skipped migration.
        missing: i64,
        /// The newest applied migration.
        applied: i64,
    },
    /// A migration of another program stands among those of this one.
    #[error(
        "has migration V{found}, which this program does not know although it knows V{known}: another program migrated it"
    )]
    Foreign {
        /// The unknown migration.
        found: i64,
        /// The newest migration that this program knows.
        known: i64,
    },
    /// The database lacks the newest migrations.
    #[error("is behind this program: it lacks migration V{missing}")]
    Behind {
        /// The oldest that it lacks.
        missing: i64,
    },
    /// The database has no history.
    #[error("was never migrated")]
    NeverMigrated,
}

/// Migrations of a newer program, which this one accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newer {
    /// The newest applied migration.
    pub applied: i64,
    /// The newest that this program knows.
    pub known: i64,
}

/// An applied migration.
pub(super) struct Applied {
    version: i64,
    name: String,
}

/// Reads the applied migrations. A database without a history has none.
pub(super) async fn applied(client: &Client) -> Result<Vec<Applied>, tokio_postgres::Error> {
    if !client.query_one(HISTORY_EXISTS, &[]).await?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let rows = client.query(HISTORY, &[]).await?;
    Ok(rows.iter().map(|row| Applied { version: row.get(0), name: row.get(1) }).collect())
}

/// Checks that a service can use a database with these migrations.
pub(super) fn usable(applied: &[Applied], known: &[Migration]) -> Result<Option<Newer>, SchemaError> {
    if applied.is_empty() {
        return Err(SchemaError::NeverMigrated);
    }
    let (missing, newer) = compare(applied, known)?;
    missing.map_or(Ok(newer), |missing| Err(SchemaError::Behind { missing }))
}

/// Checks that a program can migrate a database with these migrations.
pub(super) fn migratable(
    applied: &[Applied],
    known: &[Migration],
    others: OtherPrograms,
) -> Result<Option<Newer>, SchemaError> {
    let (_, newer) = compare(applied, known)?;
    let at = newest(applied.iter().map(|one| one.version));
    let will_be = known.iter().map(|one| (i64::from(one.version()), one.name())).filter(|(version, _)| *version > at);
    let stated = will_be.filter_map(|(by, name)| Some((by, needed(name)?))).max_by_key(|(_, needed)| *needed);
    match (stated, others) {
        (Some((by, needed)), OtherPrograms::MayRun) if needed > at && !applied.is_empty() => {
            Err(SchemaError::WouldLockOut { by, needed, applied: at })
        }
        _ => Ok(newer),
    }
}

/// Returns the oldest migration to apply, if any, and the newer ones that are accepted.
fn compare(applied: &[Applied], known: &[Migration]) -> Result<(Option<i64>, Option<Newer>), SchemaError> {
    let is_known = |version: i64| known.iter().any(|one| i64::from(one.version()) == version);
    let is_applied = |version: i64| applied.iter().any(|one| one.version == version);
    let newest_known = newest(known.iter().map(|one| i64::from(one.version())));
    let newest_applied = newest(applied.iter().map(|one| one.version));
    let stated = applied.iter().filter_map(|one| Some((one.version, needed(&one.name)?)));
    if let Some((by, needed)) = stated.max_by_key(|(_, needed)| *needed)
        && needed > newest_known
    {
        return Err(SchemaError::ProgramTooOld { by, needed, known: newest_known });
    }
    let mut below = applied.iter().map(|one| one.version).filter(|version| *version < newest_known);
    if let Some(found) = below.find(|version| !is_known(*version)) {
        return Err(SchemaError::Foreign { found, known: newest_known });
    }
    let missing = known.iter().map(|one| i64::from(one.version())).filter(|version| !is_applied(*version)).min();
    if let Some(missing) = missing.filter(|missing| *missing < newest_applied) {
        return Err(SchemaError::Lacks { missing, applied: newest_applied });
    }
    let newer = (newest_applied > newest_known).then_some(Newer { applied: newest_applied, known: newest_known });
    Ok((missing, newer))
}

/// 0 if there is none: versions begin with 1.
fn newest(versions: impl Iterator<Item = i64>) -> i64 {
    versions.max().unwrap_or(0)
}

/// Returns the migration that a program must know, if the name of a migration states one.
fn needed(name: &str) -> Option<i64> {
    name.rsplit_once(NEEDS)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> Vec<Migration> {
        names.iter().map(|name| Migration::unapplied(name, "select 1").unwrap()).collect()
    }

    fn in_history(names: &[&str]) -> Vec<Applied> {
        let applied = |one: &Migration| Applied { version: one.version().into(), name: one.name().to_owned() };
        known(names).iter().map(applied).collect()
    }

    #[test]
    fn a_program_fits_a_database_unless_a_migration_is_skipped_or_states_that_it_is_too_old() {
        use SchemaError::{Behind, Foreign, Lacks, NeverMigrated, ProgramTooOld};
        type Case<'a> = (&'a [&'a str], &'a [&'a str], Result<Option<Newer>, SchemaError>);
        let newer = |applied, known| Ok(Some(Newer { applied, known }));
        let cases: &[Case<'_>] = &[
            (&["V1__a", "V2__b"], &["V1__a", "V2__b"], Ok(None)),
            (&["V1__a", "V2__b", "V3__c"], &["V1__a", "V2__b"], newer(3, 2)),
            (&["V1__a", "V2__b", "V9__c_needs_2"], &["V1__a", "V2__b"], newer(9, 2)),
            (&["V1__a", "V2__b_needs_it", "V3__c_needs_"], &["V1__a", "V2__b"], newer(3, 2)),
            (
                &["V1__a", "V2__b", "V9__c_needs_3"],
                &["V1__a", "V2__b"],
                Err(ProgramTooOld { by: 9, needed: 3, known: 2 }),
            ),
            // The highest demand counts, not the last one.
            (
                &["V1__a", "V3__b_needs_3", "V4__c_needs_1"],
                &["V1__a"],
                Err(ProgramTooOld { by: 3, needed: 3, known: 1 }),
            ),
            (&["V1__a", "V2__b_needs_2"], &["V1__a", "V2__b_needs_2"], Ok(None)),
            (&["V1__a", "V3__c"], &["V1__a", "V2__b"], Err(Lacks { missing: 2, applied: 3 })),
            (&["V2__b"], &["V1__a", "V2__b"], Err(Lacks { missing: 1, applied: 2 })),
            (&["V1__a", "V2__b", "V3__c"], &["V1__a", "V3__c"], Err(Foreign { found: 2, known: 3 })),
            (&["V1__a"], &["V1__a", "V2__b", "V3__c"], Err(Behind { missing: 2 })),
            (&[], &["V1__a"], Err(NeverMigrated)),
        ];
        for (applied, program, expected) in cases {
            assert_eq!(&usable(&in_history(applied), &known(program)), expected, "{applied:?} {program:?}");
        }
    }

    #[test]
    fn a_migration_that_locks_out_the_programs_that_may_run_waits_until_they_are_stopped() {
        use OtherPrograms::{AreStopped, MayRun};
        let program = &["V1__a", "V2__b", "V3__drop_needs_2"];
        let refused = Err(SchemaError::WouldLockOut { by: 3, needed: 2, applied: 1 });
        type Case<'a> = (&'a [&'a str], OtherPrograms, Result<Option<Newer>, SchemaError>);
        let cases: &[Case<'_>] = &[
            (&["V1__a"], MayRun, refused),
            (&["V1__a"], AreStopped, Ok(None)),
            // The programs that run know V2 already.
            (&["V1__a", "V2__b"], MayRun, Ok(None)),
            // Nothing runs on a database without tables.
            (&[], MayRun, Ok(None)),
            (&["V1__a", "V2__b", "V3__drop_needs_2"], MayRun, Ok(None)),
        ];
        for (applied, others, expected) in cases {
            assert_eq!(&migratable(&in_history(applied), &known(program), *others), expected, "{applied:?} {others:?}");
        }
        let stopped = migratable(&in_history(&["V1__a", "V9__b_needs_9"]), &known(program), AreStopped);
        assert!(matches!(stopped, Err(SchemaError::ProgramTooOld { by: 9, needed: 9, known: 3 })), "{stopped:?}");
    }
}
