//! The contract of the participants, clause by clause.
//!
//! The common clauses are in [`front`], [`exactly_once`] and [`api_description`], which loop over the participants; the
//! clauses of one participant are in the module of its name.

mod api_description;
mod catalog;
mod exactly_once;
mod front;
mod inventory;
mod journal;
mod migrated;
mod payments;
mod purchases;
mod rows_without_effect;
mod stopping;
mod two_at_once;

use std::collections::BTreeSet;

use domain_services::PARTICIPANTS;
use tests::operations::OPERATIONS;

#[test]
fn every_participant_and_every_step_of_a_saga_is_in_the_table_of_operations() {
    let in_table: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.service).chain(["catalog"]).collect();
    assert_eq!(in_table, PARTICIPANTS.into_iter().collect());

    let definitions = orchestrator::checkout::known_definitions().expect("the definitions are good");
    let steps = definitions.iter().flat_map(|definition| definition.steps());
    let participants: BTreeSet<&str> = steps.map(|step| &*step.participant).collect();
    assert!(participants.is_subset(&in_table), "{participants:?}");
}
