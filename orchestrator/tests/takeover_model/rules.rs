//! The protocol as a list of rules. All of them hold in [`Rules::PROTOCOL`]; a test that breaks one shows what it is for.

/// Which rules hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Only a saga whose owner's lease is not live is claimed by another node. Correctness must not rest on it.
    pub(crate) claims_wait_for_the_lease: bool,
    /// Somebody claims what a dead owner left.
    pub(crate) the_dead_are_succeeded: bool,
    /// A claim raises the epoch.
    pub(crate) claims_raise_the_epoch: bool,
    /// A write changes the row only under the writer's epoch.
    pub(crate) writes_check_the_epoch: bool,
    /// A write changes the row only if the writer's process owns it.
    pub(crate) writes_check_the_owner: bool,
    /// The turn is durable before any compensation leaves.
    pub(crate) undo_waits_for_the_durable_turn: bool,
    /// A compensation that finds no action forbids it for ever.
    pub(crate) undos_leave_tombstones: bool,
    /// An action that was compensated is refused when it is repeated.
    pub(crate) what_was_undone_is_refused: bool,
    /// A successor that turns back undoes every step, whether it has heard of it or not.
    pub(crate) successors_undo_every_step: bool,
}

impl Rules {
    /// The protocol.
    pub(crate) const PROTOCOL: Self = Self {
        claims_wait_for_the_lease: true,
        the_dead_are_succeeded: true,
        claims_raise_the_epoch: true,
        writes_check_the_epoch: true,
        writes_check_the_owner: true,
        undo_waits_for_the_durable_turn: true,
        undos_leave_tombstones: true,
        what_was_undone_is_refused: true,
        successors_undo_every_step: true,
    };
}
