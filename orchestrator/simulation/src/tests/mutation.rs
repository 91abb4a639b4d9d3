//! Each mutation is found within a bounded number of seeds, by the invariant that it breaks; the controls break no
//! invariant.

use super::graphs::without_tombstones;
use crate::graph_verdict::{BACK, FORWARD, NOTHING_LIVE, ROOM, STARTS};
use crate::mutation::{Mutation, with_mutation};
use crate::verdict::{ACTION, CANCEL, ENDS, FINAL, HOLD, KEY, LEASE, ONE_ROW, ORPHAN, PARKED, TOLD};
use crate::{Faults, Plan, Sagas, Tracing, Violation, run};

const COMPLETED: &str = "COMPLETED has one live payment, one decrement, one live purchase";
const COMPENSATED: &str = "COMPENSATED has no live payment and no live purchase";
const NO_SAGA: &str = "no payment, purchase or decrement without its saga";
const TWICE: &str = "nothing ran twice";
const REVERSE: &str = "compensations run in reverse order";
const HISTORY: &str = "the shown history agrees with the journals";

/// Maximum number of seeds that a bug may need. Most bugs need fewer than ten, none more than 50.
const MOST_SEEDS: u64 = 200;
/// Number of seeds in which a control must break no invariant.
const CONTROL_SEEDS: u64 = 150;

const BUGS: [(Mutation, &str); 36] = [
    (Mutation::SkipTombstone, COMPENSATED),
    (Mutation::TossAgain, TWICE),
    (Mutation::ForgetJournal, TWICE),
    (Mutation::RetryWithoutKey, NO_SAGA),
    (Mutation::RefundOnlyIfKnown, COMPENSATED),
    (Mutation::WriteWithoutEpoch, COMPENSATED),
    (Mutation::ClaimWithoutEpoch, REVERSE),
    (Mutation::AnswerBeforeEnd, TOLD),
    (Mutation::CompensatedUnconfirmed, COMPENSATED),
    (Mutation::NewIdAfterTakeover, ENDS),
    (Mutation::ForgetOneCompensation, COMPENSATED),
    (Mutation::CompensateBeforeTurn, COMPLETED),
    (Mutation::ForwardAfterTurn, COMPLETED),
    (Mutation::AnyConflictRefuses, COMPENSATED),
    (Mutation::LastAttemptCounts, COMPENSATED),
    (Mutation::EffectBeforeBegin, NO_SAGA),
    (Mutation::CompensateInOrder, REVERSE),
    (Mutation::IgnoreCancel, CANCEL),
    (Mutation::UndoneWhateverWasFound, HISTORY),
    (Mutation::ForgetEarlierOwners, HISTORY),
    (Mutation::AnyJsonConfirms, COMPENSATED),
    (Mutation::NoSearchForOrphans, ORPHAN),
    (Mutation::ClaimsPoison, ENDS),
    (Mutation::BadRowFailsAll, ORPHAN),
    (Mutation::OneBreakerForAll, PARKED),
    (Mutation::NotFoundAtOnce, FINAL),
    (Mutation::EndedByNodeClock, KEY),
    (Mutation::LostRenewalCounts, LEASE),
    (Mutation::LeaseFromAnswer, LEASE),
    (Mutation::ActionWithoutLease, ACTION),
    (Mutation::IgnoreHold, HOLD),
    (Mutation::ReplayWithoutBarrier, COMPLETED),
    (Mutation::VerdictWithoutBarrier, TOLD),
    (Mutation::StatusWithoutBarrier, TOLD),
    (Mutation::CommitWithoutStandby, TOLD),
    (Mutation::RepeatedBeginLooksNew, ONE_ROW),
];

/// Mutations of what a graph adds, each with the sagas that show it.
const GRAPH_BUGS: [(Mutation, &str, Sagas); 7] = [
    (Mutation::StepTooEarly, FORWARD, Sagas::Diamond),
    (Mutation::CompensateInOrder, BACK, Sagas::Diamond),
    (Mutation::CallsInFlightForgotten, NOTHING_LIVE, Sagas::Status),
    (Mutation::StartNotRecorded, STARTS, Sagas::Status),
    (Mutation::SiblingsForgotten, NOTHING_LIVE, Sagas::FanOut),
    (Mutation::BranchOutputsLost, FORWARD, Sagas::Diamond),
    (Mutation::MaxParallelIgnored, ROOM, Sagas::Random),
];

const CONTROLS: [Mutation; 2] = [Mutation::IgnoreLease, Mutation::UndoneActionReplays];

/// The default mix without the faults that end sagas before a bug that needs two owners can show.
fn calmer() -> Faults {
    Faults {
        retry_after_rate: 0.0,
        json_intermediary_rate: 0.0,
        other_reply_rate: 0.0,
        hostile_text_rate: 0.0,
        late_commit_rate: 0.0,
        rejected_write_rate: 0.0,
        look_cut_rate: 0.0,
        bad_row_rate: 0.0,
        actor_death_rate: 0.0,
        coordinator_deaths: 0,
        small_knobs_rate: 0.0,
        crowd_rate: 0.0,
        mixed_versions_rate: 0.0,
        clock_skew_ms: 0,
        operator_rate: 1.0,
        slow_renewal_rate: 0.0,
        hold_rate: 0.0,
        log_standby_cuts: 0,
        participant_standby_cuts: 0,
        operation_outages: 0,
        partitions: 0,
        clock_jumps: 0,
        ..Faults::default()
    }
}

/// Returns the mix in which a bug shows best. For most bugs that is the default mix.
fn faults_for(bug: Mutation) -> Faults {
    let mix = calmer();
    match bug {
        // Many sagas, pauses at their writes and broken operations: a former owner, whose calls reached no participant,
        // writes its end while its successor, whose calls did, still waits for a later step.
        Mutation::WriteWithoutEpoch => Faults {
            crowd_rate: 1.0,
            pause_at_write_rate: 0.003,
            pauses: 0,
            unreachable_rate: 0.2,
            participant_outages: 10,
            operation_outages: 16,
            lost_reply_rate: 0.0,
            lost_request_rate: 0.0,
            refusal_rate: 0.0,
            cancel_rate: 0.0,
            crash_at_write_rate: 0.0,
            crashes: 0,
            ..mix
        },
        // An owner dies after it turned back, for a reason that its successor does not meet.
        Mutation::ForwardAfterTurn => Faults {
            crowd_rate: 1.0,
            crash_at_write_rate: 0.02,
            crashes: 30,
            participant_outages: 8,
            operation_outages: 8,
            cancel_rate: 0.0,
            refusal_rate: 0.02,
            ..mix
        },
        // Many sagas and pauses, so that two owners of one saga undo its steps.
        Mutation::ClaimWithoutEpoch => Faults { crowd_rate: 1.0, pauses: 20, ..Faults::default() },
        // So many sagas that the kill of a process hits one between the compensation and the turn.
        Mutation::CompensateBeforeTurn => Faults {
            crowd_rate: 1.0,
            crash_at_write_rate: 0.01,
            crashes: 10,
            cancel_rate: 0.8,
            refusal_rate: 0.02,
            ..mix
        },
        // Calls that arrive after their compensation.
        Mutation::SkipTombstone => Faults { late_rate: 0.1, ..Faults::default() },
        Mutation::AnyConflictRefuses => Faults { intermediary_rate: 0.2, ..Faults::default() },
        Mutation::AnyJsonConfirms => Faults { json_intermediary_rate: 0.1, ..Faults::default() },
        Mutation::IgnoreCancel => Faults { cancel_rate: 1.0, refusal_rate: 0.02, ..mix },
        Mutation::ClaimsPoison => {
            Faults { small_knobs_rate: 1.0, crowd_rate: 1.0, operator_rate: 0.0, crashes: 20, ..Faults::default() }
        }
        // Enough calls that the failures of one operation affect calls of others.
        Mutation::OneBreakerForAll => {
            Faults { operation_outages: 4, refusal_rate: 0.3, crowd_rate: 1.0, ..Faults::default() }
        }
        // The call before the due one is made outside an actor, where a panic is not allowed.
        Mutation::CompensateInOrder => Faults { actor_death_rate: 0.0, ..Faults::default() },
        Mutation::BadRowFailsAll => Faults { bad_row_rate: 0.05, operator_rate: 0.0, ..Faults::default() },
        // A process that is stopped while its begin is in doubt, until its successor has ended the saga.
        Mutation::RepeatedBeginLooksNew => {
            Faults { crowd_rate: 1.0, write_in_doubt_rate: 0.3, pause_at_write_rate: 0.1, pauses: 0, ..calmer() }
        }
        // Clocks as far apart as badly synchronized ones.
        Mutation::EndedByNodeClock => Faults { clock_skew_ms: 2_000, ..Faults::default() },
        _ => Faults::default(),
    }
}

/// Returns the number of nodes that a bug needs; `None` if it is drawn.
fn nodes_for(bug: Mutation) -> Option<usize> {
    match bug {
        Mutation::WriteWithoutEpoch => Some(3),
        _ => None,
    }
}

/// Returns the number of seeds until a mutation breaks this invariant; `None` if it does not within the maximum.
fn seeds_until(bug: Mutation, invariant: &str, definition: Sagas) -> Option<u64> {
    let faults = match definition {
        Sagas::Status => without_tombstones(),
        _ => faults_for(bug),
    };
    let plan = Plan { faults, nodes: nodes_for(bug), definition, ..Plan::default() };
    with_mutation(bug, || {
        (0..MOST_SEEDS).find(|seed| {
            let report = run(*seed, &plan).unwrap();
            report.violations.iter().any(|violation| violation.invariant == invariant)
        })
    })
    .map(|seed| seed + 1)
}

#[test]
fn every_mutation_is_found_by_the_invariant_that_it_breaks() {
    assert_found(BUGS.map(|(bug, invariant)| (bug, invariant, Sagas::Checkout)));
}

#[test]
fn every_mutation_of_a_graph_is_found_by_the_invariant_that_it_breaks() {
    assert_found(GRAPH_BUGS);
}

fn assert_found<const N: usize>(bugs: [(Mutation, &str, Sagas); N]) {
    let found = bugs.map(|(bug, invariant, sagas)| (bug, invariant, seeds_until(bug, invariant, sagas)));
    for (bug, invariant, seeds) in &found {
        match seeds {
            Some(seeds) => println!("{bug:?}: {seeds} seeds, \"{invariant}\""),
            None => println!("{bug:?}: not found in {MOST_SEEDS} seeds, \"{invariant}\""),
        }
    }
    assert!(found.iter().all(|(_, _, seeds)| seeds.is_some()), "a hole in the simulator: {found:#?}");
}

#[test]
fn a_violation_comes_with_the_timeline_of_its_saga() {
    with_mutation(Mutation::CompensatedUnconfirmed, || {
        let plan = Plan { tracing: Tracing::On, ..Plan::default() };
        let report = (0..MOST_SEEDS).map(|seed| run(seed, &plan).unwrap()).find(|run| !run.violations.is_empty());
        let report = report.expect("the bug is found");
        let violation = &report.violations[0];
        assert!(violation.name.starts_with("saga "), "{violation:?}");
        let timeline = report.timeline(violation);
        assert!(timeline.contains(&format!("orders {}", violation.name)), "{timeline}");
        assert!(timeline.contains("log: end of"), "{timeline}");
        let others = (1..=10).map(|other| format!("saga {other} ")).filter(|other| other.trim() != violation.name);
        for other in others {
            assert!(!timeline.contains(&other), "{other} in the timeline of {}:\n{timeline}", violation.name);
        }
    });
}

/// Beside tombstones a call in flight may be taken for unknown at once; without them it is waited for.
#[test]
fn participants_with_tombstones_need_no_wait_for_calls_in_flight() {
    with_mutation(Mutation::CallsInFlightForgotten, || {
        for seed in 0..CONTROL_SEEDS {
            let report = run(seed, &Plan { definition: Sagas::Diamond, ..Plan::default() }).unwrap();
            let is_broken = |violation: &Violation| violation.invariant == NOTHING_LIVE;
            assert!(!report.violations.iter().any(is_broken), "seed {seed}: {:#?}", report.violations);
        }
    });
}

#[test]
fn what_correctness_does_not_rest_on_breaks_nothing() {
    for control in CONTROLS {
        with_mutation(control, || {
            for seed in 0..CONTROL_SEEDS {
                let report = run(seed, &Plan { faults: calmer(), ..Plan::default() }).unwrap();
                // Without leases, owners change faster than actors start.
                let broken = report.violations.iter().any(|violation| violation.invariant != ORPHAN);
                assert!(!broken, "{control:?}, seed {seed}: {:#?}", report.violations);
            }
        });
    }
}
